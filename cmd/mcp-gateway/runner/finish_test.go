package runner

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap/zaptest"
)

// admin is the part of Envoy's admin interface that is asked.
type admin struct {
	mu     sync.Mutex
	asked  []string
	active []int // the last one for ever
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path != "/stats" {
		a.asked = append(a.asked, r.Method+" "+r.URL.Path)
		return
	}
	if len(a.active) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "%s: %d\n", activeRequests, a.active[0])
	if len(a.active) > 1 {
		a.active = a.active[1:]
	}
}

func TestFinishWaitsForCallsButNotForStreams(t *testing.T) {
	t.Parallel()
	a := &admin{active: []int{5, 4, 2, 3, 2, 2, 2}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	f := newFinish(strings.TrimPrefix(server.URL, "http://"), func() int { return 2 }, zaptest.NewLogger(t))
	f.await(t.Context())
	if !slices.Equal(a.asked, []string{"POST /healthcheck/fail", "POST /drain_listeners"}) {
		t.Errorf("asked for %q", a.asked)
	}
	if !slices.Equal(a.active, []int{2}) {
		t.Errorf("ended before the calls, with %d to come", a.active)
	}
}

// Nobody waits for an Envoy that is gone, or does not say what is wanted, nor beyond
// the bound.
func TestFinishEnds(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*admin{"no figure": {}, "never": {active: []int{1}}, "gone": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(a)
			if a == nil {
				server.Close()
			}
			t.Cleanup(server.Close)
			ctx, cancel := context.WithCancel(t.Context())
			lasting := func() int { cancel(); return 0 }
			newFinish(strings.TrimPrefix(server.URL, "http://"), lasting, zaptest.NewLogger(t)).await(ctx)
			cancel()
		})
	}
}
