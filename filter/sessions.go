package filter

import (
	"hash/maphash"
	"slices"
	"sync"

	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/mcp"
)

const (
	sessionShards = 64
	// maxSessionsPerShard bounds the cache of one process at 64 * 4096 client
	// sessions; beyond it an arbitrary one is forgotten and asked for again.
	maxSessionsPerShard = 4096
	// sweptAtOnce are the client sessions that are looked at when another comes: more
	// than one, so that of those nobody uses any more few are ever left.
	sweptAtOnce = 4
	// keptExpired is for how long, in nanoseconds, a session stays that is to be asked
	// for again: while the broker is away it is used as it was.
	keptExpired = 15 * 60 * 1e9
)

// backend is a session at a server; without a place it only tells that the
// client session exists.
type backend struct {
	place   string // of the server
	id      []byte
	version mcp.Revision
	// expires in the host's nanoseconds.
	expires int64
	// stale means that the server answered 404 for it.
	stale bool
}

// sessions caches which backend session a client session has at each server.
// Shared by all workers.
type sessions struct {
	seed   maphash.Seed
	shards [sessionShards]sessionShard
}

type sessionShard struct {
	mu sync.RWMutex
	m  map[string][]backend
}

func newSessions() *sessions {
	s := &sessions{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].m = make(map[string][]backend)
	}
	return s
}

func (s *sessions) shard(id []byte) *sessionShard {
	return &s.shards[maphash.Bytes(s.seed, id)%sessionShards]
}

// get returns the backend session of client session id at a place, and whether
// it can be used. Its memory is immutable.
func (s *sessions) get(id []byte, place string, now int64) (backend, bool) {
	sh := s.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	fault.At("sessions")
	for _, b := range sh.m[string(id)] {
		if b.place == place {
			return b, now < b.expires
		}
	}
	return backend{}, false
}

// known reports whether the client session was seen to exist lately.
func (s *sessions) known(id []byte, now int64) bool {
	sh := s.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	fault.At("sessions")
	for _, b := range sh.m[string(id)] {
		if now < b.expires {
			return true
		}
	}
	return false
}

func (s *sessions) put(id []byte, b backend) {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	fault.At("sessions")
	old := sh.m[string(id)]
	for i := range old {
		if old[i].place == b.place {
			old[i] = b
			return
		}
	}
	if old == nil {
		sh.sweep(b.expires - keptExpired)
		if len(sh.m) >= maxSessionsPerShard {
			for k := range sh.m {
				delete(sh.m, k)
				break
			}
		}
	}
	sh.m[string(id)] = append(old, b)
}

// sweep forgets, of a few client sessions, those of which all has expired before a
// time. Called under mu.
func (sh *sessionShard) sweep(before int64) {
	left := sweptAtOnce
	for k, all := range sh.m { // begins anywhere
		if !slices.ContainsFunc(all, func(b backend) bool { return b.expires >= before }) {
			delete(sh.m, k)
		}
		if left--; left == 0 {
			return
		}
	}
}

// forget drops all backend sessions of a client session.
func (s *sessions) forget(id []byte) {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	fault.At("sessions")
	delete(sh.m, string(id))
}

// spoil marks one backend session as forgotten by its server, if it is still
// the one named: the next request has the broker open another in its place.
func (s *sessions) spoil(id []byte, place string, backendID []byte) {
	sh := s.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	fault.At("sessions")
	list := sh.m[string(id)]
	for i := range list {
		if list[i].place == place && string(list[i].id) == string(backendID) {
			list[i].stale, list[i].expires = true, 0
		}
	}
}

// size is the number of client sessions known.
func (s *sessions) size() int {
	n := 0
	for i := range s.shards {
		n += s.shards[i].size()
	}
	return n
}

func (sh *sessionShard) size() int {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return len(sh.m)
}
