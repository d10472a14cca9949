package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// accessEntry is what an operator needs to know of a request.
type accessEntry struct {
	Status                       int
	Method, Cluster, Name, Error string
}

func entries(t *testing.T, file string, n int) (all []accessEntry, raw string) {
	t.Helper()
	harness.Eventually(t, "access log", func() bool {
		content, err := os.ReadFile(file)
		if err != nil || bytes.Count(content, []byte("\n")) < n {
			return false
		}
		raw = string(content)
		return true
	})
	for line := range strings.Lines(raw) {
		var e accessEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
	return all, raw
}

// The log and the statistics tell which calls failed, though their status is
// 200; neither they nor the program's own log tell anybody's secrets.
func TestFailuresAreToldToTheOperator(t *testing.T) {
	t.Parallel()
	good, bad := mcpserver.Start(t, one("good")), mcpserver.Start(t, one("bad"))
	file := filepath.Join(t.TempDir(), "access.log")
	admin := harness.FreeAddr(t)
	g := harness.Run(t, harness.Config{
		Gateway: []string{"accessLog: " + file},
		Servers: []harness.Server{behind(good, "good", `headers: {X-Api-Key: "secret-of-good"}`), behind(bad, "bad")},
	}, "--log-level", "debug", "--admin", admin)
	c := harness.Connect(t, g.URL).With("Authorization: Bearer secret-of-client")
	c.Tool("good_tool", `{"a":"secret-argument"}`)
	bad.Fail(mcpserver.Reset, "tools/call")
	c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"bad_tool","arguments":{"a":"secret-argument"}}}`)
	c.Post(call("1", "good_nope"))
	c.Post("secret-argument")

	var good200, bad200, unknown, broken bool
	all, raw := entries(t, file, 6)
	for _, e := range all {
		isCall := e.Method == "tools/call"
		good200 = good200 || isCall && e.Status == 200 && e.Cluster == "mcp-server-good" && e.Name == "good_tool" && e.Error == ""
		bad200 = bad200 || isCall && e.Status == 200 && e.Cluster == "mcp-server-bad" && e.Name == "bad_tool" && e.Error != ""
		unknown = unknown || e.Status == 200 && e.Error == "unknown_tool"
		broken = broken || e.Status == 400 && e.Error != ""
	}
	if !good200 || !bad200 || !unknown || !broken {
		t.Errorf("call %t, failed call %t, unknown tool %t, broken JSON %t in the access log:\n%s", good200, bad200, unknown, broken, raw)
	}

	for _, field := range []string{"method", "server", "name", "error", "cluster", "flags"} {
		if !strings.Contains(raw, `"`+field+`":"`) {
			t.Errorf("no entry of the access log has a value for %s", field)
		}
	}

	resp, err := http.Get("http://" + admin + "/stats?filter=mcp")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	stats, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	errors := 0
	for line := range strings.Lines(string(stats)) {
		if strings.Contains(line, "error") && !strings.HasSuffix(strings.TrimSpace(line), ": 0") {
			errors++
		}
	}
	if errors == 0 {
		t.Errorf("no error is counted:\n%s", stats)
	}

	written := g.Stderr().Tail(1<<20) + g.Stdout().Tail(1<<20) + raw + string(stats)
	for _, secret := range []string{c.Session(), "secret-", "good-session-", "bad-session-"} {
		if i := strings.Index(written, secret); i >= 0 {
			t.Errorf("%q was written: %s", secret, written[max(0, i-200):min(len(written), i+200)])
		}
	}
}
