// Package soak runs mixed traffic through the gateway for a while and measures
// what is left of it: nothing. `make soak` runs it; without -for it does nothing.
package soak

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

var length = flag.Duration("for", 0, "how long traffic flows, warm-up included")

const (
	workers = 12
	// Every so often the configuration changes.
	reloadEvery = 4 * time.Second
)

// TestSoak lets traffic of every kind flow, measures once it has warmed up and
// again at the end, both times with nothing open, and compares.
func TestSoak(t *testing.T) {
	if *length == 0 {
		t.Skip("make soak")
	}
	s := start(t)
	began := time.Now()
	s.traffic(*length / 3)
	s.settle()
	before := s.measure()
	warm := s.counts.total()
	s.traffic(*length - time.Since(began))
	s.settle()
	after := s.measure()
	report := s.report(before, after, warm, time.Since(began))
	fmt.Print(report)
	dir := filepath.Join(harness.Root(t), "dist")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "soak.txt"), []byte(report), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, problem := range s.counts.problems {
		t.Error(problem)
	}
	for _, f := range figures {
		if grown := after[f.name] - before[f.name]; grown > f.limit {
			t.Errorf("%s grew by %d, at most %d are allowed", f.name, grown, f.limit)
		}
		if f.rest >= 0 && after[f.name] != f.rest {
			t.Errorf("%s: %d at the end, want %d", f.name, after[f.name], f.rest)
		}
	}
}

type soak struct {
	t       *testing.T
	parts   *harness.Parts
	servers []*mcpserver.Server
	redis   *redistest.Server
	counts  counts
	// reloading is held to change what replaces the listener, and for reading by
	// each step of the traffic: a replaced listener cuts what it had open.
	reloading sync.RWMutex
	reloads   int
}

// Limits of a request's body that take turns, to have Envoy replace the listener.
var bodyLimits = [2]int{400_000, 800_000}

func start(t *testing.T) *soak {
	s := &soak{t: t, redis: redistest.Start(t)}
	for _, name := range []string{"a", "b", "c"} {
		s.servers = append(s.servers, newServer(t, name))
	}
	s.parts = harness.RunParts(t, s.config(0), "--drain-time-s", "1")
	return s
}

// config is the nth: its last server comes and goes, and each second one
// replaces the listener.
func (s *soak) config(n int) harness.Config {
	c := harness.Config{
		Limits:   []string{fmt.Sprintf("body: %d", bodyLimits[n/2%2])},
		Sessions: []string{"store: " + s.redis.URL()},
	}
	servers := s.servers[:2+n%2]
	for i, server := range servers {
		name := string(rune('a' + i))
		c.Servers = append(c.Servers, harness.Server{Name: name, URL: server.URL(), Prefix: name + "_"})
	}
	return c
}

// newServer has tools that answer, stream, stream for ever, fail, and end in the
// middle.
func newServer(t *testing.T, name string) *mcpserver.Server {
	var tools []string
	for _, tool := range []string{"fast", "events", "endless", "broken", "reset", "cut", "half"} {
		tools = append(tools, fmt.Sprintf(`{"name":%q,"inputSchema":{"type":"object"}}`, tool))
	}
	m := mcpserver.Start(t, mcpserver.Script{Name: name, Pages: map[string][]string{
		mcpserver.ToolsList:     {strings.Join(tools, ",")},
		mcpserver.ResourcesList: {`{"name":"resource","uri":"test://resource"}`},
	}})
	m.Handle("tools/call", "events", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		for i := range 3 {
			stream.Progress([]byte("1"), i, 3)
		}
		stream.Send(x.ResultMessage(`{"content":[{"type":"text","text":"` + name + `:events"}]}`))
	})
	m.Handle("tools/call", "endless", func(x *mcpserver.Exchange) {
		stream := x.Stream()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			stream.Progress([]byte("1"), i, i+1)
			select {
			case <-tick.C:
			case <-x.Context().Done():
				return
			}
		}
	})
	m.Handle("tools/call", "broken", mcpserver.Handler(mcpserver.Status(500)))
	m.Handle("tools/call", "reset", mcpserver.Reset)
	m.Handle("tools/call", "half", mcpserver.Cut)
	m.Handle("tools/call", "cut", func(x *mcpserver.Exchange) {
		x.Stream().Progress([]byte("1"), 0, 2)
		mcpserver.Reset(x)
	})
	return m
}

// traffic flows for d.
func (s *soak) traffic(d time.Duration) {
	ctx, stop := context.WithTimeout(s.t.Context(), d)
	defer stop()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { newWorker(s, i).run(ctx) })
	}
	wg.Go(func() { s.bystander(ctx) })
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.reload()
		case <-ctx.Done():
			wg.Wait()
			return
		}
	}
}

// reload changes the configuration and waits until Envoy has it.
func (s *soak) reload() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.reloads++
	for _, m := range s.servers {
		m.Forget() // a record for the tests of others, which would grow here
	}
	s.parts.Reload(s.config(s.reloads))
	limit := bodyLimits[s.reloads/2%2]
	w := newWorker(s, 0)
	defer w.web.CloseIdleConnections()
	for _, tt := range []struct{ size, status int }{{limit + 1, 413}, {limit, 400}} {
		harness.Eventually(s.t, fmt.Sprintf("configuration %d", s.reloads), func() bool {
			status, err := w.fill(tt.size)
			w.web.CloseIdleConnections()
			return err == nil && status == tt.status
		})
	}
}
