package filter

import (
	"fmt"
	"sync"
	"testing"
)

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSessions()
	for i := range 2 * sessionShards * maxSessionsPerShard {
		s.put(fmt.Append(nil, "session-", i), backend{server: "a", expires: second})
	}
	n := 0
	for i := range s.shards {
		n += len(s.shards[i].m)
	}
	if n > sessionShards*maxSessionsPerShard {
		t.Errorf("%d sessions are cached", n)
	}
}

func TestSpoilLeavesANewerSession(t *testing.T) {
	t.Parallel()
	s := newSessions()
	id := []byte("s")
	s.put(id, backend{server: "a", id: []byte("new"), expires: second})
	s.spoil(id, "a", []byte("old"))
	if b, ok := s.get(id, "a", 0); !ok || b.stale {
		t.Errorf("%+v, usable %v", b, ok)
	}
	s.spoil(id, "a", []byte("new"))
	if b, ok := s.get(id, "a", 0); ok || !b.stale {
		t.Errorf("%+v, usable %v", b, ok)
	}
}

func TestSessionsOfManyWorkers(t *testing.T) {
	t.Parallel()
	s := newSessions()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			id := fmt.Append(nil, "session-", w%4)
			for i := range 2000 {
				s.put(id, backend{server: fmt.Sprint("server-", i%3), id: id, expires: second})
				if b, ok := s.get(id, fmt.Sprint("server-", i%3), 0); ok && string(b.id) != string(id) {
					t.Errorf("session %s has the backend session of %s", id, b.id)
				}
				s.forget(id)
			}
		})
	}
	wg.Wait()
}
