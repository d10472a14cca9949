package upstream

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/mcp"
)

// A message that something panics over costs itself: the stream is resumed behind
// it.
func TestListenGoesOnBehindAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const fall, next = `{"jsonrpc":"2.0","method":"fall"}`, `{"jsonrpc":"2.0","method":"next"}`
		script := &scripted{parts: []func(http.ResponseWriter){
			streamOf("id: 1\ndata: " + fall + "\n\n"), streamOf("id: 2\ndata: " + next + "\n\n"), nil,
		}}
		transport, _ := rawserver.Serve(t, &rawserver.Server{Stream: script.ServeHTTP})
		s := newServer(t, transport, nil)
		ctx, end := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error, 1)
		s.ListenApart(ctx, Session{"s", mcp.LatestLegacy}, Listener{Message: func(message, _ []byte) error {
			if string(message) == fall {
				panic("as asked")
			}
			got = append(got, string(message))
			return nil
		}}, func(err error) { ended <- err })
		time.Sleep(5 * time.Second)
		end()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if diff := cmp.Diff([]string{next}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		script.mu.Lock()
		defer script.mu.Unlock()
		if diff := cmp.Diff([]string{"", "1", "2"}, script.after); diff != "" {
			t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
		}
	})
}

// Wherever something panics that serves a server, it is an error of what was done.
func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	falling := roundTripper(func(*http.Request) (*http.Response, error) { panic("as asked") })
	in, message := Session{"s", mcp.LatestLegacy}, []byte(`{"jsonrpc":"2.0","id":1,"method":"m"}`)
	for name, do := range map[string]func(context.Context, *Server) error{
		"Converse": func(ctx context.Context, s *Server) error {
			return s.Converse(ctx, in, Conversation{Message: message})
		},
		"Tell":       func(ctx context.Context, s *Server) error { return s.Tell(ctx, in, message) },
		"EndSession": func(ctx context.Context, s *Server) error { return s.EndSession(ctx, in) },
		"Watch":      func(ctx context.Context, s *Server) error { return s.Watch(ctx, Watching{URIs: []string{"u:1"}}) },
		"Request": func(ctx context.Context, s *Server) error {
			_, err := s.Request(ctx, in, "m", nil)
			return err
		},
		"OpenSession": func(ctx context.Context, s *Server) error {
			_, err := s.OpenSession(ctx, Client{Version: mcp.LatestLegacy})
			return err
		},
	} {
		if err := do(t.Context(), newServer(t, falling, nil)); !errors.Is(err, rescue.ErrPanic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Discovery begins anew after a panic, whichever of its goroutines has it.
func TestDiscoveryOutlivesAPanic(t *testing.T) {
	t.Parallel()
	for name, verb := range map[string]string{"of its stream": http.MethodGet, "of its requests": http.MethodPost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
				transport, _ := rawserver.Serve(t, sc)
				var fallen atomic.Bool
				s := newServer(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method == verb && !strings.Contains(r.URL.Path, "well-known") && !fallen.Swap(true) {
						panic("as asked")
					}
					return transport.RoundTrip(r)
				}), nil)
				run(t, s)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := s.Snapshot(); !fallen.Load() || got.State != Ready {
					t.Errorf("fallen %v, state %v, %v", fallen.Load(), got.State, got.Err)
				}
			})
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
