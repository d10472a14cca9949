package brokers_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/controlplane/brokers"
	"mcp-gateway/internal/gatewayconfig"
)

// broker is one that reports.
type broker struct {
	mu     sync.Mutex
	report gatewayconfig.Report
	status int // an error if set
	full   int // answers with a body
}

func (b *broker) set(f func(b *broker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tag := `"` + b.report.Config + `"`
	switch {
	case b.status != 0:
		w.WriteHeader(b.status)
	case r.URL.Path != gatewayconfig.PathReport:
		http.NotFound(w, r)
	case r.Header.Get("Authorization") != "Bearer s3cret":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		b.full++
		w.Header().Set("ETag", tag)
		_ = json.NewEncoder(w).Encode(b.report)
	}
}

// serve runs b on a loopback address with the given port, 0 for any.
func serve(t *testing.T, b *broker, host, port string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: b}}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// watch runs w and returns the digests of each change.
func watch(t *testing.T, w brokers.Watch) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(reports []gatewayconfig.Report) {
			digests := []string{}
			for _, r := range reports {
				digests = append(digests, r.Config)
			}
			out <- strings.Join(digests, " ")
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return out
}

func next(t *testing.T, changes <-chan string) string {
	t.Helper()
	select {
	case c := <-changes:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("nothing changed")
		return ""
	}
}

func TestEveryBrokerBehindANameIsAsked(t *testing.T) {
	t.Parallel()
	one, two := &broker{report: gatewayconfig.Report{Config: "a"}}, &broker{report: gatewayconfig.Report{Config: "b"}}
	port := serve(t, one, "127.0.0.1", "0")
	serve(t, two, "127.0.0.2", port)
	var mu sync.Mutex
	hosts := []string{"127.0.0.2", "127.0.0.1"}
	changes := watch(t, brokers.Watch{
		Address: "brokers.test:" + port, Secret: "s3cret",
		Lookup: func(context.Context, string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			return hosts, nil
		},
	})
	got := []string{next(t, changes)}
	two.set(func(b *broker) { b.report.Config = "a" })
	got = append(got, next(t, changes))
	mu.Lock()
	hosts = []string{"127.0.0.1"}
	mu.Unlock()
	got = append(got, next(t, changes))
	if diff := cmp.Diff([]string{"a b", "a a", "a"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	one.set(func(b *broker) {
		if b.full != 1 {
			t.Errorf("what did not change was sent %d times", b.full)
		}
	})
}

func TestABrokerThatFallsSilentCountsNoMore(t *testing.T) {
	t.Parallel()
	b := &broker{report: gatewayconfig.Report{Config: "a"}}
	changes := watch(t, brokers.Watch{Address: "127.0.0.1:" + serve(t, b, "127.0.0.1", "0"), Secret: "s3cret"})
	got := []string{next(t, changes)}
	b.set(func(b *broker) { b.status = http.StatusServiceUnavailable })
	got = append(got, next(t, changes))
	b.set(func(b *broker) { b.status = 0 })
	got = append(got, next(t, changes))
	if diff := cmp.Diff([]string{"a", "", "a"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWithoutTheSecretNothingIsReported(t *testing.T) {
	t.Parallel()
	b := &broker{report: gatewayconfig.Report{Config: "a"}}
	changes := watch(t, brokers.Watch{Address: "127.0.0.1:" + serve(t, b, "127.0.0.1", "0"), Secret: "wrong"})
	if got := next(t, changes); got != "" {
		t.Errorf("got %q", got)
	}
}
