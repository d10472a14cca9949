package legacy

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// sessionParam names the client in the URL to which it posts.
const sessionParam = "sessionId"

// stream serves GET on the SSE path: the stream of one client, from its event
// "endpoint" to its end, and with it the session.
func (c *Clients) stream(w http.ResponseWriter, r *http.Request, cfg Config) {
	switch accept := r.Header.Values("Accept"); {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		fail(w, http.StatusMethodNotAllowed, mcp.CodeInvalidRequest, nil, "method not allowed")
		return
	case len(accept) > 0 && !mcp.Accepts(strings.Join(accept, ","), typeStream):
		fail(w, http.StatusNotAcceptable, mcp.CodeInvalidRequest, nil, "GET opens an event stream: Accept must include text/event-stream")
		return
	}
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	defer context.AfterFunc(c.opts.Life, leave)()
	id := rand.Text() // 26 characters, 128 bits at least
	cl := &client{
		id:    id,
		owner: cfg.Principal,
		log:   c.opts.Log,
		loop:  c.loop(cfg, id),
		limit: waitingBodies * cfg.BodyLimit,
		held:  &c.held,
		ctx:   ctx,
		leave: leave,
		out:   make(chan event),
		queue: make(chan *message, maxWaiting),
		from:  sender{host: r.Host, header: forwarded(r.Header)},
	}
	if !c.add(cl, cfg.MaxStreams) {
		if c.opts.Refused != nil {
			c.opts.Refused()
		}
		failLater(w, nil, "too many event streams")
		return
	}
	cl.idle = time.AfterFunc(initTimeout, leave)
	defer cl.idle.Stop()
	cl.work.Go(cl.pass)
	beginStream(w)
	cl.write(w, cfg.SSEPath+gatewayconfig.PathMessages+"?"+sessionParam+"="+cl.id)

	c.remove(cl)
	leave()
	cl.work.Wait()
	cl.releaseAll()
	c.end(cl)
}

// write writes the client's stream until it ends.
func (c *client) write(w http.ResponseWriter, endpoint string) {
	control := http.NewResponseController(w)
	write := func(to func(io.Writer) error) bool {
		// A writer without deadlines relies on its connection's.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		return to(w) == nil && control.Flush() == nil
	}
	text := func(e sse.Event) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(sse.AppendEvent(nil, e)); return err }
	}
	keepAlive := text(sse.Event{Comment: []byte(" keep-alive"), HasComment: true})
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	alive := write(text(sse.Event{Name: []byte("endpoint"), Data: []byte(endpoint), HasData: true}))
	for alive {
		select {
		case <-c.ctx.Done():
			return
		case e := <-c.out:
			alive = write(func(w io.Writer) error { return sse.WriteMessage(w, e.text) })
			close(e.done)
		case <-tick.C:
			alive = write(keepAlive)
		}
	}
}

// end ends the session of a client that has left.
func (c *Clients) end(cl *client) {
	cl.mu.Lock()
	from := cl.from
	cl.mu.Unlock()
	if from.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cl.ctx), endTimeout)
	defer cancel()
	if cl.loop.end(ctx, from) {
		return
	}
	c.opts.Log.Debug("the session of an HTTP+SSE client could not be ended at the endpoint")
	c.opts.End(context.WithoutCancel(ctx), from.session)
}

// message serves POST on the path for messages: accepted at once, answered on the
// client's stream.
func (c *Clients) message(w http.ResponseWriter, r *http.Request, cfg Config) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		fail(w, http.StatusMethodNotAllowed, mcp.CodeInvalidRequest, nil, "method not allowed")
		return
	case !mcp.JSONBody(r.Header.Get("Content-Type")):
		fail(w, http.StatusUnsupportedMediaType, mcp.CodeInvalidRequest, nil, "Content-Type must be application/json")
		return
	}
	cl := c.find(r.URL.Query().Get(sessionParam))
	if cl == nil || cl.owner != cfg.Principal {
		// Or another replica holds it, see docs/revisions.md: streams need affinity.
		fail(w, http.StatusNotFound, mcp.CodeInvalidRequest, nil, "no open event stream has this session: open one again")
		return
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, cfg.BodyLimit+1))
	switch {
	case int64(len(text)) > cfg.BodyLimit:
		fail(w, http.StatusRequestEntityTooLarge, mcp.CodeInvalidRequest, nil, "request body exceeds the limit")
		return
	case err != nil:
		fail(w, http.StatusBadRequest, mcp.CodeParseError, nil, "request body ends too early")
		return
	}
	var m jsonrpc.Message
	if err := m.Scan(text); err != nil {
		fail(w, http.StatusBadRequest, err.Code, err.ID.Of(text), err.Reason)
		return
	}
	if m.Kind == jsonrpc.Batch {
		fail(w, http.StatusBadRequest, mcp.CodeInvalidRequest, nil, "batches are not part of this transport")
		return
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(text))
	sent := &message{
		question: question{text: text, kind: m.Kind, id: m.ID.Of(text)},
		method:   string(method),
		asked:    m.ProtocolVersion,
		from:     sender{host: r.Host, header: forwarded(r.Header)},
	}
	if !cl.accept(sent) {
		failLater(w, sent.id, "too many messages wait for their answer")
		return
	}
	w.WriteHeader(http.StatusAccepted)
}
