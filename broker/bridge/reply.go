package bridge

import (
	"context"
	"sync"

	"go.uber.org/zap"
)

// repliesAtOnce is how many answers of the bridge's own are on their way to a
// server at one time: one that is slow to take one may be quicker with the next.
const repliesAtOnce = 8

// replies are the bridge's own answers to requests of the server that wait to be
// sent. They are bounded as what waits for a stream is.
type replies struct {
	mu      sync.Mutex
	waiting [][]byte
	bytes   int
	senders int
	flooded bool // the server has asked too much
}

// reply sends a message, as the answer to a request of the server, in the
// background: a server that does not read must not keep its own messages from
// being read. But one that goes on asking while it takes no answers is at fault:
// none may be left out, so its connection ends.
func (p *peer) reply(message []byte) {
	r := &p.replies
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flooded {
		return
	}
	if waiting := len(r.waiting); waiting > 0 && (waiting >= maxWaiting || r.bytes+len(message) > maxWaitingBytes) {
		r.flooded, r.waiting = true, nil
		p.bridge.o.Log.Warn("server goes on asking and does not take the answers, ending its connection", zap.Int("waiting", waiting))
		go p.conn.Close(0)
		return
	}
	r.waiting = append(r.waiting, message)
	r.bytes += len(message)
	if r.senders < repliesAtOnce {
		r.senders++
		go p.sendReplies()
	}
}

// sendReplies sends what waits until nothing does.
func (p *peer) sendReplies() {
	for message := p.replies.next(); message != nil; message = p.replies.next() {
		if err := p.tell(context.Background(), message); err != nil && !p.asked.Load() {
			p.bridge.o.Log.Debug("a message of the bridge's own could not be sent", zap.Error(err))
		}
	}
}

// next takes the first message out; nil tells a sender that it is not needed.
func (r *replies) next() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.senders--
		return nil
	}
	message := r.waiting[0]
	r.waiting[0] = nil
	r.waiting = r.waiting[1:]
	r.bytes -= len(message)
	return message
}
