package mcpserver_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/mcpserver"
)

func send(t *testing.T, s *mcpserver.Server, method, session, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func open(t *testing.T, s *mcpserver.Server) string {
	t.Helper()
	resp := send(t, s, "POST", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
	if body := text(t, resp); !strings.Contains(body, `"protocolVersion":"2025-06-18"`) {
		t.Fatalf("initialize: %s", body)
	}
	return resp.Header.Get("Mcp-Session-Id")
}

func TestAnswersWithTheGivenBytes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		framing mcpserver.Framing
		body    string
		want    string
	}{
		"first page": {mcpserver.JSON,
			`{"jsonrpc":"2.0","id":1e3,"method":"tools/list"}`,
			`{"jsonrpc":"2.0","id":1e3,"result":{"tools":[{"name":"a" , "x":1e400}],"nextCursor":"page-1"}}`},
		"second page": {mcpserver.JSON,
			`{"jsonrpc":"2.0","id":"\u0031","method":"tools/list","params":{"cursor":"page-1"}}`,
			`{"jsonrpc":"2.0","id":"\u0031","result":{"tools":[{"name":"b"}]}}`},
		"unknown cursor": {mcpserver.JSON,
			`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"page-2"}}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such cursor"}}`},
		"default call as an event": {mcpserver.SSE,
			`{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"name":"a"}}`,
			"event: message\ndata: " + `{"jsonrpc":"2.0","id":0,"result":{"content":[{"type":"text","text":"one:a"}]}}` + "\n\n"},
		"list that it does not have": {mcpserver.JSON,
			`{"jsonrpc":"2.0","id":0,"method":"prompts/list"}`,
			`{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"method not found"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mcpserver.Start(t, mcpserver.Script{Name: "one", Framing: c.framing, Pages: map[string][]string{
				mcpserver.ToolsList: {`{"name":"a" , "x":1e400}`, `{"name":"b"}`},
			}})
			session := ""
			if c.framing == mcpserver.JSON {
				session = open(t, s)
			} else {
				session = send(t, s, "POST", "", `{"id":1,"method":"initialize"}`).Header.Get("Mcp-Session-Id")
			}
			if diff := cmp.Diff(c.want, text(t, send(t, s, "POST", session, c.body))); diff != "" {
				t.Error(diff)
			}
			if got := s.Received("tools/call"); len(got) > 0 && string(got[0].Body) != c.body {
				t.Errorf("recorded %s", got[0].Body)
			}
		})
	}
}

func TestEndsSessions(t *testing.T) {
	t.Parallel()
	s := mcpserver.Start(t, mcpserver.Script{Name: "one"})
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got := send(t, s, "POST", "", ping).StatusCode; got != http.StatusBadRequest {
		t.Errorf("no session: status %d", got)
	}
	first, second := open(t, s), open(t, s)
	if got := send(t, s, "DELETE", first, "").StatusCode; got != http.StatusOK {
		t.Errorf("delete: status %d", got)
	}
	if got := send(t, s, "POST", first, ping).StatusCode; got != http.StatusNotFound {
		t.Errorf("deleted session: status %d", got)
	}
	if got := send(t, s, "POST", second, ping).StatusCode; got != http.StatusOK {
		t.Errorf("open session: status %d", got)
	}
	s.ForgetSessions()
	if got := send(t, s, "POST", second, ping).StatusCode; got != http.StatusNotFound {
		t.Errorf("forgotten session: status %d", got)
	}
	if got := len(s.Received("DELETE")); got != 1 {
		t.Errorf("%d requests to delete, want 1", got)
	}
}

func TestFailsAndRecovers(t *testing.T) {
	t.Parallel()
	s := mcpserver.Start(t, mcpserver.Script{Name: "one", Stateless: true})
	post := func() (int, error) {
		resp, err := http.Post(s.URL(), "application/json", strings.NewReader(`{"id":1,"method":"ping"}`))
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	for name, f := range map[string]mcpserver.Fault{"reset": mcpserver.Reset, "cut": mcpserver.Cut} {
		s.Fail(f, "ping")
		if status, err := post(); err == nil {
			t.Errorf("%s: status %d without error", name, status)
		}
	}
	s.Fail(mcpserver.Status(500))
	s.Heal()
	s.Fail(mcpserver.Status(500), "tools/list")
	if status, err := post(); status != http.StatusOK || err != nil {
		t.Errorf("another method: status %d, %v", status, err)
	}
	s.Down()
	if status, err := post(); err == nil {
		t.Errorf("down: status %d without error", status)
	}
	s.Up()
	if status, err := post(); status != http.StatusOK || err != nil {
		t.Errorf("up again: status %d, %v", status, err)
	}
}

func TestNotifiesOpenStreams(t *testing.T) {
	t.Parallel()
	s := mcpserver.Start(t, mcpserver.Script{Name: "one"})
	resp := send(t, s, "GET", open(t, s), "")
	s.Wait(5*time.Second, "stream", func() bool { return s.Streams() == 1 })
	s.Notify("notifications/tools/list_changed")
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			break
		}
	}
	if want := `data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`; lines.Text() != want {
		t.Errorf("got %q, want %q", lines.Text(), want)
	}
	s.Down()
	s.Wait(5*time.Second, "end of the stream", func() bool { return s.Streams() == 0 })
}

func TestEras(t *testing.T) {
	t.Parallel()
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`
	post := func(s *mcpserver.Server, body string, headers ...string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		return resp.StatusCode, text(t, resp)
	}
	for _, era := range []mcpserver.Era{mcpserver.Modern, mcpserver.Dual} {
		s := mcpserver.Start(t, mcpserver.Script{Name: "one", Era: era})
		if status, got := post(s, body, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "=?base64?YQ==?="); status != 200 || !strings.Contains(got, `"one:a"`) {
			t.Errorf("good: %d %s", status, got)
		}
		if status, got := post(s, body, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "b"); status != 400 || !strings.Contains(got, "-32020") {
			t.Errorf("other name: %d %s", status, got)
		}
		want := map[mcpserver.Era]int{mcpserver.Modern: 400, mcpserver.Dual: 200}[era]
		if status, got := post(s, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`); status != want {
			t.Errorf("initialize: %d %s", status, got)
		}
	}
}
