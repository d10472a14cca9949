package security

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcp-gateway/test/e2e/harness"
)

// sight is a call as the code behind a server's library saw it.
type sight struct {
	Kind, Name string // "tool", "prompt" or "resource"; the name or URI
	Given      struct{ Text string }
}

// seer is a server that tells what it saw. Its tools and prompts are echo and other,
// its resources note://{name}.
type seer struct {
	name, url string
	// all returns what it saw so far.
	all func() []sight
}

// seers are servers whose libraries read JSON in different ways: encoding/json,
// which folds case and takes the last of two equal keys, JSON.parse behind Express,
// and Python's.
func seers(t *testing.T) []seer {
	t.Helper()
	return []seer{
		goSeer(t),
		program(t, "ts", ".tools/node/bin/node", "test/clients/ts/express.mjs"),
		program(t, "py", ".tools/venv/bin/python", "test/clients/py/seen.py"),
	}
}

func goSeer(t *testing.T) seer {
	t.Helper()
	var mu sync.Mutex
	var seen []sight
	saw := func(kind, name, text string) {
		mu.Lock()
		defer mu.Unlock()
		s := sight{Kind: kind, Name: name}
		s.Given.Text = text
		seen = append(seen, s)
	}
	s := server.NewMCPServer("seen", "1", server.WithToolCapabilities(false), server.WithPromptCapabilities(false), server.WithResourceCapabilities(false, false))
	for _, name := range []string{"echo", "other"} {
		s.AddTool(mcp.NewTool(name, mcp.WithString("text")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			saw("tool", r.Params.Name, r.GetString("text", ""))
			return mcp.NewToolResultText(name), nil
		})
		s.AddPrompt(mcp.NewPrompt(name, mcp.WithArgument("text")), func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			saw("prompt", r.Params.Name, r.Params.Arguments["text"])
			return mcp.NewGetPromptResult(name, []mcp.PromptMessage{mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(name))}), nil
		})
	}
	s.AddResourceTemplate(mcp.NewResourceTemplate("note://{name}", "note"), func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		saw("resource", r.Params.URI, "")
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, Text: "a note"}}, nil
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(s, server.WithStateLess(true)))
	web := httptest.NewServer(mux)
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return seer{"go", web.URL + "/mcp", func() []sight {
		mu.Lock()
		defer mu.Unlock()
		return append([]sight(nil), seen...)
	}}
}

// program runs a server that writes what it saw to stdout.
func program(t *testing.T, name, interpreter, script string) seer {
	t.Helper()
	addr := harness.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	p := harness.Start(t, name, harness.Tool(t, interpreter), []string{harness.Tool(t, script), port})
	return seer{name, p.Up(addr), func() []sight {
		lines, _ := p.Stdout().All()
		var seen []sight
		for _, line := range lines {
			var s sight
			if json.Unmarshal([]byte(line), &s) == nil && s.Kind != "" {
				seen = append(seen, s)
			}
		}
		return seen
	}}
}
