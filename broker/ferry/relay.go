package ferry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/requeststate"
)

// Kinds of messages between replicas. A replica that a retry has come to asks the
// one that holds the call to go on; that one says what the client is to get, piece
// by piece; and either may learn that the other one's side has left.
const (
	KindContinue = "ferry-continue" // header, newline, inputResponses
	KindSaid     = "ferry-said"     // header, newline, a piece of a message
	KindLeft     = "ferry-left"     // header
)

const (
	// pieceSize is the largest piece of a message, below the limit of mail.
	pieceSize = 512 << 10
	// signEvery is how often a replica that holds a call shows that it lives, and
	// silence how long another waits for that.
	signEvery, silence = 10 * time.Second, 35 * time.Second
)

// envelope is the header of all of them, one line of JSON.
type envelope struct {
	// Exchange names the request, From the replica that it has come to.
	Exchange string `json:"exchange"`
	From     string `json:"from,omitempty"`
	// Of a KindContinue: the call, and how to answer; raw ids as text.
	Call   string `json:"call,omitempty"`
	Round  int    `json:"round,omitempty"`
	ID     string `json:"id,omitempty"`
	Token  string `json:"token,omitempty"`
	Level  string `json:"level,omitempty"`
	Offers string `json:"offers,omitempty"` // capabilities
	// Of a KindSaid: its number from 1 on, whether the message ends, whether it is
	// the response, and under which status.
	N      int  `json:"n,omitempty"`
	End    bool `json:"end,omitempty"`
	Last   bool `json:"last,omitempty"`
	Status int  `json:"status,omitempty"`
}

func (e envelope) with(body []byte) []byte {
	head, err := json.Marshal(e)
	if err != nil {
		panic("ferry: strings and numbers cannot be encoded: " + err.Error())
	}
	return append(append(head, '\n'), body...)
}

func open(payload []byte) (e envelope, body []byte, ok bool) {
	head, body, _ := bytes.Cut(payload, []byte{'\n'})
	return e, body, json.Unmarshal(head, &e) == nil && e.Exchange != ""
}

// remote is a request here whose call another replica holds.
type remote struct {
	caller *Caller
	next   int    // of KindSaid
	buf    []byte // of the message under way
	heard  chan struct{}
	done   chan struct{} // closed when nothing more is expected
	// broken tells that the call may go on then. It is set before done is closed.
	broken bool
}

// continueAway asks the replica that holds the call to go on.
func (c *Ferry) continueAway(k *Caller, r Retry) {
	exchange := rand.Text()
	away := &remote{caller: k, next: 1, heard: make(chan struct{}, 1), done: make(chan struct{})}
	c.mu.Lock()
	c.away[exchange] = away
	c.mu.Unlock()
	question := envelope{
		Exchange: exchange, From: c.o.Instance, Call: r.State.Call, Round: r.State.Round,
		ID: string(k.ID), Token: string(k.Token), Level: k.Level, Offers: string(k.Capabilities),
	}
	if !c.apart(func() { c.await(exchange, away, r.State.Instance, question.with(r.Responses)) }) {
		c.settle(exchange, away)
		k.end(Message{Bytes: refusal(k, stopping), Last: true})
	}
}

// await sends the question and sees to it that the caller gets an end. A call that
// may go on without a caller is cancelled: who is told that it failed calls again.
func (c *Ferry) await(exchange string, away *remote, holder string, question []byte) {
	why := ""
	leave := func() { _, _ = c.send(holder, KindLeft, envelope{Exchange: exchange}.with(nil)) }
	switch delivered, err := c.send(holder, KindContinue, question); {
	case err != nil:
		why = noWay
	case !delivered:
		why = lostHolder
	}
	patience := time.NewTimer(silence)
	defer patience.Stop()
	for why == "" {
		select {
		case <-away.heard:
			patience.Reset(silence)
		case <-patience.C:
			why = lostHolder
		case <-c.life.Done():
			why = stopping
		case <-away.done:
			if away.broken {
				leave()
			}
			return
		case <-away.caller.gone:
			c.settle(exchange, away)
			leave()
			return
		}
	}
	if c.settle(exchange, away) {
		away.caller.end(Message{Bytes: refusal(away.caller, why), Last: true})
		leave()
	}
}

// settle takes an exchange out; false if that has happened.
func (c *Ferry) settle(exchange string, away *remote) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away[exchange] != away {
		return false
	}
	delete(c.away, exchange)
	close(away.done)
	return true
}

func (c *Ferry) send(instance, kind string, payload []byte) (bool, error) {
	// Also at the end, so that nobody waits for what will not come.
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	delivered, err := c.o.Send(ctx, instance, kind, payload)
	if err != nil {
		c.o.Log.Warn("another replica cannot be told of a call", zap.String("kind", kind), zap.Error(err))
	}
	return delivered, err
}

// Said takes a message of KindSaid: what a client here is to get.
func (c *Ferry) Said(payload []byte) {
	e, piece, ok := open(payload)
	c.mu.Lock()
	away := c.away[e.Exchange]
	c.mu.Unlock()
	if !ok || away == nil {
		return
	}
	select {
	case away.heard <- struct{}{}:
	default:
	}
	if e.N == 0 {
		return // a sign of life
	}
	lost := e.N != away.next
	away.next++
	away.buf = append(away.buf, piece...)
	if !lost && !e.End {
		return
	}
	message := Message{Bytes: away.buf, Last: e.Last, Status: e.Status}
	away.buf = nil
	if lost {
		away.broken = true
		message = Message{Bytes: refusal(away.caller, lostHolder), Last: true}
	}
	if message.Last && !c.settle(e.Exchange, away) {
		return
	}
	if away.caller.offer(message) {
		return
	}
	select {
	case <-away.caller.gone:
		return
	default:
	}
	// The client does not read, and mail cannot wait for it.
	if !message.Last {
		away.broken = true
		c.settle(e.Exchange, away)
	}
	close(away.caller.cut)
}

// ContinueFor takes a message of KindContinue: goes on with a call that is held
// here, for another replica.
func (c *Ferry) ContinueFor(payload []byte) {
	e, responses, ok := open(payload)
	if !ok {
		return
	}
	k := newCaller(Request{ID: []byte(e.ID), Token: []byte(e.Token), Level: e.Level, Capabilities: []byte(e.Offers)})
	c.mu.Lock()
	c.near[e.Exchange] = k
	c.mu.Unlock()
	responses = bytes.Clone(responses)
	state := requeststate.State{Call: e.Call, Round: e.Round}
	if c.apart(func() { c.relay(k, e) }) && !c.apart(func() { c.continueHere(k, state, responses) }) {
		k.end(Message{Bytes: refusal(k, stopping), Last: true})
	}
}

// relay brings another replica what its client is to get.
func (c *Ferry) relay(k *Caller, e envelope) {
	defer func() {
		c.mu.Lock()
		delete(c.near, e.Exchange)
		c.mu.Unlock()
	}()
	defer k.Leave()
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for n := 1; ; {
		select {
		case <-k.gone:
			return
		case <-tick.C:
			if delivered, err := c.send(e.From, KindSaid, envelope{Exchange: e.Exchange}.with(nil)); err == nil && !delivered {
				return
			}
		case m := <-k.out:
			for rest, more := m.Bytes, true; more; n++ {
				piece := rest[:min(len(rest), pieceSize)]
				rest = rest[len(piece):]
				more = len(rest) > 0
				said := envelope{Exchange: e.Exchange, N: n, End: !more, Last: m.Last, Status: m.Status}
				if delivered, err := c.send(e.From, KindSaid, said.with(piece)); err != nil || !delivered {
					return
				}
			}
			k.Done(m)
			if m.Last {
				return
			}
		}
	}
}

// LeftFor takes a message of KindLeft: the client at another replica has left.
func (c *Ferry) LeftFor(payload []byte) {
	e, _, _ := open(payload)
	c.mu.Lock()
	k := c.near[e.Exchange]
	c.mu.Unlock()
	if k != nil {
		c.apart(k.Leave)
	}
}
