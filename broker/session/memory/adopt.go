package memory

import (
	"bytes"
	"container/heap"
	"context"
	"time"

	"mcp-gateway/broker/session"
)

// pruneEvery paces the look through all sessions that have ended.
const pruneEvery = time.Minute

// endings are the sessions that ended before their lifetime was over, and are not
// adopted again. The Store's lock guards them, so that none is adopted between its
// end and the note of it. The zero value remembers nothing.
type endings struct {
	over   map[session.Key]time.Time // the end of the lifetime
	pruned time.Time                 // when those that are over were taken out
}

// Adopt is Create for a session that has begun elsewhere: its lifetime ends at
// end. ErrNotFound if it has ended here.
func (s *Store) Adopt(ctx context.Context, v session.Session, caps session.Caps, end time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := v.ID.Key()
	v.ID = ""
	v.ClientInfo = bytes.Clone(v.ClientInfo)
	v.Capabilities = bytes.Clone(v.Capabilities)

	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.sessions[key]; ok {
		if !same(e.session, v) {
			return session.ErrExists
		}
		return nil
	}
	if s.ended.has(key) {
		return session.ErrNotFound
	}
	now := s.opts.Now()
	if err := s.makeRoom(now, v.Principal, caps); err != nil {
		return err
	}
	e := &entry{key: key, session: v, end: end}
	e.deadline = earlier(now.Add(s.opts.Idle), e.end)
	s.sessions[key] = e
	if v.Principal != "" {
		s.principals[v.Principal]++
	}
	heap.Push(&s.byExpiry, e)
	return nil
}

func (n *endings) has(key session.Key) bool {
	_, ok := n.over[key]
	return ok
}

func (n *endings) add(e *entry) {
	if n.over != nil {
		n.over[e.key] = e.end
	}
}

// prune forgets those whose lifetime is over.
func (n *endings) prune(now time.Time) {
	if now.Sub(n.pruned) < pruneEvery {
		return
	}
	n.pruned = now
	for key, over := range n.over {
		if !now.Before(over) {
			delete(n.over, key)
		}
	}
}
