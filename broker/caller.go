package broker

import (
	"net/http"
	"strconv"
	"time"

	"mcp-gateway/broker/ferry"
	"mcp-gateway/internal/sse"
)

// serveCaller writes the answer of a call that crosses: a response alone as JSON,
// one with something before it as an event stream (2026-07-28,
// basic/transports/streamable-http, Sending Messages).
func (b *Broker) serveCaller(c *call, k *ferry.Caller) {
	defer k.Leave()
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	control := http.NewResponseController(c.w)
	streaming := false
	event := func(e sse.Event) bool {
		if !streaming {
			streaming = true
			header := c.w.Header()
			header.Set("Content-Type", "text/event-stream")
			header.Set("Cache-Control", "no-cache, no-transform")
			header.Set("X-Accel-Buffering", "no")
			c.w.WriteHeader(http.StatusOK)
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := c.w.Write(sse.AppendEvent(nil, e))
		if err == nil {
			err = control.Flush()
		}
		return err == nil
	}
	for {
		select {
		case <-c.r.Context().Done():
			return
		case <-k.Cut():
			panic(http.ErrAbortHandler) // so that nobody takes it for complete
		case <-tick.C:
			if !event(sse.Event{Comment: []byte(" keep-alive"), HasComment: true}) {
				return
			}
		case m := <-k.Out():
			if m.Last && !streaming && !(prefersEvents(c.r) && m.Status == 0) {
				c.writeStatus(m.Status, m.Bytes)
				return
			}
			if !event(sse.Event{Name: []byte("message"), Data: m.Bytes, HasData: true}) || m.Last {
				return
			}
			k.Done(m)
		}
	}
}

// writeStatus answers with a whole message; status 0 means 200.
func (c *call) writeStatus(status int, message []byte) {
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(message)))
	if status != 0 {
		c.w.WriteHeader(status)
	}
	_, _ = c.w.Write(message)
}
