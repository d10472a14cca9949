package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// Ending the client's session ends its session at every server.
func TestEndedSessionEndsAtTheServers(t *testing.T) {
	t.Parallel()
	everything, everythingURL := harness.EverythingAt(t, "")
	python, pythonURL := harness.Python(t, "")
	o := others{urls: map[string]string{"everything": everythingURL, "python": pythonURL}}.behind(t, "everything", "python")
	ended := func() (int, int) {
		return count(everything.Stdout(), "Received session termination request"), count(python.Stderr(), "Terminating session")
	}
	c := harness.Connect(t, o.URL)
	contains(t, "everything", c.Tool("everything_echo", `{"message":"x"}`), "Echo: x")
	contains(t, "python", c.Tool("py_level", ""), "none")
	beforeE, beforeP := ended()
	if r := c.Do(http.MethodDelete, ""); r.Status/100 != 2 {
		t.Fatalf("DELETE: %s", r)
	}
	harness.Eventually(t, "the ends at the servers", func() bool {
		e, p := ended()
		return e == beforeE+1 && p == beforeP+1
	})
	if r := c.Post(call("1", "py_level")); r.Status != http.StatusNotFound {
		t.Errorf("after the end: %s, want 404", r)
	}
}

func count(lines *harness.Lines, text string) int {
	all, _ := lines.All()
	n := 0
	for _, line := range all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
