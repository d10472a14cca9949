package broker

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
)

// A server may ask the client as soon as it gets the first call, on the stream
// of the session: it has to be there before that call is.
func TestFirstCallWaitsForTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTalker("a")
		admit := make(chan struct{})
		serve := s.Stream
		s.Stream = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Session-Id") != "discovery" {
				<-admit
			}
			serve(w, r)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": s})
		id := g.open()
		g.listen(id)

		resolved := make(chan int, 1)
		go func() {
			_, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id))
			resolved <- status
		}()
		synctest.Wait()
		select {
		case status := <-resolved:
			t.Fatalf("resolved with %d before the stream", status)
		default:
		}
		close(admit)
		synctest.Wait()
		select {
		case status := <-resolved:
			if status != 200 {
				t.Errorf("status %d", status)
			}
		default:
			t.Error("not resolved although the stream is there")
		}
	})
}

// A server that answers a GET only when it has something to say must not keep
// the first call for ever.
func TestFirstCallWaitsNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTalker("a")
		s.Stream = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": s})
		id := g.open()
		g.listen(id)
		began := time.Now()
		if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id)); status != 200 || time.Since(began) > time.Second {
			t.Errorf("status %d after %v", status, time.Since(began))
		}
	})
}

// Of two listenings to one backend session, as there are while one takes the place
// of the other, both may say at the same time that they have settled.
func TestJoinIsToldOnce(t *testing.T) {
	t.Parallel()
	h := newHub()
	s := h.open(t.Context(), session.NewID().Key(), "", 0, false)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for i := range 100_000 {
				h.settled(t.Context(), s, heldKey{"one", fmt.Sprint(i)})
			}
		})
	}
	both.Wait()
	<-h.join(s, heldKey{"one", "0"})
}

// A listening that was ended says that it has settled, too: who waits for the one
// in its place is not told.
func TestJoinIsOfOneListening(t *testing.T) {
	t.Parallel()
	h := newHub()
	s := h.open(t.Context(), session.NewID().Key(), "", 0, false)
	k := heldKey{"one", "1"}
	before, end := context.WithCancel(t.Context())
	end()
	h.left(s, k)
	waiting := h.join(s, k)
	h.settled(before, s, k)
	select {
	case <-waiting:
		t.Fatal("told by the listening before")
	default:
	}
	h.settled(t.Context(), s, k)
	<-waiting
}
