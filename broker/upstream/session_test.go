package upstream

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

func TestOpenSessionPresentsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello("{}"), Session: "of-the-client"}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		in, err := s.OpenSession(t.Context(), Client{
			Version: mcp.Revision20250326, Info: []byte(`{"name":"cli","n":1e400}`), Capabilities: []byte(`{"roots":{ }}`),
		})
		if err != nil || in != (Session{"of-the-client", mcp.Revision20251125}) {
			t.Fatalf("OpenSession = %+v, %v", in, err)
		}
		const want = `"params":{"protocolVersion":"2025-03-26","capabilities":{"roots":{ }},"clientInfo":{"name":"cli","n":1e400}}`
		if got := sc.Requests("POST", "initialize"); len(got) != 1 || !strings.Contains(got[0].Body, want) {
			t.Errorf("initialize %+v", got)
		}
		if got := sc.Requests("POST", "notifications/initialized"); len(got) != 1 || got[0].Header.Get("Mcp-Session-Id") != in.ID {
			t.Errorf("initialized %+v", got)
		}
		if err := s.EndSession(t.Context(), in); err != nil {
			t.Error(err)
		}
		if got := sc.Requests("DELETE", ""); len(got) != 1 || got[0].Header.Get("Mcp-Session-Id") != in.ID || got[0].Header.Get("Mcp-Protocol-Version") != "2025-11-25" {
			t.Errorf("end %+v", got)
		}
	})
}

// Calls go to the server without it, so what the broker does in a client's
// session has to be the same caller's.
func TestCredentialIsForTheBrokersOwnSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"tools":{}}`), Session: "s", Results: rawserver.Empty()}
		transport, _ := rawserver.Serve(t, sc)
		s, stop := start(t, transport, func(cfg *gatewayconfig.Server, _ *Options) {
			cfg.Headers, cfg.Credential = map[string]string{"X-Key": "k"}, "Bearer t"
		})
		synctest.Wait()
		own := len(sc.Seen())
		in, err := s.OpenSession(t.Context(), Client{Version: mcp.LatestLegacy})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Exchange(t.Context(), in, []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`), nil)
		_ = s.EndSession(t.Context(), in)
		all := sc.Seen()
		stop()
		if own < 3 || len(all) < own+4 {
			t.Fatalf("%d requests, %d of the broker's own", len(all), own)
		}
		for i, r := range all {
			want := ""
			if i < own {
				want = "Bearer t"
			}
			if got := r.Header.Get("Authorization"); got != want || r.Header.Get("X-Key") != "k" {
				t.Errorf("%s %s: authorization %q, want %q", r.Verb, r.Method, got, want)
			}
		}
	})
}

func TestSessionlessServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello("{}")}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		in, err := s.OpenSession(t.Context(), Client{Version: mcp.LatestLegacy})
		if err != nil || in != (Session{"", mcp.LatestLegacy}) {
			t.Fatalf("OpenSession = %+v, %v", in, err)
		}
		if got := sc.Requests("POST", "initialize"); !strings.Contains(got[0].Body, `"capabilities":{},"clientInfo":{"name":"gw","version":"9"}`) {
			t.Errorf("without clientInfo the gateway presents itself: %s", got[0].Body)
		}
		if err := s.EndSession(t.Context(), in); err != nil || len(sc.Requests("DELETE", "")) != 0 {
			t.Errorf("EndSession: %v, %d DELETE", err, len(sc.Requests("DELETE", "")))
		}
	})
}

func TestEndSessionAcceptsWhatServersAnswer(t *testing.T) {
	t.Parallel()
	for status, ok := range map[int]bool{200: true, 202: true, 204: true, 404: true, 405: true, 400: false, 500: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, _ := rawserver.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
				err := newServer(t, transport, nil).EndSession(t.Context(), Session{"s", mcp.LatestLegacy})
				if (err == nil) != ok {
					t.Errorf("EndSession = %v", err)
				}
			})
		})
	}
}

func TestFailedOpenSessionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello("{}"), Session: "orphan"}
		ctx, cancel := context.WithCancel(t.Context())
		sc.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == "notifications/initialized" {
				cancel()
				<-r.Context().Done()
				return true
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		if _, err := newServer(t, transport, nil).OpenSession(ctx, Client{Version: mcp.LatestLegacy}); err == nil {
			t.Fatal("OpenSession succeeded")
		}
		if got := sc.Requests("DELETE", ""); len(got) != 1 || got[0].Header.Get("Mcp-Session-Id") != "orphan" {
			t.Errorf("DELETE %+v", got)
		}
	})
}

func TestOpenSessionsAreBoundedPerServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		enter := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
		}
		sc := &rawserver.Server{Hello: rawserver.Hello("{}"), Session: "s"}
		sc.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "initialize" {
				enter(1)
				time.Sleep(time.Second)
				enter(-1)
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := s.OpenSession(t.Context(), Client{Version: mcp.LatestLegacy}); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.OpenSession(ctx, Client{Version: mcp.LatestLegacy}); err == nil {
			t.Error("a caller in the queue outlives its context")
		}
		wg.Wait()
		if want := gatewayconfig.DefaultLimits().Openings; most != want {
			t.Errorf("at most %d at once, want %d", most, want)
		}
	})
}

func TestOpenSessionTellsWhatTheClientHasSet(t *testing.T) {
	t.Parallel()
	uris := make([]string, 100)
	for i := range uris {
		uris[i] = fmt.Sprintf(`file:///"%d`, i)
	}
	for name, test := range map[string]struct {
		hello         string
		levels, terms int
	}{
		"all":           {`{"logging":{},"resources":{"subscribe":true}}`, 1, 100},
		"no logging":    {`{"resources":{"subscribe":true}}`, 0, 100},
		"no subscribe":  {`{"logging":{},"resources":{}}`, 1, 0},
		"not even that": {`{}`, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				now, most := 0, 0
				sc := &rawserver.Server{Hello: rawserver.Hello(test.hello), Session: "s", Results: map[string]string{
					"logging/setLevel": "{}", "resources/subscribe": "{}",
				}}
				sc.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method == "resources/subscribe" {
						mu.Lock()
						now++
						most = max(most, now)
						mu.Unlock()
						time.Sleep(100 * time.Millisecond)
						mu.Lock()
						now--
						mu.Unlock()
					}
					return false
				}
				transport, _ := rawserver.Serve(t, sc)
				in, err := newServer(t, transport, nil).OpenSession(t.Context(), Client{
					Version: mcp.LatestLegacy, Level: "debug", Subscriptions: uris,
				})
				if err != nil {
					t.Fatal(err)
				}
				levels := sc.Requests("POST", "logging/setLevel")
				if len(levels) != test.levels || test.levels > 0 && !strings.Contains(levels[0].Body, `"params":{"level":"debug"}`) {
					t.Errorf("levels %+v", levels)
				}
				told := map[string]bool{}
				for _, r := range sc.Requests("POST", "resources/subscribe") {
					if r.Header.Get("Mcp-Session-Id") != in.ID || strings.Contains(r.Body, `"id":1`) {
						t.Errorf("session %q, %s", r.Header.Get("Mcp-Session-Id"), r.Body)
					}
					told[r.Body[strings.Index(r.Body, `"params"`):]] = true
				}
				if len(told) != test.terms || test.terms > 0 && !told[`"params":{"uri":"file:///\"7"}}`] {
					t.Errorf("%d subscriptions told", len(told))
				}
				if most > restorings {
					t.Errorf("%d at once", most)
				}
			})
		})
	}
}

// A server that refuses, or hangs, has its session all the same, in bounded time.
func TestOpenSessionGoesOnWithoutWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"refuses": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Hello: rawserver.Hello(`{"logging":{},"resources":{"subscribe":true}}`), Session: "s"}
				sc.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
					if hangs && method == "resources/subscribe" {
						<-r.Context().Done()
					}
					return false
				}
				transport, _ := rawserver.Serve(t, sc)
				began := time.Now()
				in, err := newServer(t, transport, nil).OpenSession(t.Context(), Client{
					Version: mcp.LatestLegacy, Level: "debug", Subscriptions: make([]string, 1000),
				})
				if err != nil || in.ID != "s" || time.Since(began) > 10*time.Second {
					t.Errorf("OpenSession = %+v, %v after %v", in, err, time.Since(began))
				}
			})
		})
	}
}

func TestRequestIsAnsweredWithRawBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Results: map[string]string{"a": `{ "x":1e400 }`}}
		sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			switch method {
			case "b":
				w.WriteHeader(http.StatusBadRequest) // too late for a type
				return true
			case "c":
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{ \"code\":-1,\"message\":\"\\u0061\" }}\n\n", id)
				return true
			case "d":
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		s, in := newServer(t, transport, nil), Session{"s", mcp.LatestLegacy}
		if got, err := s.Request(t.Context(), in, "a", []byte(`{"p":1.0}`)); err != nil || string(got.Result) != `{ "x":1e400 }` || got.Error != nil {
			t.Errorf("result: %+v, %v", got, err)
		}
		if _, err := s.Request(t.Context(), in, "b", nil); err == nil {
			t.Error("a status is no answer")
		}
		if got, err := s.Request(t.Context(), in, "c", nil); err != nil || string(got.Error) != `{ "code":-1,"message":"\u0061" }` || got.Result != nil {
			t.Errorf("error: %+v, %v", got, err)
		}
		if _, err := s.Request(t.Context(), in, "d", nil); err != ErrSessionGone {
			t.Errorf("gone: %v", err)
		}
		seen := sc.Requests("POST", "a")
		if !strings.Contains(seen[0].Body, `"id":"gateway-`) || !strings.Contains(seen[0].Body, `"params":{"p":1.0}`) {
			t.Errorf("sent %s", seen[0].Body)
		}
	})
}

// What must not arrive twice is not sent again over a new connection when an old
// one turns out to be dead.
func TestOnceIsOnce(t *testing.T) {
	t.Parallel()
	const cancelled = "notifications/cancelled"
	for method, send := range map[string]func(s *Server, in Session) error{
		cancelled: func(s *Server, in Session) error {
			return s.Tell(context.Background(), in, []byte(`{"jsonrpc":"2.0","method":"`+cancelled+`"}`))
		},
		"initialize": func(s *Server, _ Session) error {
			_, err := s.OpenSession(context.Background(), Client{Version: mcp.LatestLegacy})
			return err
		},
		"x": func(s *Server, in Session) error { // may arrive twice: the test is one
			_, err := s.Request(context.Background(), in, "x", nil)
			return err
		},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Results: map[string]string{"ping": "{}"}}
				sc.Intercept = func(_ http.ResponseWriter, _ *http.Request, got, _ string) bool {
					if got == method {
						panic(http.ErrAbortHandler)
					}
					return false
				}
				transport, _ := rawserver.Serve(t, sc)
				s, in := newServer(t, transport, nil), Session{"s", mcp.LatestLegacy}
				if _, err := s.Request(t.Context(), in, "ping", nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if err := send(s, in); err == nil {
					t.Error("no error")
				}
				if n := len(sc.Requests("POST", method)); (n == 1) != (method != "x") {
					t.Errorf("arrived %d times", n)
				}
			})
		})
	}
}
