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
		s.put(fmt.Append(nil, "session-", i), backend{place: "a", expires: second})
	}
	n := 0
	for i := range s.shards {
		n += len(s.shards[i].m)
	}
	if n > sessionShards*maxSessionsPerShard {
		t.Errorf("%d sessions are cached", n)
	}
}

// Sessions that nobody uses any more go as others come, those in use stay.
func TestExpiredSessionsAreSwept(t *testing.T) {
	s := newSessions() // alone, as it counts allocations
	const old, used, rounds = 20_000, 1000, 20
	for i := range old {
		s.put(fmt.Append(nil, "old-", i), backend{place: "a", expires: 30 * second})
	}
	now := int64(keptExpired + 60*second)
	for i := range used {
		id := fmt.Append(nil, "used-", i)
		s.put(id, backend{place: "a", expires: 30 * second})
		s.put(id, backend{place: "b", expires: now})
	}
	for i := range rounds * 1000 {
		s.put(fmt.Append(nil, "new-", i), backend{place: "a", expires: now + 30*second})
	}
	for i := range used {
		if _, ok := s.get(fmt.Append(nil, "used-", i), "b", now-1); !ok {
			t.Fatalf("session %d is forgotten, and one of its servers is in use", i)
		}
	}
	if left := s.size() - used - rounds*1000; left > old/10 {
		t.Errorf("%d of %d old sessions are left", left, old)
	}
	id := []byte("new-0")
	if n := testing.AllocsPerRun(1000, func() {
		s.forget(id)
		sh := s.shard(id)
		sh.sweep(now - keptExpired)
	}); n != 0 {
		t.Errorf("a sweep allocates %v times", n)
	}
}

func TestSpoilLeavesANewerSession(t *testing.T) {
	t.Parallel()
	s := newSessions()
	id := []byte("s")
	s.put(id, backend{place: "a", id: []byte("new"), expires: second})
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
				s.put(id, backend{place: fmt.Sprint("server-", i%3), id: id, expires: second})
				if b, ok := s.get(id, fmt.Sprint("server-", i%3), 0); ok && string(b.id) != string(id) {
					t.Errorf("session %s has the backend session of %s", id, b.id)
				}
				s.forget(id)
			}
		})
	}
	wg.Wait()
}
