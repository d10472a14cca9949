package upstream

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrBusy says that a session cannot be opened as too many are being opened at
// the server. Nothing was sent to it.
var ErrBusy = errors.New("too many sessions are being opened at the server")

// queue admits a bounded number at one time: servers that start something for a
// session stand no more. Who finds no place waits, in the
// order of arrival, unless too many wait already.
type queue struct {
	mu      sync.Mutex
	places  int
	room    int
	inside  int
	waiting list.List // of chan struct{}, closed with a place
}

// resize changes the bounds. Nobody is turned away for it.
func (q *queue) resize(places, room int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.places, q.room = places, room
	q.admit()
}

// admit lets in who comes next. Called under mu.
func (q *queue) admit() {
	for q.inside < q.places && q.waiting.Len() > 0 {
		q.inside++
		close(q.waiting.Remove(q.waiting.Front()).(chan struct{}))
	}
}

// try takes a place if one is free now.
func (q *queue) try() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inside >= q.places {
		return false
	}
	q.inside++
	return true
}

// enter takes a place as soon as there is one; the error is ErrBusy, or says why
// ctx ended.
func (q *queue) enter(ctx context.Context) error {
	q.mu.Lock()
	if q.inside < q.places {
		q.inside++
		q.mu.Unlock()
		return nil
	}
	if q.waiting.Len() >= q.room {
		q.mu.Unlock()
		return ErrBusy
	}
	turn := make(chan struct{})
	at := q.waiting.PushBack(turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-turn: // meanwhile: for the next one
		q.inside--
		q.admit()
	default:
		q.waiting.Remove(at)
	}
	return fmt.Errorf("wait for a free place to initialize: %w", context.Cause(ctx))
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inside--
	q.admit()
}

// SetOpenings bounds how many sessions are opened at the server at one time, and
// how many wait for that, which are gatewayconfig's defaults at first.
func (s *Server) SetOpenings(places, waiting int) { s.opening.resize(places, waiting) }

// Turn is a place among those who open a session.
type Turn struct{ of *queue }

// Leave gives the place to the next one. To be called once.
func (t Turn) Leave() { t.of.leave() }

// TryTurn returns a place if one is free now.
func (s *Server) TryTurn() (Turn, bool) { return Turn{&s.opening}, s.opening.try() }

// Turn waits for a place. The error is ErrBusy if too many wait already, or says
// why ctx ended.
func (s *Server) Turn(ctx context.Context) (Turn, error) {
	if err := s.opening.enter(ctx); err != nil {
		return Turn{}, err
	}
	return Turn{&s.opening}, nil
}
