package legacy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

const (
	maxBatch = 100 // messages of one batch
	// batchAtOnce is how many messages of one batch run at the same time.
	batchAtOnce = 8
	// A batch whose answers take longer, or more bytes, than this leaves as a
	// stream: nothing on the way takes it for dead, nor is it held in memory.
	batchPatience = 10 * time.Second
	batchHeld     = 4 << 20
	// batchSize is what a batch takes up at least of the room for what clients have
	// sent, which so also bounds how many there are.
	batchSize = 64 << 10
)

// Batch answers a batch of a session of 2025-03-26 (basic/index, Batching, and
// basic/transports, Sending Messages to the Server): a JSON array of the
// responses in the order of the requests or, if servers have more to say than
// those, an event stream. body is JSON with an array at its top.
func (c *Clients) Batch(w http.ResponseWriter, r *http.Request, cfg Config, body []byte) {
	parts, err := split(body)
	if err != nil {
		fail(w, http.StatusBadRequest, mcp.CodeInvalidRequest, nil, err.Error())
		return
	}
	size := min(max(int64(len(body)), batchSize), c.held.share)
	if !c.held.take(cfg.Principal, size) {
		failLater(w, nil, "too many messages wait for their answer")
		return
	}
	defer c.held.give(cfg.Principal, size)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.opts.Life, cancel)()
	l := c.loop(cfg, rand.Text())
	b := &batch{
		log: c.opts.Log, turn: make(chan struct{}, 1), w: w, control: http.NewResponseController(w), leave: cancel,
		room: &c.in.kept, name: l.name,
	}
	defer b.drop()
	for i := range parts {
		if parts[i].answered() {
			parts[i].place = len(b.answers)
			b.answers = append(b.answers, parts[i].fault)
		}
	}
	from := sender{
		host: r.Host, header: forwarded(r.Header),
		session: r.Header.Get(mcp.HeaderSession), version: mcp.Revision20250326,
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	go func() {
		defer close(done)
		b.run(ctx, &l, from, parts, &running)
	}()
	complete := b.wait(ctx, done)
	cancel() // streams that stay open behind their answer
	<-done
	running.Wait()
	if !complete {
		panic(http.ErrAbortHandler) // nobody must take it for the whole answer
	}
}

// part is one message of a batch.
type part struct {
	question
	fault []byte // the answer, if the text is no message
	place int    // of the answer among all
}

// answered reports whether the part has an answer.
func (p *part) answered() bool { return p.fault != nil || p.kind == jsonrpc.Request }

// split takes a batch apart. Parts that are no messages get their own error; what
// makes the whole unacceptable is an error here.
func split(body []byte) ([]part, error) {
	var parts []part
	var fault error
	err := jsonrpc.Elements(body, func(value jsonrpc.Span) bool {
		p := part{question: question{text: value.Of(body)}}
		var m jsonrpc.Message
		if err := m.Scan(p.text); err != nil {
			p.fault = jsonrpc.AppendError(nil, err.ID.Of(p.text), err.Code, err.Reason, nil)
		} else if m.Kind == jsonrpc.Batch {
			p.fault = jsonrpc.AppendError(nil, nil, mcp.CodeInvalidRequest, "message is no object", nil)
		}
		p.kind, p.id = m.Kind, m.ID.Of(p.text)
		if method, _ := jsonrpc.Unquote(nil, m.Method.Of(p.text)); string(method) == mcp.MethodInitialize {
			fault = errors.New("initialize must not be part of a batch")
		}
		if len(parts) == maxBatch {
			fault = errors.New("a batch must not have more than " + strconv.Itoa(maxBatch) + " messages")
		}
		parts = append(parts, p)
		return fault == nil
	})
	switch {
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, err
	case len(parts) == 0:
		return nil, errors.New("a batch must not be empty")
	}
	return parts, nil
}

// batch is the answer to one batch in the making.
type batch struct {
	log     *zap.Logger
	turn    chan struct{} // holds one value while somebody has the lock
	w       http.ResponseWriter
	control *http.ResponseController
	leave   context.CancelFunc
	stream  bool     // the answer has begun as a stream
	ended   bool     // and nothing is to follow
	answers [][]byte // by place; nil is still to come
	held    int64    // bytes of answers, of room
	room    *room
	name    string // of who takes it up
}

// lock guards what follows turn in batch. It is no Mutex because who has it may
// wait long, for the client.
func (b *batch) lock() { b.turn <- struct{}{} }

func (b *batch) unlock() { <-b.turn }

// run sends all parts, some at a time, and returns when each has its answer.
func (b *batch) run(ctx context.Context, l *loop, from sender, parts []part, running *sync.WaitGroup) {
	slots := make(chan struct{}, batchAtOnce)
	var open sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		if p.fault != nil {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		open.Add(1)
		answered := sync.OnceFunc(func() {
			<-slots
			open.Done()
		})
		running.Go(func() {
			defer answered()
			defer rescue.Then(b.log, b.leave)
			l.send(ctx, from, p.question, nil, func(text []byte, final bool, _ http.Header) {
				b.take(p, text, final)
				if final {
					answered()
				}
			})
		})
	}
	open.Wait()
}

// take puts a message of a part's answer where it belongs.
func (b *batch) take(p *part, text []byte, final bool) {
	b.lock()
	defer b.unlock()
	if b.ended {
		return
	}
	if final && !b.stream && jsonrpc.Valid(text) != nil {
		text = failure(p.id, "the answer is no JSON") // the others must stay readable
	}
	if !b.stream && !(final && b.keep(p, text)) {
		b.begin()
	}
	if b.stream {
		b.event(text)
	}
}

// keep holds an answer until the others are there; false if there is no room.
// Called under the lock.
func (b *batch) keep(p *part, text []byte) bool {
	size := int64(len(text))
	if b.held+size > batchHeld || !b.room.take(b.name, size) {
		return false
	}
	b.held += size
	b.answers[p.place] = bytes.Clone(text)
	return true
}

// drop forgets the answers that are held. Called under the lock, or when all is over.
func (b *batch) drop() {
	b.room.give(b.name, b.held)
	b.held = 0
	clear(b.answers)
}

// begin makes the answer a stream, with what has come so far. Called under the lock.
func (b *batch) begin() {
	b.stream = true
	beginStream(b.w)
	for _, text := range b.answers {
		if text != nil {
			b.event(text)
		}
	}
	b.drop()
}

// event writes a message. A client that takes nothing ends the batch. Called
// under the lock.
func (b *batch) event(text []byte) {
	b.write(func() error { return sse.WriteMessage(b.w, text) })
}

func (b *batch) write(to func() error) {
	_ = b.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if to() != nil || b.control.Flush() != nil {
		b.leave()
	}
}

// wait returns true when all is answered, after it has written the answer; false
// when the client has left, or the gateway ends.
func (b *batch) wait(ctx context.Context, done <-chan struct{}) bool {
	patience := time.NewTimer(batchPatience)
	defer patience.Stop()
	keepAlive := sse.AppendEvent(nil, sse.Event{Comment: []byte(" keep-alive"), HasComment: true})
	for {
		select {
		case <-ctx.Done():
			return false
		case <-patience.C:
			b.lock()
			if !b.stream {
				b.begin()
			}
			b.write(func() error { _, err := b.w.Write(keepAlive); return err })
			b.unlock()
			patience.Reset(keepAliveEvery)
		case <-done:
			if ctx.Err() != nil {
				return false
			}
			b.finish()
			return true
		}
	}
}

// finish ends the answer.
func (b *batch) finish() {
	b.lock()
	defer b.unlock()
	b.ended = true
	if b.stream {
		return
	}
	if len(b.answers) == 0 {
		b.w.WriteHeader(http.StatusAccepted)
		return
	}
	size := 1 + len(b.answers)
	for _, text := range b.answers {
		size += len(text)
	}
	header := b.w.Header()
	header.Set("Content-Type", typeJSON)
	header.Set("Content-Length", strconv.Itoa(size))
	b.write(func() error {
		before := []byte{'['}
		for _, text := range b.answers {
			for _, piece := range [][]byte{before, text} {
				if _, err := b.w.Write(piece); err != nil {
					return err
				}
			}
			before[0] = ','
		}
		_, err := b.w.Write([]byte{']'})
		return err
	})
}
