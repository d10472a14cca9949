package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/mcp"
)

const (
	statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	statelessCall = `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"ä b","arguments":{},` + statelessMeta + `}}`
	legacyCall    = `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"a"}}`
)

// converse sends a call and returns what it brings.
func converse(t *testing.T, s *Server, in Session, c Conversation) ([]string, error) {
	t.Helper()
	var got []string
	each := c.Each
	c.Each = func(message []byte) error {
		got = append(got, string(message))
		if each != nil {
			return each(message)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := s.Converse(ctx, in, c)
	return got, err
}

func TestStatelessRequestOnTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The server refuses headers that do not repeat the body.
		sc := &rawserver.Server{Discover: rawserver.Discovery("{}"), Stateless: true, Results: map[string]string{"tools/call": `{"content":[]}`}}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		s.client.headers = map[string]string{"mcp-session-id": "forged", "mcp-name": "forged", "x-key": "k"}
		got, err := converse(t, s, Session{Version: mcp.Revision20260728}, Conversation{
			Message: []byte(statelessCall),
			Header:  http.Header{"Mcp-Param-Region": {"eu"}, "Mcp-Method": {"forged"}, "mcp-protocol-version": {"forged"}},
		})
		if err != nil || len(got) != 1 || got[0] != `{"jsonrpc":"2.0","id":"c","result":{"content":[]}}` {
			t.Fatalf("%q, %v", got, err)
		}
		r := sc.Seen()[0]
		if r.Body != statelessCall {
			t.Errorf("body %s", r.Body)
		}
		want := http.Header{
			"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}, "User-Agent": {"mcp-gateway"},
			"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"=?base64?w6QgYg==?="},
			"Mcp-Param-Region": {"eu"}, "X-Key": {"k"}, "Content-Length": {fmt.Sprint(len(statelessCall))},
		}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	})
}

func TestConverseHandsOverMessageByMessage(t *testing.T) {
	t.Parallel()
	const (
		progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"n":9007199254740993}}`
		asks     = `{"jsonrpc":"2.0","id":"c","method":"elicitation/create","params":{}}`
		ping     = `{"jsonrpc":"2.0","id":7,"method":"ping"}`
		stranger = `{"jsonrpc":"2.0","id":1,"result":{}}`
		mine     = `{"jsonrpc":"2.0","id":"\u0063","result":{"x":1.0}}`
	)
	for name, test := range map[string]struct {
		in    Session
		call  string
		pongs int
		want  []string
	}{
		// In a session the server may ask; a stateless one may not.
		"session":   {Session{"s", mcp.LatestLegacy}, legacyCall, 2, []string{progress, asks, progress, mine}},
		"stateless": {Session{Version: mcp.Revision20260728}, statelessCall, 0, []string{progress, progress, mine}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{}
				heard := make(chan struct{})
				sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method != "tools/call" {
						return false
					}
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = fmt.Fprintf(w, ": hello\n\nid: 1\ndata:\n\ndata: no message\n\ndata: %s\n\n", progress)
					_ = http.NewResponseController(w).Flush()
					<-heard // before anything more is sent
					_, _ = fmt.Fprintf(w, "data: %s\n\ndata: %s\n\ndata: [%s,%s,7]\n\ndata: %s\n\ndata: %s\n\ndata: %s\n\n",
						asks, ping, ping, progress, stranger, mine, progress)
					return true
				}
				transport, _ := rawserver.Serve(t, sc)
				first := true
				got, err := converse(t, newServer(t, transport, nil), test.in, Conversation{Message: []byte(test.call), Each: func([]byte) error {
					if first {
						close(heard)
					}
					first = false
					return nil
				}})
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				if pongs := sc.Requests("POST", ""); len(pongs) != test.pongs {
					t.Errorf("answers %+v", pongs)
				}
			})
		})
	}
}

func TestConverseTakesErrorsWithAnyStatus(t *testing.T) {
	t.Parallel()
	const refusal = `,"error":{"code":-32020,"message":"no"}}`
	for _, test := range []struct {
		name    string
		in      Session
		status  int
		kind    string
		body    string
		want    string // a message
		problem string // or in the error
	}{
		{"own id", Session{Version: mcp.Revision20260728}, 400, "application/json", `{"jsonrpc":"2.0","id":"c"` + refusal, `{"jsonrpc":"2.0","id":"c"` + refusal, ""},
		{"own id, session", Session{"s", mcp.LatestLegacy}, 404, "application/json", `{"jsonrpc":"2.0","id":"c"` + refusal, `{"jsonrpc":"2.0","id":"c"` + refusal, ""},
		{"server's fault", Session{Version: mcp.Revision20260728}, 500, "application/json", `{"jsonrpc":"2.0","id":"c"` + refusal, `{"jsonrpc":"2.0","id":"c"` + refusal, ""},
		{"no id", Session{Version: mcp.Revision20260728}, 404, "application/json", `{"jsonrpc":"2.0","id":null` + refusal, `{"jsonrpc":"2.0","id":"c"` + refusal, ""},
		{"no id, server's fault", Session{Version: mcp.Revision20260728}, 503, "application/json", `{"jsonrpc":"2.0","id":null` + refusal, "", "status 503"},
		{"no id, success", Session{Version: mcp.Revision20260728}, 200, "application/json", `{"jsonrpc":"2.0","id":null` + refusal, "", "does not belong"},
		{"other id", Session{Version: mcp.Revision20260728}, 400, "application/json", `{"jsonrpc":"2.0","id":1` + refusal, "", "status 400"},
		{"no message", Session{Version: mcp.Revision20260728}, 400, "application/json", `{"error":"no"}`, "", "status 400"},
		{"no message, success", Session{Version: mcp.Revision20260728}, 200, "application/json", `{"error":"no"}`, "", "no JSON-RPC message"},
		{"text", Session{Version: mcp.Revision20260728}, 404, "text/plain", `no`, "", "status 404"},
		{"html", Session{Version: mcp.Revision20260728}, 200, "text/html", `<p>`, "", `type "text/html"`},
		{"no content", Session{Version: mcp.Revision20260728}, 202, "", ``, "", "status 202"},
		{"stream ends", Session{Version: mcp.Revision20260728}, 200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n\n", "", "ends before the answer"},
		{"session lost", Session{"s", mcp.LatestLegacy}, 404, "application/json", `{"jsonrpc":"2.0","id":null` + refusal, "", ErrSessionGone.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Intercept: func(w http.ResponseWriter, _ *http.Request, _, _ string) bool {
					w.Header().Set("Content-Type", test.kind)
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.body))
					return true
				}}
				transport, _ := rawserver.Serve(t, sc)
				message := legacyCall
				if test.in.ID == "" {
					message = statelessCall
				}
				got, err := converse(t, newServer(t, transport, nil), test.in, Conversation{Message: []byte(message)})
				switch {
				case test.problem == "" && (err != nil || len(got) != 1 || got[0] != test.want):
					t.Errorf("%q, %v", got, err)
				case test.problem != "" && (err == nil || len(got) != 0 || !strings.Contains(err.Error(), test.problem)):
					t.Errorf("%q, %v, want %q", got, err, test.problem)
				}
			})
		})
	}
}

// A server of 2025-11-25 may close the stream of a call and be asked for the rest.
func TestConverseResumesBrokenStreams(t *testing.T) {
	t.Parallel()
	const (
		progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"n":%d}}`
		result   = `{"jsonrpc":"2.0","id":"c","result":{}}`
	)
	event := func(id int, message string) string { return fmt.Sprintf("id: %d\ndata: %s\n\n", id, message) }
	for _, test := range []struct {
		name   string
		in     Session
		posted string
		got    []string // bodies of the GETs; others are 405
		want   int      // messages
		after  []string // ids to resume behind
		err    string
		least  time.Duration
	}{
		{"closed", Session{"s", mcp.LatestLegacy}, "retry: 3000\nid: 1\ndata:\n\n", []string{event(2, fmt.Sprintf(progress, 1)) + event(3, result)}, 2, []string{"1"}, "", 3 * time.Second},
		{"closed again and again", Session{"s", mcp.LatestLegacy}, event(1, fmt.Sprintf(progress, 1)),
			[]string{"", event(2, fmt.Sprintf(progress, 2)), "", "", "", event(3, fmt.Sprintf(progress, 3)), event(4, result)}, 4,
			[]string{"1", "1", "2", "2", "2", "2", "3"}, "", 0},
		{"nothing comes", Session{"s", mcp.LatestLegacy}, event(1, fmt.Sprintf(progress, 1)), []string{"", "", "", "", "", event(2, result)}, 1, []string{"1", "1", "1", "1"}, "ends before the answer", 0},
		{"not to be resumed", Session{"s", mcp.LatestLegacy}, event(1, fmt.Sprintf(progress, 1)), nil, 1, []string{"1"}, "ends before the answer", 0},
		{"no ids", Session{"s", mcp.LatestLegacy}, "data: " + fmt.Sprintf(progress, 1) + "\n\n", nil, 1, nil, "ends before the answer", 0},
		{"stateless", Session{Version: mcp.Revision20260728}, event(1, fmt.Sprintf(progress, 1)), nil, 1, nil, "ends before the answer", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var after []string
				sc := &rawserver.Server{Intercept: func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
					body := test.posted
					if r.Method == http.MethodGet {
						after = append(after, r.Header.Get("Last-Event-Id"))
						if len(after) > len(test.got) {
							w.WriteHeader(http.StatusMethodNotAllowed)
							return true
						}
						body = test.got[len(after)-1]
					}
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = w.Write([]byte(body))
					return true
				}}
				transport, _ := rawserver.Serve(t, sc)
				message := legacyCall
				if test.in.ID == "" {
					message = statelessCall
				}
				began := time.Now()
				got, err := converse(t, newServer(t, transport, nil), test.in, Conversation{Message: []byte(message)})
				if len(got) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("%q, %v", got, err)
				}
				if diff := cmp.Diff(test.after, after); diff != "" {
					t.Errorf("resumed behind (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < test.least {
					t.Errorf("resumed after %v", took)
				}
			})
		})
	}
}

func TestConverseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{}, 2)
		sc := &rawserver.Server{Intercept: func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte(rawserver.Notification("m")))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			closed <- struct{}{}
			return true
		}}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		in := Session{Version: mcp.Revision20260728}

		enough := errors.New("enough")
		if _, err := converse(t, s, in, Conversation{Message: []byte(statelessCall), Each: func([]byte) error { return enough }}); !errors.Is(err, enough) {
			t.Errorf("error of Each: %v", err)
		}
		<-closed

		ctx, cancel := context.WithCancelCause(t.Context())
		away := errors.New("the client is away")
		err := s.Converse(ctx, in, Conversation{Message: []byte(statelessCall), Each: func([]byte) error { cancel(away); return nil }})
		if !errors.Is(err, away) {
			t.Errorf("cancelled: %v", err)
		}
		<-closed // the exchange is closed, which tells the server

		for _, message := range []string{`{"jsonrpc":"2.0","method":"m"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`, `[]`, `{`} {
			if _, err := converse(t, s, in, Conversation{Message: []byte(message)}); err == nil {
				t.Errorf("%s is sent", message)
			}
		}
	})
}
