package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
)

// patience is for machines on which other tests leave little to this one.
const patience = 2 * time.Minute

// discover runs a Server against a real HTTP endpoint and returns a function
// that waits until its snapshot is as wanted.
func discover(t *testing.T, url string) (s *upstream.Server, await func(what string, ok func(*upstream.Snapshot) bool)) {
	t.Helper()
	changed := make(chan struct{}, 1)
	s, err := upstream.New(
		gatewayconfig.Server{Name: "peer", URL: url, ListTimeout: gatewayconfig.Duration(patience)},
		upstream.Options{Name: "gw", Version: "1", Log: zaptest.NewLogger(t), Changed: func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, func(what string, ok func(*upstream.Snapshot) bool) {
		t.Helper()
		deadline := time.After(patience)
		for !ok(s.Snapshot()) {
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("no %s within %v: %+v", what, patience, s.Snapshot())
			}
		}
	}
}

func tool(name string) server.ServerTool {
	return server.ServerTool{
		Tool: mcp.NewTool(name, mcp.WithDescription("does "+name)),
		Handler: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("done"), nil
		},
	}
}

func TestPeerServerOfMCPGo(t *testing.T) {
	t.Parallel()
	peer := server.NewMCPServer("peer", "1.2.3",
		server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithResourceCapabilities(false, true),
		server.WithInstructions("ask nicely"), server.WithPaginationLimit(2))
	for i := range 7 {
		peer.AddTools(tool(fmt.Sprintf("t%d", i)))
	}
	peer.AddPrompt(mcp.NewPrompt("p"), nil)
	peer.AddResource(mcp.NewResource("file:///r", "r"), nil)
	peer.AddResourceTemplate(mcp.NewResourceTemplate("file:///{x}", "x"), nil)
	var deletes atomic.Int32 // also of the session that shows that there are some
	handler := server.NewStreamableHTTPServer(peer, server.WithHeartbeatInterval(50*time.Millisecond))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deletes.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)

	s, await := discover(t, web.URL+"/mcp")
	await("first listing", func(s *upstream.Snapshot) bool { return s.State == upstream.Ready })
	got := s.Snapshot()
	if len(got.Lists.Tools) != 7 || len(got.Lists.Prompts) != 1 || len(got.Lists.Resources) != 1 || len(got.Lists.Templates) != 1 {
		t.Errorf("%d tools, %d prompts, %d resources, %d templates", len(got.Lists.Tools), len(got.Lists.Prompts), len(got.Lists.Resources), len(got.Lists.Templates))
	}
	if got.Version != "2026-07-28" || !got.Modern || !got.Legacy || got.Instructions != "ask nicely" || !strings.Contains(string(got.Info), `"1.2.3"`) {
		t.Errorf("snapshot %+v", got)
	}

	peer.AddTools(tool("late"))
	await("changed list", func(s *upstream.Snapshot) bool { return len(s.Lists.Tools) == 8 })
	peer.DeleteTools("late", "t0")
	await("changed list", func(s *upstream.Snapshot) bool { return len(s.Lists.Tools) == 6 })
	peer.RemoveResource("file:///r")
	await("changed resources", func(s *upstream.Snapshot) bool { return len(s.Lists.Resources) == 0 })

	in, err := s.OpenSession(t.Context(), upstream.Client{Version: "2025-06-18", Info: []byte(`{"name":"c","version":"0"}`)})
	if err != nil || in.ID == "" || in.Version != "2025-06-18" {
		t.Fatalf("OpenSession = %+v, %v", in, err)
	}
	if err := s.EndSession(t.Context(), in); err != nil || deletes.Load() != 2 {
		t.Errorf("EndSession: %v, %d DELETE", err, deletes.Load())
	}
}

func TestPeerServerThatRestartsElsewhere(t *testing.T) {
	t.Parallel()
	life := func(tools ...string) http.Handler {
		peer := server.NewMCPServer("peer", "1", server.WithToolCapabilities(true))
		for _, name := range tools {
			peer.AddTools(tool(name))
		}
		return server.NewStreamableHTTPServer(peer)
	}
	var now atomic.Pointer[http.Handler]
	set := func(h http.Handler) { now.Store(&h) }
	set(life("a"))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*now.Load()).ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	_, await := discover(t, web.URL+"/mcp")
	await("first listing", func(s *upstream.Snapshot) bool { return s.State == upstream.Ready && len(s.Lists.Tools) == 1 })
	set(life("a", "b"))
	web.CloseClientConnections()
	await("listing after the restart", func(s *upstream.Snapshot) bool { return s.State == upstream.Ready && len(s.Lists.Tools) == 2 })
}

// An answer without end is given up at the limit and not collected.
func TestAnswerOf100MB(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		chunk := []byte(`"` + strings.Repeat("x", 1<<20) + `",`)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"x":[`)
		for range 100 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(web.Close)
	s, await := discover(t, web.URL)
	await("failure", func(s *upstream.Snapshot) bool { return s.State == upstream.Failed })
	if err := s.Snapshot().Err; !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Errorf("error %v", err)
	}
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken before giving up", n)
	}
}
