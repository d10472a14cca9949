package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcp-gateway/test/bench/http1"
	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
)

// fresh is how long a change of a list may take to reach clients at every replica.
const fresh = 5 * time.Second

// listener keeps the event stream of one session open and answers what servers ask
// on it, by another Envoy than the stream's.
type listener struct {
	env     *Env
	headers string
	side    []*conn

	ready atomic.Bool  // the stream is open
	told  atomic.Int64 // changes of lists
	over  atomic.Bool
	quit  chan struct{}
	ended chan struct{}

	mu    sync.Mutex
	tcp   *conn
	asked map[uint64]bool // calls that ask; true once they did
}

func listen(u *legacyUser) *listener {
	l := &listener{env: u.env, headers: u.headers(), quit: make(chan struct{}), ended: make(chan struct{}), asked: map[uint64]bool{}}
	for _, e := range u.env.Envoys {
		l.side = append(l.side, &conn{addr: e.Addr})
	}
	go l.run()
	return l
}

// end leaves the stream.
func (l *listener) end() {
	l.over.Store(true)
	close(l.quit)
	l.mu.Lock()
	if l.tcp != nil && l.tcp.tcp != nil {
		_ = l.tcp.tcp.Close()
	}
	l.mu.Unlock()
	<-l.ended
}

// expect announces a call that will ask.
func (l *listener) expect(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[n] = false
}

func (l *listener) run() {
	defer close(l.ended)
	defer func() {
		for _, c := range l.side {
			c.close()
		}
	}()
	for {
		gone := l.once()
		l.ready.Store(false)
		if gone {
			return // the next call of the session finds out
		}
		select {
		case <-l.quit:
			return
		case <-time.After(retryPause):
		}
	}
}

// once reads one stream to its end. It reports whether the session is over.
func (l *listener) once() (gone bool) {
	at := l.env.pick()
	call := check.Call{Kind: "listen", Path: check.Broker, Envoy: l.env.Envoys[at].Name, Start: time.Now()}
	c := &conn{addr: l.env.Envoys[at].Addr}
	defer c.close()
	settle := func(r *response, err error) {
		if !l.over.Load() {
			taken(&call, r, err)
			l.env.Checker.Add(call)
		}
	}
	if err := c.open(call.Start.Add(Deadline)); err != nil {
		settle(nil, err)
		return false
	}
	l.mu.Lock()
	l.tcp = c
	l.mu.Unlock()
	if l.over.Load() {
		return true
	}
	_, _ = fmt.Fprintf(c.tcp, "GET /mcp HTTP/1.1\r\nHost: %s\r\n%s\r\n", c.addr,
		strings.Replace(l.headers, "application/json, text/event-stream", "text/event-stream", 1))
	if err := c.reader.Head(&c.head); err != nil {
		outcome := check.Reset
		if time.Since(call.Start) >= Deadline {
			outcome = check.Hang
		}
		settle(nil, &failure{outcome, err})
		return false
	}
	r := &response{status: c.head.Status()}
	if r.status != http.StatusOK {
		_ = c.reader.Body(&c.head, func(p []byte) { r.message = append(r.message, p...) }) // what is there of it
		settle(r, nil)
		return r.status == http.StatusNotFound
	}
	_ = c.tcp.SetDeadline(time.Time{})
	settle(r, nil)
	l.ready.Store(true)
	l.read(c.reader, &c.head, at)
	return false
}

// read hears the stream until it ends, as it may.
func (l *listener) read(from *http1.Reader, head *http1.Message, at int) {
	r := &response{}
	var text []byte
	_ = from.Body(head, func(piece []byte) {
		text = r.events(append(text, piece...), func(data []byte) { l.event(data, at) })
	})
}

func (l *listener) event(data []byte, at int) {
	if bytes.Contains(data, []byte(`"notifications/tools/list_changed"`)) {
		l.told.Add(1)
		return
	}
	var q struct {
		ID     json.RawMessage
		Method string
		Params struct{ Message json.Number }
	}
	if json.Unmarshal(data, &q) != nil || q.Method != "elicitation/create" {
		return
	}
	c := check.Call{Kind: "answer", Path: check.Push, Envoy: l.env.Envoys[l.env.other(at)].Name, Start: time.Now()}
	n, err := q.Params.Message.Int64()
	l.mu.Lock()
	was, known := l.asked[uint64(n)]
	l.asked[uint64(n)] = true
	l.mu.Unlock()
	if err != nil || !known || was {
		c.Outcome, c.End = check.Wrong, time.Now()
		c.Detail = fmt.Sprintf("asked for the call %d: of this session %t, asked before %t", n, known, was)
		l.env.Checker.Add(c)
		return
	}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"said":"%d"}}}`, q.ID, n)
	r, err := l.side[l.env.other(at)].exchange("POST", "/mcp", l.headers, body, c.Start.Add(Deadline), nil)
	taken(&c, r, err)
	if !l.over.Load() || c.Outcome == check.OK {
		l.env.Checker.Add(c)
	}
}

// change has a server change its list and waits until both Envoys serve the new one
// and the client was told.
func (u *legacyUser) change() {
	s := u.env.choose(false)
	n, at := u.env.next(), u.env.pick()
	told := u.stream.told.Load()
	c := check.Call{Kind: server.ToolChange, Path: check.Push, Server: s.Name, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s_%s","arguments":{"n":%d}}}`,
		n, s.Name, server.ToolChange, n)
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers(), body, c.Start.Add(Deadline), nil)
	if result := settle(&c, n, r, err); result != nil {
		if a := answered(u.env.Checker, &c, n, result, u.owner, true); a != nil {
			u.await(&c, s.Name+"_"+a.Said, told)
		}
	}
	c.End = time.Now()
	u.add(c)
}

// await waits for the new list at both Envoys, and for the notification.
func (u *legacyUser) await(c *check.Call, tool string, told int64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(fresh)
	for {
		stale := ""
		for at, e := range u.env.Envoys {
			if e.Away.Load() {
				continue
			}
			n := u.env.next()
			list := check.Call{Kind: "tools/list", Path: check.Broker, Envoy: e.Name, Start: time.Now()}
			r, err := u.conns[at].exchange("POST", "/mcp", u.headers(),
				fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/list"}`, n), time.Now().Add(Deadline), nil)
			result := settle(&list, n, r, err)
			list.End = time.Now()
			u.env.Checker.Add(list)
			if !bytes.Contains(result, []byte(`"`+tool+`"`)) {
				stale = "the list at " + e.Name
			}
		}
		if stale == "" && u.stream.told.Load() == told {
			stale = "the client's notification"
		}
		if stale == "" {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			c.Outcome, c.Detail = check.Late, "a change of the list did not reach "+stale
			return
		case <-u.env.done:
			return
		}
	}
}
