package memory

import (
	"bytes"
	"context"
	"sync"

	"mcp-gateway/broker/session"
)

// waiting is how many messages wait for a slow listener; the next ones are lost.
const waiting = 64

// mailboxes are those that anybody listens to. The zero value is ready.
type mailboxes struct {
	mu   sync.Mutex
	open map[string]map[chan []byte]struct{}
}

// Send implements session.Store.
func (s *Store) Send(ctx context.Context, mailbox string, message []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if len(message) > session.LargestMessage {
		return false, session.ErrTooLarge
	}
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	delivered := false
	for to := range s.mail.open[mailbox] {
		select {
		case to <- bytes.Clone(message):
			delivered = true
		default:
		}
	}
	return delivered, nil
}

// Mail implements session.Store.
func (s *Store) Mail(ctx context.Context, mailbox string) <-chan []byte {
	m := &s.mail
	ch := make(chan []byte, waiting)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = make(map[string]map[chan []byte]struct{})
	}
	if m.open[mailbox] == nil {
		m.open[mailbox] = make(map[chan []byte]struct{})
	}
	m.open[mailbox][ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.open[mailbox], ch)
		if len(m.open[mailbox]) == 0 {
			delete(m.open, mailbox)
		}
		close(ch)
	})
	return ch
}
