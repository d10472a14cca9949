package broker

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
)

const aCall = `{"jsonrpc":"2.0","id": 5 ,"method":"tools/call","params":{"name":"a","arguments":{"n":1e400}}}`

func TestReplaySendsTheMessageOnceInANewSession(t *testing.T) {
	t.Parallel()
	const pinged = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n"
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		status int
		kind   string
		body   string
	}{
		{"JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id": 5 ,"result":{"x":1.0}}`))
		}, 200, "application/json", `{"jsonrpc":"2.0","id": 5 ,"result":{"x":1.0}}`},
		{"stream up to the response", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte(": hello\n\nid: 1\ndata:\n\n" + pinged + "event: message\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"m\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\": 5 ,\"result\":{}}\n\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // it does not end it
		}, 200, "text/event-stream", ": hello\n\nid: 1\ndata: \n\nevent: message\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"m\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\": 5 ,\"result\":{}}\n\n"},
		{"stream without a response", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("data: {\"jsonrpc\":\"2.0\",\"method\":\"m\"}\n\n"))
		}, 502, "", ""},
		{"accepted", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }, 202, "", ""},
		{"gone again", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 502, "", ""},
		{"server error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, address, 500) }, 502, "", ""},
		{"other type", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 502, "", ""},
		{"hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 502, "", ""},
		{"endless stream", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for chunk := []byte("data: " + strings.Repeat("x", 1<<20) + "\n\n"); r.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, 502, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one := newTalker("a")
				one.Hello = withAll().Hello
				one.Results["logging/setLevel"] = `{}`
				hello := one.Intercept
				one.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
					if hello(w, r, method, id) {
						return true
					}
					if method == "tools/call" {
						test.answer(w, r)
						return true
					}
					return false
				}
				c := config("one")
				c.Servers[0].CallTimeout = gatewayconfig.Duration(time.Minute)
				c.Servers[0].Headers = map[string]string{"X-Of-The-Server": "x"}
				g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
				id := g.open()
				g.join(id, "one")
				g.post(id, setLevel(`"debug"`))
				one.name("second")
				began := time.Now()
				got := g.inside("POST", gatewayconfig.PathReplay, fmt.Sprintf("{\"session\":%q,\"server\":\"one\",\"stale\":\"backend\"}\n%s", id, aCall), nil)
				if got.status != test.status || test.status == 200 && (got.body != test.body || got.header.Get("Content-Type") != test.kind) {
					t.Errorf("%d %s %q", got.status, got.header.Get("Content-Type"), got.body)
				}
				if strings.Contains(got.body, address) {
					t.Errorf("an address: %s", got.body)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("took %v", took)
				}
				calls := one.Requests("POST", "tools/call")
				if len(calls) != 1 || calls[0].Body != aCall || calls[0].Header.Get("Mcp-Session-Id") != "second" || calls[0].Header.Get("X-Of-The-Server") != "x" {
					t.Errorf("sent %+v", calls)
				}
				levels := one.Requests("POST", "logging/setLevel")
				if last := levels[len(levels)-1]; last.Header.Get("Mcp-Session-Id") != "second" {
					t.Errorf("the level is not restored: %+v", last)
				}
			})
		})
	}
}

func TestReplayStatuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one", "down")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		question := func(server string) string { return fmt.Sprintf(`{"session":%q,"server":%q}`, id, server) }
		for body, want := range map[string]int{
			question("gone") + "\n" + aCall:                 410,
			question("down") + "\n" + aCall:                 502,
			`{"session":"x","server":"one"}` + "\n" + aCall: 404,
			question("one"):                                 400,
			question("one") + "\n":                          400,
			question("") + "\n" + aCall:                     400,
			"\n" + aCall:                                    400,
			"":                                              400,
			question("one") + "\n" + strings.Repeat("x", 64<<10+largestQuestion): 400,
		} {
			if got := g.inside("POST", gatewayconfig.PathReplay, body, nil); got.status != want || strings.Contains(got.body, address) {
				t.Errorf("%.60s: %d %s, want %d", body, got.status, got.body, want)
			}
		}
		away := &broken{Store: g.store, get: session.ErrUnavailable}
		h := newGateway(t, setup{store: away, config: config("one")}, map[string]http.Handler{"one": raw("a")})
		if got := h.inside("POST", gatewayconfig.PathReplay, question("one")+"\n"+aCall, nil); got.status != 503 {
			t.Errorf("store away: %d", got.status)
		}
		guarded := newGateway(t, setup{opts: Options{Secret: "s"}, config: config()}, nil)
		if got := guarded.inside("POST", gatewayconfig.PathReplay, question("one")+"\n"+aCall, nil); got.status != 401 {
			t.Errorf("without the secret: %d", got.status)
		}
	})
}

// Who asks may leave: then the call ends too.
func TestReplayEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		ended := make(chan struct{})
		one.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "tools/call" {
				<-r.Context().Done()
				close(ended)
			}
			return false
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "POST", gatewayconfig.PathReplay,
			strings.NewReader(fmt.Sprintf("{\"session\":%q,\"server\":\"one\"}\n%s", g.open(), aCall)))
		began := time.Now()
		g.broker.Internal().ServeHTTP(httptest.NewRecorder(), r)
		<-ended
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// The filter hears of it from the table a moment later.
func TestServerWithoutSessionsOpensNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		one.Hello, one.Session, one.Stateless = "", "", true
		one.Discover = rawserver.Discovery(`{"tools":{}}`)
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		question := fmt.Sprintf(`{"session":%q,"server":"one"}`, g.open())
		for path, body := range map[string]string{gatewayconfig.PathResolve: question, gatewayconfig.PathReplay: question + "\n" + aCall} {
			if got := g.inside("POST", path, body, nil); got.status != 409 {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
		if got := one.Requests("POST", "tools/call"); len(got) > 0 {
			t.Errorf("sent %+v", got)
		}
	})
}
