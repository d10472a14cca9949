package backend_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/bench/backend"
)

// start serves on a free port and returns the endpoint.
func start(t *testing.T, tools int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- backend.New(tools).Serve(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String() + "/mcp"
}

// stateless stands for a session where there is none.
const stateless = "-"

// send posts one body and returns status, session id and answer.
func send(t *testing.T, method, url, session, body string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	switch session {
	case "":
	case stateless:
		req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	default:
		req.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Mcp-Session-Id"), string(answer)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	url := start(t, 2)
	status, session, answer := send(t, http.MethodPost, url, "", `{"id":"a","jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":"2025-06-18"}}`)
	if status != 200 || len(session) != 43 || !strings.Contains(answer, `"id":"a","result":{"protocolVersion":"2025-06-18"`) {
		t.Fatalf("initialize: %d, session %q, %s", status, session, answer)
	}
	large := string(backend.AppendCall(nil, []byte("7"), backend.ToolEcho, []byte(strings.Repeat("x", 1<<20))))
	for name, tc := range map[string]struct {
		method, session, body string
		status                int
		answer                string
	}{
		"notification":      {"POST", session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202, ""},
		"ping":              {"POST", session, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 200, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		"large call":        {"POST", session, large, 200, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"1048576 bytes"}]}}`},
		"call, other order": {"POST", session, `{"params":{"arguments":{"text":"a\"b"},"name":"echo"},"method":"tools/call","id":2}`, 200, `{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"4 bytes"}]}}`},
		"unknown tool":      {"POST", session, string(backend.AppendCall(nil, []byte("3"), "a_echo", nil)), 200, `{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"Unknown tool: a_echo"}}`},
		"unknown method":    {"POST", session, `{"jsonrpc":"2.0","id":4,"method":"x"}`, 200, `{"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"Method not found"}}`},
		"no session":        {"POST", "", `{"jsonrpc":"2.0","id":4,"method":"ping"}`, 400, ""},
		"foreign session":   {"POST", "x", `{"jsonrpc":"2.0","id":4,"method":"ping"}`, 404, ""},
		"stateless call":    {"POST", stateless, string(backend.AppendStatelessCall(nil, []byte("7"), backend.ToolEcho, []byte(strings.Repeat("x", 1<<20)))), 200, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"1048576 bytes"}]}}`},
		"stateless ping":    {"POST", stateless, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 404, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}`},
		"discovery":         {"POST", stateless, `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, 200, `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":600000,"cacheScope":"public","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}`},
		"no JSON":           {"POST", session, `{`, 400, ""},
		"stream wanted":     {"GET", session, "", 405, ""},
		"session ended":     {"DELETE", session, "", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, answer := send(t, tc.method, url, tc.session, tc.body)
			if status != tc.status || answer != tc.answer {
				t.Errorf("got %d %s, want %d %s", status, answer, tc.status, tc.answer)
			}
		})
	}
}

func TestListsAsManyToolsAsAsked(t *testing.T) {
	t.Parallel()
	url := start(t, 1000)
	_, session, _ := send(t, http.MethodPost, url, "", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	_, _, answer := send(t, http.MethodPost, url, session, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	var list struct {
		Result struct {
			Tools []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, tool := range list.Result.Tools {
		names[tool.Name] = true
	}
	if len(names) != 1000 || !names[backend.ToolEcho] || !names[backend.ToolStream] {
		t.Errorf("%d different names", len(names))
	}
}

func TestStreamsEvents(t *testing.T) {
	t.Parallel()
	url := start(t, 2)
	_, session, _ := send(t, http.MethodPost, url, "", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	_, _, answer := send(t, http.MethodPost, url, session, string(backend.AppendCall(nil, []byte("9"), backend.ToolStream, nil)))
	if n := strings.Count(answer, backend.SentMark); n != backend.StreamEvents {
		t.Errorf("%d events with a time, want %d", n, backend.StreamEvents)
	}
	if !strings.HasSuffix(answer, "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{\"content\":[]}}\n\n") {
		t.Errorf("last event is not the result: %s", answer)
	}
}
