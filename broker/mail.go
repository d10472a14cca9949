package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
)

// everybody is the mailbox of all replicas.
const everybody = ""

// mail brings messages from one replica of the broker to another: what a client
// answers may arrive at any of them, and what waits for it is at one. Nothing is
// kept: a message to a replica that has gone is lost.
type mail struct {
	log   *zap.Logger
	store session.Store
	// instance is this replica's mailbox, see isInstance.
	instance string
	handlers map[string]func(payload []byte)
}

// instanceLength is that of a replica's mailbox.
const instanceLength = 12

// isInstance reports whether a mailbox can be one of a replica.
func isInstance(mailbox string) bool {
	for _, c := range []byte(mailbox) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(mailbox) == instanceLength
}

func newMail(log *zap.Logger, store session.Store) *mail {
	return &mail{log: log, store: store, instance: rand.Text()[:instanceLength], handlers: make(map[string]func([]byte))}
}

// handle registers what takes the messages of a kind, a word. f must not block.
// To be called before run.
func (m *mail) handle(kind string, f func(payload []byte)) { m.handlers[kind] = f }

// send hands a message over to a replica, or to everybody, this one included.
// False if certainly nobody else got it; an error as of session.Store.Send. What
// is for this replica does not pass the store, and has no limit.
func (m *mail) send(ctx context.Context, instance, kind string, payload []byte) (bool, error) {
	if instance == m.instance || instance == everybody {
		m.take(kind, payload)
		if instance != everybody {
			return true, nil
		}
	}
	letter := make([]byte, 0, len(m.instance)+len(kind)+len(payload)+2)
	letter = append(append(letter, m.instance...), ' ')
	letter = append(append(letter, kind...), '\n')
	return m.store.Send(ctx, instance, append(letter, payload...))
}

// run takes what other replicas send until ctx ends.
func (m *mail) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, mailbox := range []string{m.instance, everybody} {
		wg.Go(func() {
			for letter := range m.store.Mail(ctx, mailbox) {
				head, payload, _ := bytes.Cut(letter, []byte{'\n'})
				from, kind, _ := bytes.Cut(head, []byte{' '})
				if string(from) != m.instance { // has got it already
					m.take(string(kind), payload)
				}
			}
		})
	}
	wg.Wait()
}

// take hands a message to whom it is for. A kind that is not known is that of
// another version of the broker.
func (m *mail) take(kind string, payload []byte) {
	if f := m.handlers[kind]; f != nil {
		f(payload)
		return
	}
	m.log.Debug("message between replicas is of no known kind", zap.Int("bytes", len(payload)))
}
