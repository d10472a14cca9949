package broker

import (
	"net/http"
	"sync"
	"time"

	"mcp-gateway/internal/sse"
)

// answering is the answer to a request of a client while it comes about: an event
// stream as soon as something precedes the response, or that takes long; else
// JSON. A client that leaves, or does not read, is told no more; that is no
// reason to end what it asked for (2025-11-25, basic/transports, Sending Messages
// to the Server).
type answering struct {
	c    *call
	stop chan struct{} // closed at the end
	done sync.WaitGroup

	mu    sync.Mutex
	begun bool // the event stream
	gone  bool // the client, or the answer is complete
}

// newAnswering keeps the client's connection alive from now on, and calls touch
// now and then. End it with end before the handler returns.
func newAnswering(c *call, touch func()) *answering {
	a := &answering{c: c, stop: make(chan struct{})}
	a.done.Go(func() {
		tick := time.NewTicker(keepAliveEvery)
		defer tick.Stop()
		touched := time.Now()
		for {
			select {
			case <-a.stop:
				return
			case <-tick.C:
				if time.Since(touched) >= touchEvery {
					touched = time.Now()
					touch()
				}
				a.write(sse.Event{Comment: []byte(" keep-alive"), HasComment: true})
			}
		}
	})
	return a
}

// end returns when nothing is written any more.
func (a *answering) end() {
	close(a.stop)
	a.done.Wait()
}

// left reports whether the client has gone.
func (a *answering) left() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone || a.c.r.Context().Err() != nil
}

// message sends a message that precedes the response.
func (a *answering) message(text []byte) {
	a.write(sse.Event{Name: []byte("message"), Data: text, HasData: true})
}

// response sends the response, after which nothing may be sent.
func (a *answering) response(text []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun || prefersEvents(a.c.r) {
		a.send(sse.Event{Name: []byte("message"), Data: text, HasData: true})
	} else {
		a.c.write(text)
	}
	a.gone = true
}

// nothing ends the answer without a response, as that to a request that the
// client has taken back.
func (a *answering) nothing() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin()
}

// begin begins the event stream. Called under mu.
func (a *answering) begin() {
	if a.begun {
		return
	}
	a.begun = true
	header := a.c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	a.c.w.WriteHeader(http.StatusOK)
}

func (a *answering) write(e sse.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.send(e)
}

// send is write, under mu.
func (a *answering) send(e sse.Event) {
	if a.gone {
		return
	}
	a.begin()
	control := http.NewResponseController(a.c.w)
	// As in Broker.stream.
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := a.c.w.Write(sse.AppendEvent(nil, e))
	if err == nil {
		err = control.Flush()
	}
	a.gone = err != nil
}
