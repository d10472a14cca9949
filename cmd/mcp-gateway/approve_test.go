package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/broker/integrity"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

func entryOf(t *testing.T, description string) pin.Entry {
	t.Helper()
	raw, err := json.Marshal(map[string]string{"name": "get", "description": description})
	if err != nil {
		t.Fatal(err)
	}
	return pin.Of(raw)
}

// gatewayWith is the internal API of a gateway with one changed tool; what was
// approved goes to approvals.
func gatewayWith(t *testing.T, locked bool, approvals *[]integrity.Approval) string {
	t.Helper()
	old := entryOf(t, "honest")
	overview := integrity.Overview{OnChange: gatewayconfig.ReactQuarantine, Locked: locked, Servers: []string{"cal", "docs"}, Definitions: []integrity.Definition{
		{Server: "cal", Kind: pin.Tools, Name: "fine", Current: old, Pinned: &old},
		{
			Server: "cal", Kind: pin.Tools, Name: "get", Why: integrity.WhyChanged, Withheld: true, Pinned: &old,
			Current: entryOf(t, "evil\u202e"), Findings: []integrity.Detail{{Check: "bidi", Where: "/description", Detail: "1"}},
		},
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if err := json.NewDecoder(r.Body).Decode(approvals); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := json.NewEncoder(w).Encode(overview); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestDiffAndApproveAtAGateway(t *testing.T) {
	t.Parallel()
	var approvals []integrity.Approval
	url := gatewayWith(t, false, &approvals)
	const shown = "cal tools get: changed, withheld\n  description\n    - honest\n    + evil\\u{202e}\n  found bidi at /description: 1\n"
	out, _, err := execute(t, "diff", "--gateway", url)
	if err == nil || out != shown {
		t.Errorf("%v %q", err, out)
	}
	if out, _, err := execute(t, "diff", "--gateway", url, "cal", "fine"); err != nil || !strings.Contains(out, "everything is trusted") {
		t.Errorf("%v %q", err, out)
	}
	if out, _, err := execute(t, "approve", "--gateway", url, "docs", "--yes"); err != nil || !strings.Contains(out, "everything is trusted") || approvals != nil {
		t.Errorf("%v %q %v", err, out, approvals)
	}
	out, _, err = execute(t, "approve", "--gateway", url, "cal", "get", "--yes")
	if err != nil || out != shown+"1 approved\n" || len(approvals) != 1 || approvals[0].Hash != entryOf(t, "evil\u202e").Hash {
		t.Errorf("%v %q %+v", err, out, approvals)
	}
}

// A typo must not pass for trusted.
func TestWhatIsNotThereIsNotTrusted(t *testing.T) {
	t.Parallel()
	var approvals []integrity.Approval
	url := gatewayWith(t, false, &approvals)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"clá"}, `"clá" is no server whose definitions are looked at: there are cal, docs`},
		{[]string{"cal", "cal_get"}, `server cal has no "cal_get" by its own name, without a prefix: there are get, fine`},
		{[]string{"docs", "get"}, `server docs has no "get" by its own name, without a prefix: there are none`},
	} {
		for _, command := range [][]string{{"diff"}, {"approve", "--yes"}} {
			out, _, err := execute(t, append(append(command, "--gateway", url), test.args...)...)
			if err == nil || err.Error() != test.want || out != "" || approvals != nil {
				t.Errorf("%v %v: %v, %q, %v; want %s", command, test.args, err, out, approvals, test.want)
			}
		}
	}
}

func TestANameIsOneOfFew(t *testing.T) {
	t.Parallel()
	names := make([]string, mostListed+3)
	for i := range names {
		names[i] = "x"
	}
	if got := listed(names); strings.Count(got, "x") != mostListed || !strings.HasSuffix(got, "x and 3 more") {
		t.Errorf("%s", got)
	}
}

func TestWhereDefinitionsComeFromIsAskedFor(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"diff":    "name --gateway ADDRESS of a running one, or --config FILE",
		"approve": "name --gateway ADDRESS of a running one, or --config FILE",
		"pin":     "name --config FILE: its servers are asked",
	} {
		if _, _, err := execute(t, command); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

// Without an answer nothing is approved.
func TestApproveAsks(t *testing.T) {
	t.Parallel()
	var approvals []integrity.Approval
	url := gatewayWith(t, false, &approvals)
	for answer, want := range map[string]bool{"y\n": true, "YES": true, "n\n": false, "": false, "maybe\n": false} {
		approvals = nil
		c := command()
		c.SetArgs([]string{"approve", "--gateway", url})
		var out strings.Builder
		c.SetOut(&out)
		c.SetIn(strings.NewReader(answer))
		err := c.ExecuteContext(t.Context())
		if (err == nil) != want || (approvals != nil) != want || !strings.Contains(out.String(), "trust 1 definition as shown? [y/N] ") {
			t.Errorf("%q: %v, %+v: %s", answer, err, approvals, out.String())
		}
	}
}

func TestApproveIntoALockFile(t *testing.T) {
	t.Parallel()
	var approvals []integrity.Approval
	url := gatewayWith(t, true, &approvals)
	if _, _, err := execute(t, "approve", "--gateway", url, "--yes"); err == nil || !strings.Contains(err.Error(), "lock file") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "tools.lock")
	if out, _, err := execute(t, "approve", "--gateway", url, "--lock", path, "cal", "get", "--yes"); err != nil || approvals != nil {
		t.Fatalf("%v %s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"description": "evil\u202e"`) || strings.Contains(string(text), "fine") {
		t.Errorf("%v %s", err, text)
	}
	// The other one is not in the file: to that gateway it may be fine.
	if out, _, err := execute(t, "diff", "--gateway", url, "--lock", path); err == nil || !strings.Contains(out, "cal tools fine: new") || strings.Contains(out, "get: changed") {
		t.Errorf("%v %s", err, out)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := execute(t, "diff", "--gateway", url, "--lock", path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken lock file: %v", err)
	}
}

func TestPinNeedsAPlace(t *testing.T) {
	t.Parallel()
	path := write(t, "servers: []\n")
	if _, _, err := execute(t, "pin", "--config", path); err == nil || !strings.Contains(err.Error(), "--lock") {
		t.Errorf("%v", err)
	}
	lock := filepath.Join(t.TempDir(), "tools.lock")
	if out, _, err := execute(t, "pin", "--config", path, "--lock", lock); err != nil || !strings.Contains(out, "written to "+lock) {
		t.Errorf("%v %s", err, out)
	}
	if _, _, err := execute(t, "pin", "--config", path, "--lock", lock, "nobody"); err == nil || !strings.Contains(err.Error(), `"nobody" is no enabled server`) {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"", "ftp://x", "unix:/nowhere/at/all"} {
		if _, _, err := execute(t, "diff", "--gateway", address); err == nil {
			t.Errorf("%q is an address", address)
		}
	}
}
