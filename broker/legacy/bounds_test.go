package legacy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stream whose client does not initialize takes no place for long.
func TestStreamWithoutASessionEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		messages []string
		failures int // of initialize
		after    time.Duration
	}{
		"silent":              {nil, 0, initTimeout},
		"other messages":      {[]string{ping("1")}, 0, initTimeout},
		"initialize is slow":  {[]string{initializeAt("2024-11-05")}, 0, 0},
		"initialize fails":    {[]string{initializeAt("2024-11-05")}, 1, time.Second + initTimeout},
		"initialize is tried": {[]string{initializeAt("2024-11-05"), initializeAt("2024-11-05")}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				failures := test.failures // one initialize is under way at a time
				end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
					if method != "initialize" {
						return false
					}
					if failures > 0 {
						failures--
						time.Sleep(time.Second)
						_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32602,"message":"no"}}`)
						return true
					}
					time.Sleep(initTimeout + time.Second)
					return false
				}
				s := newGateway(t, end).open()
				begun := time.Now()
				for _, m := range test.messages {
					s.tell(m)
				}
				ended := make(chan time.Duration, 1)
				go func() {
					for range s.lines {
					}
					ended <- time.Since(begun)
				}()
				select {
				case got := <-ended:
					if got != test.after {
						t.Errorf("ended after %v, want %v", got, test.after)
					}
				case <-time.After(time.Hour):
					if test.after != 0 {
						t.Error("the stream goes on")
					}
				}
			})
		})
	}
}

// What one client waits for leaves the others one message each, and more of them
// when it has its answers or has left.
func TestWaitingBytesOfAllClientsAreBounded(t *testing.T) {
	t.Parallel()
	large := `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"` + strings.Repeat("x", 4000) + `"}}`
	for name, end := range map[string]func(hog *stream, free chan struct{}){
		"answers":             func(_ *stream, free chan struct{}) { close(free) },
		"end of the stream":   func(hog *stream, _ chan struct{}) { hog.leave() },
		"end of one in doubt": func(hog *stream, free chan struct{}) { hog.leave(); close(free) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := endpoint()
				free, other := make(chan struct{}), make(chan struct{})
				server.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
					wait := other
					if r.Header.Get("X-Who") == "hog" {
						wait = free
					}
					select {
					case <-wait:
					case <-r.Context().Done():
					}
					return false
				}
				g := newGateway(t, server)
				const limit = 2*4096 + 200
				g.clients.held.free = limit
				hog, s := g.open(), g.open()
				hog.tell(initializeAt("2024-11-05"), "X-Who: hog") // keeps the others in the queue
				hog.tell(large, "X-Who: hog")
				hog.tell(large, "X-Who: hog")
				s.tell(large)
				if r := s.do("POST", s.place, large); r.status != 503 {
					t.Errorf("a second message without room: %d %s", r.status, r.body)
				}
				end(hog, free)
				synctest.Wait()
				s.tell(large)
				close(other)
				s.message()
				s.message()
				s.leave()
				hog.leave()
				synctest.Wait()
				if got := g.clients.held.free; got != limit {
					t.Errorf("%d bytes are free in the end, want %d", got, limit)
				}
			})
		})
	}
}

// One principal's streams leave room for those of others.
func TestOnePrincipalHasAShareOfTheStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, endpoint())
		g.cfg.MaxStreams = 20
		for range 5 {
			g.open("X-Principal: hog")
		}
		if r := g.do("GET", "/mcp/sse", "", "X-Principal: hog"); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d %s", r.status, r.body)
		}
		g.open("X-Principal: other")
		for range 14 { // who cannot be told apart have what is left
			g.open()
		}
		if r := g.do("GET", "/mcp/sse", "", "X-Principal: other"); r.status != 503 {
			t.Errorf("one too many of all: %d %s", r.status, r.body)
		}
	})
}
