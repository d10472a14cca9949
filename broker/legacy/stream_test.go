package legacy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
)

// All that goes through the endpoint is the client's own, but for what only
// Streamable HTTP has.
func TestMessagesGoThroughTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		g := newGateway(t, end)
		s := g.open("Host: mcp.example:1", "Authorization: Bearer 1", "Mcp-Session-Id: forged", "X-Envoy-Retry-On: 5xx")
		if !strings.HasPrefix(s.place, "/mcp/sse/messages?sessionId=") || strings.Contains(s.place, end.Session) {
			t.Errorf("endpoint %q", s.place)
		}
		s.tell(initializeAt("2024-11-05"), "Host: mcp.example:1", "Authorization: Bearer 2", "Mcp-Session-Id: forged", "Mcp-Protocol-Version: 2024-11-05",
			"X-Mcp-Server: docs", "Origin: http://mcp.example", "Connection: X-Hop", "X-Hop: 1", "X-Key: k")
		want := `{"jsonrpc":"2.0","id":"\u0061","result":{"capabilities":{},"protocolVersion":"2024-11-05","serverInfo":{"name":"gw","version":"1"}}}`
		if got := s.message(); got != want {
			t.Errorf("initialize: %s, want %s", got, want)
		}
		s.tell(initialized, "Host: mcp.example:1", "Authorization: Bearer 3")
		s.tell(ping("1.0"), "Host: mcp.example:1", "Authorization: Bearer 4", "Content-Type: application/json; charset=utf-8")
		if got := s.message(); got != pong("1.0") {
			t.Errorf("ping: %s", got)
		}
		synctest.Wait()
		s.leave()
		synctest.Wait()

		seen := end.Seen()
		var got []string
		for _, r := range seen {
			h := r.Header
			got = append(got, strings.Join([]string{r.Verb, r.Method, r.Host, h.Get("Authorization"), h.Get("Accept"), h.Get("Mcp-Session-Id"), h.Get("Mcp-Protocol-Version")}, "|"))
		}
		both := "application/json, text/event-stream"
		// The stream of the session and the ping run at the same time.
		if len(got) > 3 && strings.HasPrefix(got[2], "POST") {
			got[2], got[3] = got[3], got[2]
		}
		if diff := cmp.Diff([]string{
			"POST|initialize|mcp.example:1|Bearer 2|" + both + "||",
			"POST|notifications/initialized|mcp.example:1|Bearer 3|" + both + "|the-session|2025-03-26",
			"GET||mcp.example:1|Bearer 4|text/event-stream|the-session|2025-03-26",
			"POST|ping|mcp.example:1|Bearer 4|" + both + "|the-session|2025-03-26",
			"DELETE||mcp.example:1|Bearer 4||the-session|2025-03-26",
		}, strings.Split(strings.ReplaceAll(strings.Join(got, "\n"), "GET||mcp.example:1|Bearer 3", "GET||mcp.example:1|Bearer 4"), "\n")); diff != "" {
			t.Errorf("the endpoint saw (-want +got):\n%s", diff)
		}
		if want := initializeAt("2025-03-26"); seen[0].Body != want {
			t.Errorf("initialize went as %s, want %s", seen[0].Body, want)
		}
		for _, name := range []string{"X-Mcp-Server", "Origin", "X-Hop", "X-Envoy-Retry-On"} {
			if v := seen[0].Header.Get(name); v != "" {
				t.Errorf("%s: %q went on", name, v)
			}
		}
		if seen[0].Header.Get("X-Key") != "k" {
			t.Error("X-Key did not go on")
		}
	})
}

// A revision that Streamable HTTP has is left alone.
func TestNewerRevisionPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		end.Hello = rawserver.Hello("{}")
		s := newGateway(t, end).open()
		s.tell(initializeAt("2025-11-25"))
		if got := s.message(); !strings.Contains(got, rawserver.Hello("{}")) || end.Seen()[0].Body != initializeAt("2025-11-25") {
			t.Errorf("answer %s to %s", got, end.Seen()[0].Body)
		}
		s.tell(initializeAt("2025-11-25"))
		if got := s.message(); !strings.Contains(got, `"id":"\u0061","error":{"code":-32600`) {
			t.Errorf("second initialize: %s", got)
		}
		s.tell(ping("1"))
		s.message()
		if v := end.Requests("POST", "ping")[0].Header.Get("Mcp-Protocol-Version"); v != "2025-11-25" {
			t.Errorf("header %q", v)
		}
	})
}

// Nothing overtakes initialize and what follows it; after that, slow requests
// hold up nobody.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		free := make(chan struct{})
		end.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, id string) bool {
			switch {
			case method == "initialize", strings.HasPrefix(method, "notifications/"):
				time.Sleep(time.Minute)
			case id == "1":
				<-free
			}
			return false
		}
		s := newGateway(t, end).open()
		s.tell(initializeAt("2024-11-05"))
		s.tell(initialized)
		s.tell(ping("1"))
		s.tell(ping("2"))
		s.tell(ping("3"))
		s.message()
		got := []string{s.message(), s.message()}
		if diff := cmp.Diff([]string{pong("2"), pong("3")}, got); diff != "" && got[0] != pong("3") {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		close(free)
		if got := s.message(); got != pong("1") {
			t.Errorf("slow answer %s", got)
		}
		var methods []string
		for _, r := range end.Seen() {
			if r.Verb == "POST" {
				methods = append(methods, r.Method)
			}
		}
		if want := "initialize notifications/initialized ping ping ping"; strings.Join(methods, " ") != want {
			t.Errorf("the endpoint saw %v", methods)
		}
	})
}

// The answer's own stream and the session's are merged into the client's.
func TestStreamsAreMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		feed := rawserver.NewFeed()
		end.Stream = feed.ServeHTTP
		ask := `{"jsonrpc":"2.0","id":"a~1","method":"roots/list"}`
		answered := make(chan struct{})
		end.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
			if method == "" && r.Method == "POST" {
				close(answered)
			}
			if method != "tools/call" {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ": hi\n\nid: 1\ndata:\n\nevent: message\ndata: "+ask+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-answered
			_, _ = io.WriteString(w, "data: "+pong(id)+"\n\n")
			return true
		}
		s := newGateway(t, end).open()
		s.initialize()
		s.tell(`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"x"}}`)
		if got := s.message(); got != ask {
			t.Errorf("the server's request: %s", got)
		}
		answer := `{"jsonrpc":"2.0","id":"a~1","result":{ }}`
		s.tell(answer)
		if got := s.message(); got != pong("9") {
			t.Errorf("answer: %s", got)
		}
		feed.Out <- rawserver.Notification("notifications/tools/list_changed")
		if got := s.message(); !strings.Contains(got, "tools/list_changed") {
			t.Errorf("from the session's stream: %s", got)
		}
		if got := end.Requests("POST", ""); len(got) != 1 || got[0].Body != answer {
			t.Errorf("answers at the endpoint: %+v", got)
		}
	})
}

func TestEndOfTheStreamEndsTheSession(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*stream){
		"client leaves": func(s *stream) { s.leave() },
		"gateway ends":  func(s *stream) { s.stop() },
		"session has ended elsewhere": func(s *stream) {
			s.tell(`{"jsonrpc":"2.0","id":1,"method":"gone"}`)
			if got := s.message(); !strings.Contains(got, `"id":1,"error":{"code":-32600`) {
				s.t.Errorf("answer %s", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				cut := make(chan struct{})
				end.Intercept = func(w http.ResponseWriter, r *http.Request, method, _ string) bool {
					switch method {
					case "gone":
						w.WriteHeader(http.StatusNotFound)
						_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"session not found"}}`)
						return true
					case "slow":
						<-r.Context().Done()
						close(cut)
						return true
					}
					return false
				}
				g := newGateway(t, end)
				s := g.open()
				s.initialize()
				s.tell(`{"jsonrpc":"2.0","id":7,"method":"slow"}`)
				synctest.Wait()
				leave(s)
				<-cut // what still runs is given up
				synctest.Wait()
				if got := end.Requests("DELETE", ""); len(got) != 1 || got[0].Header.Get("Mcp-Session-Id") != "the-session" {
					t.Errorf("ends at the endpoint: %+v", got)
				}
				if _, open := <-s.lines; open {
					t.Error("the stream goes on")
				}
				if r := g.do("POST", s.place, ping("1")); r.status != 404 || !strings.Contains(r.body, "-32600") {
					t.Errorf("message to a stream that has ended: %d %s", r.status, r.body)
				}
			})
		})
	}
}

// When the gateway ends, Envoy may be gone first.
func TestSessionEndsWithoutTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, endpoint())
		s := g.open()
		s.initialize()
		synctest.Wait()
		go g.down()
		s.leave()
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if diff := cmp.Diff([]string{"the-session"}, g.ended); diff != "" {
			t.Errorf("ended here (-want +got):\n%s", diff)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, endpoint())
		s, other := g.open(), g.open()
		r := g.do("GET", "/mcp/sse", "")
		if r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("third stream of two: %d %s", r.status, r.body)
		}
		other.leave()
		synctest.Wait()
		g.open().leave()

		for _, test := range []struct {
			name, method, path, body string
			headers                  []string
			status                   int
		}{
			{"body", "POST", s.place, strings.Repeat(" ", bodyLimit) + ping("1"), nil, 413},
			{"broken", "POST", s.place, "{", nil, 400},
			{"batch", "POST", s.place, "[" + ping("1") + "]", nil, 400},
			{"type", "POST", s.place, ping("1"), []string{"Content-Type: text/plain"}, 415},
			{"no session", "POST", "/mcp/sse/messages", ping("1"), nil, 404},
			{"method", "PUT", s.place, ping("1"), nil, 405},
			{"stream's method", "DELETE", "/mcp/sse", "", nil, 405},
			{"stream's type", "GET", "/mcp/sse", "", []string{"Accept: application/json"}, 406},
			{"other path", "GET", "/mcp/sse/x", "", nil, http.StatusTeapot},
		} {
			if r := g.do(test.method, test.path, test.body, test.headers...); r.status != test.status {
				t.Errorf("%s: %d %s, want %d", test.name, r.status, r.body, test.status)
			}
		}
	})
}

// A client cannot make messages pile up.
func TestWaitingMessagesAreBounded(t *testing.T) {
	t.Parallel()
	large := `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"` + strings.Repeat("x", 4000) + `"}}`
	for name, test := range map[string]struct {
		message string
		fit     int
	}{"by bytes": {large, waitingBodies}, "by number": {ping("1"), maxWaiting}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				free := make(chan struct{})
				end.Intercept = func(http.ResponseWriter, *http.Request, string, string) bool { <-free; return false }
				s := newGateway(t, end).open()
				for range test.fit {
					s.tell(test.message)
				}
				if r := s.do("POST", s.place, test.message); r.status != 503 || !strings.HasPrefix(r.body, `{"jsonrpc":"2.0","id":1,"error"`) {
					t.Errorf("one more: %d %s", r.status, r.body)
				}
				close(free)
				for range test.fit {
					s.message()
				}
				s.tell(test.message)
				if got := s.message(); got != pong("1") {
					t.Errorf("after all: %s", got)
				}
			})
		})
	}
}

func TestStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newGateway(t, endpoint()).open()
		begun := time.Now()
		s.initialize()
		for range 10 {
			if got := s.next(); got != ": keep-alive" {
				t.Errorf("line %q", got)
			}
		}
		if took := time.Since(begun); took != 10*keepAliveEvery {
			t.Errorf("ten comments in %v", took)
		}
	})
}

// A client that does not read what it asked for loses its stream.
func TestClientThatDoesNotReadIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		end.Results["large"] = `"` + strings.Repeat("x", 1<<20) + `"`
		g := newGateway(t, end)
		slow := g.unread()
		slow.tell(initializeAt("2024-11-05"))
		slow.tell(`{"jsonrpc":"2.0","id":1,"method":"large"}`)
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if r := g.do("POST", slow.place, ping("1")); r.status != 404 {
			t.Errorf("a stream that nobody reads goes on: %d", r.status)
		}
	})
}
