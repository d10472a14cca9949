package ferry

import (
	"sync"

	"mcp-gateway/broker/credential"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Request is what of a client's request concerns how it is answered.
type Request struct {
	// ID is raw. Token is the raw progress token; nil for a client that wants no
	// progress.
	ID, Token []byte
	// Level is the least severe log message that the client wants; empty for none.
	Level string
	// Capabilities is a raw object as in pool.Key: what the client can be asked in
	// the answer.
	Capabilities []byte
	// By is who sends it; nil if that is nothing to the server.
	By *credential.Caller
}

// Message is one message of an answer.
type Message struct {
	Bytes []byte
	// Last tells that it is the response.
	Last bool
	// Status is the HTTP status of a response that stands alone; 0 means 200.
	Status int
}

const (
	// mostWaiting is how many messages wait for who reads them, and mostWaitingBytes
	// with how many bytes another one may still join them.
	mostWaiting      = 64
	mostWaitingBytes = 8 << 20
)

// Caller is a request that waits for its answer.
type Caller struct {
	Request
	level int // -1 for no log messages
	out   chan Message
	room  chan struct{} // is told of Done
	gone  chan struct{} // closed by Leave
	cut   chan struct{} // closed when the answer breaks off

	mu   sync.Mutex
	size int    // of what was put in out and is not done
	left func() // is told of Leave
	over bool   // Leave was called
}

func newCaller(r Request) *Caller {
	return &Caller{
		Request: r, level: mcp.Verbosity(r.Level), out: make(chan Message, mostWaiting),
		room: make(chan struct{}, 1), gone: make(chan struct{}), cut: make(chan struct{}),
	}
}

// Out returns the messages of the answer, up to the one that is Last. Done must be
// called with each.
func (k *Caller) Out() <-chan Message { return k.out }

// Done tells that a message is not needed any more.
func (k *Caller) Done(m Message) {
	k.mu.Lock()
	k.size -= len(m.Bytes)
	k.mu.Unlock()
	select {
	case k.room <- struct{}{}:
	default:
	}
}

// Cut returns what is closed when the answer breaks off without an end, because
// the reader is too slow.
func (k *Caller) Cut() <-chan struct{} { return k.cut }

// Leave tells that nobody reads any more. A call that is not yet answered is
// cancelled (2026-07-28, basic/patterns/cancellation).
func (k *Caller) Leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	k.over = true
	close(k.gone)
	if k.left != nil {
		go k.left()
	}
}

// whenLeft has f run apart when the Caller leaves, or has left.
func (k *Caller) whenLeft(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = f
	if k.over {
		go f()
	}
}

// offer puts a message where there is room for it; false if there is none.
func (k *Caller) offer(m Message) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.size >= mostWaitingBytes {
		return false
	}
	select {
	case k.out <- m:
		k.size += len(m.Bytes)
		return true
	default:
		return false
	}
}

// put waits until there is room for a message, or nobody reads. Each message that
// is done lets on one of those who wait, and what that one puts the next.
func (k *Caller) put(m Message) {
	for !k.offer(m) {
		select {
		case <-k.room:
		case <-k.gone:
			return
		}
	}
}

// say hands a notification over; with patience also to who is slow to read.
func (k *Caller) say(message []byte, patient bool) {
	if m := (Message{Bytes: message}); patient {
		k.put(m)
	} else {
		k.offer(m)
	}
}

// end hands the response over.
func (k *Caller) end(m Message) { k.put(m) }

// What is said of calls that came to nothing. The server's name goes before what
// begins with a space.
const (
	stopping   = "the gateway is stopping"
	over       = "requestState: the call that waited for this input is over, call again"
	elsewhen   = "requestState: this input was brought already"
	noWay      = "the input does not reach the part of the gateway that holds the call: it is too large, or the session store is away"
	lostHolder = "the part of the gateway that held the call is gone, call again"
)

// refusal returns an error response for a call that failed.
func refusal(k *Caller, message string) []byte {
	return jsonrpc.AppendError(nil, k.ID, mcp.CodeInternalError, message, nil)
}

// misfit returns an error response for input that does not fit.
func misfit(k *Caller, message string) []byte {
	return jsonrpc.AppendError(nil, k.ID, mcp.CodeInvalidParams, message, nil)
}
