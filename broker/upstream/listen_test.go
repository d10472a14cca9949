package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// scripted answers each GET with the next of its parts, and the last for ever.
type scripted struct {
	mu    sync.Mutex
	parts []func(w http.ResponseWriter)
	after []string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.after = append(s.after, r.Header.Get("Last-Event-ID"))
	part := s.parts[0]
	if len(s.parts) > 1 {
		s.parts = s.parts[1:]
	}
	s.mu.Unlock()
	if part == nil {
		<-r.Context().Done()
		return
	}
	part(w)
}

func streamOf(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(text))
	}
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func TestListenResumesWhereItCan(t *testing.T) {
	t.Parallel()
	const x = "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
	large := "id: large\ndata: " + strings.Repeat("x", 100<<10) + "\n\n"
	for name, test := range map[string]struct {
		parts []func(http.ResponseWriter)
		after []string
	}{
		"broken stream":           {[]func(http.ResponseWriter){streamOf("id: 1\n" + x), nil}, []string{"start", "1"}},
		"id reset":                {[]func(http.ResponseWriter){streamOf("id: 1\n" + x + "id:\n" + x), nil}, []string{"start", ""}},
		"no ids":                  {[]func(http.ResponseWriter){streamOf(x), nil}, []string{"start", "start"}},
		"server is away":          {[]func(http.ResponseWriter){status(503), nil}, []string{"start", "start"}},
		"stream before lives on":  {[]func(http.ResponseWriter){status(409), status(409), nil}, []string{"start", "start", "start"}},
		"id is not known":         {[]func(http.ResponseWriter){status(400), nil}, []string{"start", ""}},
		"event is too large":      {[]func(http.ResponseWriter){streamOf("id: 1\n" + x + large), nil}, []string{"start", ""}},
		"id is too long to trust": {[]func(http.ResponseWriter){streamOf("id: " + strings.Repeat("1", 2000) + "\n" + x), nil}, []string{"start", "start"}},
		"cut off in an event":     {[]func(http.ResponseWriter){streamOf("id: 1\n" + x + "id: 2\ndata: {\"jsonrpc\""), nil}, []string{"start", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				script := &scripted{parts: test.parts}
				transport, _ := rawserver.Serve(t, &rawserver.Server{Stream: script.ServeHTTP})
				s := newServer(t, transport, nil)
				s.client.bodyLimit = 64 << 10
				ended := make(chan error, 1)
				go func() {
					ended <- s.Listen(t.Context(), Session{"s", mcp.LatestLegacy}, Listener{
						After: "start", Message: func([]byte, []byte) error { return nil },
					})
				}()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				script.mu.Lock()
				defer script.mu.Unlock()
				if diff := cmp.Diff(test.after, script.after); diff != "" {
					t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestListenEnds(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	for name, test := range map[string]struct {
		part func(http.ResponseWriter)
		ping int // status of a ping
		want error
	}{
		"405":                     {status(405), 200, ErrNoStream},
		"501":                     {status(501), 200, ErrNoStream},
		"JSON":                    {func(w http.ResponseWriter) { rawserver.Respond(w, "1", "{}") }, 200, ErrNoStream},
		"404, session is known":   {status(404), 200, ErrNoStream},
		"404, session is gone":    {status(404), 404, ErrSessionGone},
		"error of the listener":   {streamOf("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"), 200, mine},
		"error for an id without": {streamOf("id: 1\ndata:\n\n"), 200, mine},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Stream: (&scripted{parts: []func(http.ResponseWriter){test.part}}).ServeHTTP}
				sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method == "ping" && test.ping != 200 {
						w.WriteHeader(test.ping)
						return true
					}
					return false
				}
				transport, _ := rawserver.Serve(t, sc)
				began := time.Now()
				err := newServer(t, transport, nil).Listen(t.Context(), Session{"s", mcp.LatestLegacy}, Listener{
					Message: func([]byte, []byte) error { return mine },
				})
				if err != test.want || time.Since(began) != 0 {
					t.Errorf("Listen = %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// A stream that the server closes again and again is opened no more often than
// the server wants, or else with growing pauses.
func TestListenIsNoStorm(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		part        func(http.ResponseWriter)
		least, most int
	}{
		"closes at once": {streamOf(""), 20, 60},
		"polling":        {streamOf("retry: 10000\n\n"), 40, 62},
		"retry of 0":     {streamOf("retry: 0\n\n"), 20, 60},
		"retry of 1 ms":  {streamOf("retry: 1\n\n"), 900, 1300},
		"retry of a day": {streamOf("retry: 86400000\n\n"), 8, 12},
		"fails":          {status(500), 20, 60},
		"conflict":       {status(409), 20, 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				script := &scripted{parts: []func(http.ResponseWriter){test.part}}
				transport, _ := rawserver.Serve(t, &rawserver.Server{Stream: script.ServeHTTP})
				s := newServer(t, transport, nil)
				go func() {
					_ = s.Listen(t.Context(), Session{"s", mcp.LatestLegacy}, Listener{Message: func([]byte, []byte) error { return nil }})
				}()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				script.mu.Lock()
				defer script.mu.Unlock()
				if n := len(script.after); n < test.least || n > test.most {
					t.Errorf("opened %d times in 10 minutes, want %d to %d", n, test.least, test.most)
				}
			})
		})
	}
}

func TestPingsOfAFloodAreAnsweredOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		events := rawserver.NewFeed()
		sc := &rawserver.Server{Stream: events.ServeHTTP}
		sc.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
			if r.Method == "POST" {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		go func() {
			_ = s.Listen(t.Context(), Session{"s", mcp.LatestLegacy}, Listener{Message: func(m, _ []byte) error {
				t.Errorf("message %s", m)
				return nil
			}})
		}()
		for i := range 200 {
			events.Out <- fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}\n\n", i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(sc.Requests("POST", "")); n != 200 || most != 1 {
			t.Errorf("%d answers, %d at once", n, most)
		}
	})
}

// On sockets a stream that says nothing is waited for without its stack: it goes
// on with each event, across the pieces in which they come, and ends with its
// context, its server or its listener.
func TestListenWhereStreamsAreQuiet(t *testing.T) {
	t.Parallel()
	events := rawserver.NewFeed()
	server := httptest.NewServer(&rawserver.Server{Stream: events.ServeHTTP})
	t.Cleanup(server.Close)
	s, err := New(gatewayconfig.Server{Name: "a", URL: server.URL}, Options{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	s.timing.retryMin = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string), make(chan error, 1)
	settled := 0
	s.ListenApart(ctx, Session{"s", mcp.LatestLegacy}, Listener{
		Settled: func(error) { settled++ },
		Message: func(m, _ []byte) error { heard <- string(m); return nil },
	}, func(err error) { ended <- err })
	const long = 3 * smallChunk
	for i := range 20 {
		message := fmt.Sprintf(`{"jsonrpc":"2.0","method":"%d%s"}`, i, strings.Repeat("x", i%2*long))
		text := "id: 1\ndata: " + message + "\n\n"
		events.Out <- text[:i]
		events.Out <- text[i:]
		if got := <-heard; got != message {
			t.Fatalf("heard %.50s, want %.50s", got, message)
		}
		if i%5 == 4 {
			events.Out <- rawserver.End
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || settled != 1 {
		t.Errorf("ended with %v, settled %d times", err, settled)
	}
	if n := events.Opened.Load(); n < 4 {
		t.Errorf("opened %d times, want 4 or more", n)
	}
}
