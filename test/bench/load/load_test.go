package load_test

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/bench/backend"
	"mcp-gateway/test/bench/load"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serve runs the measured server itself.
func serve(t *testing.T) string {
	t.Helper()
	l := listen(t)
	go func() { _ = backend.New(2).Serve(l) }()
	return l.Addr().String()
}

func started() error { return nil }

func TestRunCountsEveryCall(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec  load.Spec
		calls int // 0: at least one per connection
	}{
		"closed loop":       {spec: load.Spec{Method: load.MethodCall, Tool: backend.ToolEcho, Size: 64, Connections: 3}},
		"large arguments":   {spec: load.Spec{Method: load.MethodCall, Tool: backend.ToolEcho, Size: 1 << 20, Connections: 2}},
		"lists":             {spec: load.Spec{Method: load.MethodList, Tool: backend.ToolEcho, Connections: 2}},
		"fixed rate":        {spec: load.Spec{Method: load.MethodCall, Tool: backend.ToolEcho, Size: 64, Connections: 3, Rate: 2000}, calls: 100},
		"fixed rate, large": {spec: load.Spec{Method: load.MethodCall, Tool: backend.ToolEcho, Size: 1 << 20, Connections: 2, Rate: 100}, calls: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := tc.spec
			spec.Address, spec.Duration = serve(t), 50*time.Millisecond
			result, err := load.Run(t.Context(), spec, started)
			if err != nil {
				t.Fatal(err)
			}
			if tc.calls == 0 && result.Calls < spec.Connections || tc.calls > 0 && result.Calls != tc.calls {
				t.Errorf("%d calls, want %d", result.Calls, tc.calls)
			}
			if result.P50 <= 0 || result.P50 > result.P99 || result.P99 > result.Max || result.Elapsed <= 0 {
				t.Errorf("result %+v", result)
			}
		})
	}
}

func TestRunStopsAtAWrongAnswer(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nmcp-session-id: s\r\ncontent-length: 26\r\n\r\n" + `{"id":0,"result":{"x":12}}`
	const accepted = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
	for name, tc := range map[string]struct{ answer, want string }{
		"status":          {"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno", "503"},
		"other id":        {"HTTP/1.1 200 OK\r\ncontent-length: 52\r\n\r\n" + `{"id":1,"result":{"content":[{"text":"64 bytes"}]}} `, "without the id"},
		"error answer":    {"HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n" + `{"id":1000000001,"error":{"c":1}`[:31], "without"},
		"other size":      {"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n" + `{"id":1000000001,"result":"60 bytes"}    `[:40], "64 bytes"},
		"connection ends": {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				for _, answer := range []string{ok, accepted, tc.answer} {
					if _, err := conn.Read(make([]byte, 64<<10)); err != nil {
						return
					}
					if _, err := conn.Write([]byte(answer)); err != nil {
						return
					}
				}
				_ = conn.Close()
			}()
			spec := load.Spec{Address: l.Addr().String(), Method: load.MethodCall, Tool: backend.ToolEcho, Size: 64, Connections: 1, Duration: time.Second}
			_, err := load.Run(t.Context(), spec, started)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestRunFindsAnUnknownTool(t *testing.T) {
	t.Parallel()
	spec := load.Spec{Address: serve(t), Method: load.MethodCall, Tool: "a_echo", Size: 64, Connections: 1, Duration: time.Second}
	if err := load.Probe(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "Unknown tool") {
		t.Errorf("got %v", err)
	}
}

func TestRunMeasuresOnlyWhenStarted(t *testing.T) {
	t.Parallel()
	refused := errors.New("not now")
	spec := load.Spec{Address: serve(t), Method: load.MethodCall, Tool: backend.ToolEcho, Connections: 1, Duration: time.Hour}
	if _, err := load.Run(t.Context(), spec, func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want the refusal", err)
	}
}

func TestStreamSeesEveryEvent(t *testing.T) {
	t.Parallel()
	result, err := load.Stream(t.Context(), load.Spec{Address: serve(t), Tool: backend.ToolStream, Duration: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if result.Events == 0 || result.Events%backend.StreamEvents != 0 {
		t.Errorf("%d events", result.Events)
	}
	if result.First <= 0 || result.TransitP50 <= 0 || result.TransitP99 < result.TransitP50 || result.TransitP99 > 10*time.Second {
		t.Errorf("result %+v", result)
	}
}

func TestTextHasTheSizeAskedForAndIsOneJSONString(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 57, 64, 16 << 10, 1 << 20} {
		text := load.Text(n)
		if len(text) != n || !json.Valid([]byte(`"`+string(text)+`"`)) {
			t.Errorf("%d bytes, want %d of a JSON string", len(text), n)
		}
	}
}
