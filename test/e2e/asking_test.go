package e2e

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
)

// asker runs a server whose tools ask their client, and returns its endpoint.
func asker(t *testing.T) string {
	t.Helper()
	addr := harness.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	harness.Start(t, "asker", harness.Tool(t, ".tools/venv/bin/python"), []string{harness.Tool(t, "test/clients/py/asker.py"), port})
	harness.Eventually(t, "the asking server", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		_ = conn.Close() // it only asked whether somebody listens
		return true
	})
	return "http://" + addr + "/mcp"
}

// The official SDK on both ends: two servers ask one client at the same time, in
// their calls' streams and in their own, under the ids that the SDK counts up.
func TestPublicServersAskTheirClient(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "a", URL: asker(t), Prefix: "a_"}, {Name: "b", URL: asker(t), Prefix: "b_"},
	}})
	out := command(t, harness.Tool(t, ".tools/venv/bin/python"), harness.Tool(t, "test/clients/py/answerer.py"), g.URL, "a_", "b_")
	var got struct {
		Results map[string]string
		Asked   map[string]int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if diff := cmp.Diff(map[string]string{
		"a_elicit": "accept Ann", "a_sample": "A_", "a_roots": "file:///home/ann",
		"b_elicit": "accept Ann", "b_sample": "B_", "b_roots": "file:///home/ann",
	}, got.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"elicit": 2, "sample": 2, "roots": 2}, got.Asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
