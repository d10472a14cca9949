package program

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// make inspect-gateway serves the Inspector's page, and names it with what has it
// connect to the gateway: the page knows the same token.
func TestInspector(t *testing.T) {
	t.Parallel()
	_, port, _ := strings.Cut(harness.FreeAddr(t), ":")
	g := harness.Run(t, demos(t))
	p := harness.Start(t, "inspector", "scripts/inspect.sh", []string{g.URL}, "CLIENT_PORT="+port, "MCP_SANDBOX_PORT=0")
	page := "http://127.0.0.1:" + port
	link := page + p.WaitLine(p.Stdout(), "  "+page)
	_, token, ok := strings.Cut(link, "/?transport=streamable-http&serverUrl="+g.URL+"&autoConnect=")
	if !ok || len(token) != 64 {
		t.Fatalf("the page is at %s", link)
	}
	var html string
	harness.Eventually(t, "the Inspector's page", func() bool {
		resp, err := http.Get(link)
		if err != nil {
			return false
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		text, err := io.ReadAll(resp.Body)
		html = string(text)
		return err == nil && resp.StatusCode == http.StatusOK
	})
	if !strings.Contains(html, "<title>MCP Inspector</title>") || !strings.Contains(html, token) {
		t.Errorf("the page is %s", html)
	}
	if lines := p.Stderr().Tail(20); strings.Contains(lines, "warning: nothing answers") {
		t.Errorf("it does not see the gateway: %s", lines)
	}
}
