package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"mcp-gateway/broker/session"
)

// together runs f(0) to f(n-1) at the same time and waits for all.
func together(n int, f func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// fakeServer is an MCP server that counts its sessions.
type fakeServer struct {
	mu     sync.Mutex
	opened int
	alive  map[string]bool
}

func (f *fakeServer) open(context.Context) (session.Backend, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	id := fmt.Sprint("backend-", f.opened)
	if f.alive == nil {
		f.alive = make(map[string]bool)
	}
	f.alive[id] = true
	return aBackend(id), nil
}

func (f *fakeServer) end(b session.Backend) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.alive, b.ID)
}

// counts returns how many sessions were opened ever and how many are alive.
func (f *fakeServer) counts() (opened, alive int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, len(f.alive)
}

func (f *fakeServer) request(id session.ID) session.Request {
	return session.Request{ID: id, Server: server, Open: f.open, Discard: f.end}
}

func handles(t *testing.T, f Fixture, n int) []session.Store {
	var out []session.Store
	for range n {
		out = append(out, f.Open(t))
	}
	return out
}

// racingReplicasOpenOnce gives each caller an Opener of its own, as if it were
// a replica: nothing but the store holds them together.
func racingReplicasOpenOnce(t *testing.T, f Fixture) {
	stores := handles(t, f, 4)
	id := create(t, stores[0])
	var srv fakeServer
	together(200, func(i int) {
		b, err := session.NewOpener(stores[i%len(stores)], lease).Open(t.Context(), srv.request(id))
		if err != nil || b != aBackend("backend-1") {
			t.Errorf("Open: got %+v, %v, want backend-1", b, err)
		}
	})
	if opened, alive := srv.counts(); opened != 1 || alive != 1 {
		t.Errorf("the server opened %d sessions, %d are alive, want 1 and 1", opened, alive)
	}
}

// loserDiscardsItsOwn lets a lease lapse while its holder is opening.
func loserDiscardsItsOwn(t *testing.T, f Fixture) {
	a, b := f.Open(t), f.Open(t)
	id := create(t, a)
	var srv fakeServer
	slow := srv.request(id)
	slow.Open = func(ctx context.Context) (session.Backend, error) {
		mine, err := srv.open(ctx)
		f.Advance(lease)
		if _, err := session.NewOpener(b, lease).Open(t.Context(), srv.request(id)); err != nil {
			t.Error(err)
		}
		return mine, err
	}
	got, err := session.NewOpener(a, lease).Open(t.Context(), slow)
	if err != nil || got != aBackend("backend-2") {
		t.Errorf("Open of the loser: got %+v, %v, want the winner's backend-2", got, err)
	}
	if opened, alive := srv.counts(); opened != 2 || alive != 1 {
		t.Errorf("the server opened %d sessions, %d are alive, want 2 and 1", opened, alive)
	}
	wantHave(t, a, id, server, aBackend("backend-2"))
}

// raceWithDelete ends sessions while others open backend sessions in them.
func raceWithDelete(t *testing.T, f Fixture) {
	stores := handles(t, f, 3)
	var srv fakeServer
	for range 20 {
		id := create(t, stores[0])
		together(6, func(i int) {
			st := stores[i%len(stores)]
			if i == 0 {
				held, err := st.Delete(t.Context(), id)
				if err != nil {
					t.Error(err)
				}
				for _, h := range held {
					srv.end(h.Backend)
				}
				return
			}
			_, err := session.NewOpener(st, lease).Open(t.Context(), srv.request(id))
			if err != nil && !errors.Is(err, session.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	if opened, alive := srv.counts(); alive != 0 {
		t.Errorf("%d of %d backend sessions have no owner", alive, opened)
	}
}

// racingReopens is a server that restarted: every replica meets its 404.
func racingReopens(t *testing.T, f Fixture) {
	stores := handles(t, f, 4)
	id := create(t, stores[0])
	var srv fakeServer
	openers := make([]*session.Opener, len(stores))
	for i, st := range stores {
		openers[i] = session.NewOpener(st, lease)
	}
	stale, err := openers[0].Open(t.Context(), srv.request(id))
	must(t, err)
	srv.end(stale)

	together(100, func(i int) {
		r := srv.request(id)
		if i%2 == 0 {
			r.Stale = stale.ID
		}
		b, err := openers[i%len(openers)].Open(t.Context(), r)
		if err != nil {
			t.Error(err)
		}
		if r.Stale != "" && b.ID == r.Stale {
			t.Error("Open returned the very session that the caller called stale")
		}
	})
	if opened, alive := srv.counts(); opened != 2 || alive != 1 {
		t.Errorf("the server opened %d sessions, %d are alive, want 2 and 1", opened, alive)
	}
}
