package client

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
)

const (
	revision = "2025-11-25"
	// retryPause follows a session that could not be opened.
	retryPause = 200 * time.Millisecond
	// life is how many calls a session gets before it is ended.
	life = 300
)

// legacyUser is a client of the revisions with sessions: one at a time.
type legacyUser struct {
	user
	listens bool // keeps an event stream open
	changer bool // changes a server's list now and then

	session string // id; empty if there is none
	owner   string // what the checker calls the session
	opened  int
	warm    map[string]int64 // Envoy and server, with their runs, that have answered
	stream  *listener
}

func newLegacy(e *Env, name string, listens, changer bool) *legacyUser {
	return &legacyUser{user: newUser(e, name), listens: listens, changer: changer}
}

func (u *legacyUser) run() {
	defer u.leave()
	defer u.close()
	for u.pause(0) {
		if u.session == "" && !u.open() {
			if !u.pause(retryPause) {
				return
			}
			continue
		}
		listening := u.stream != nil && u.stream.ready.Load()
		switch k := rand.IntN(1000); {
		case k < 780:
			u.call(server.ToolEcho, u.env.choose(false))
		case k < 870:
			u.call(server.ToolStream, u.env.choose(false))
		case k < 920:
			u.call(server.ToolEcho, u.env.choose(true))
		case k < 940:
			u.ask("tools/list")
		case k < 955:
			u.ask("ping")
		case k < 970:
			u.call(server.ToolSlow, u.env.choose(false))
		case k < 994:
			if listening {
				u.call(server.ToolAsk, u.env.choose(false))
			}
		default:
			if listening && u.changer {
				u.change()
			}
		}
		if u.opened++; u.opened > life && u.session != "" {
			u.end()
		}
	}
}

func (u *legacyUser) headers() string {
	h := "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
	if u.session != "" {
		h += "Mcp-Session-Id: " + u.session + "\r\nMcp-Protocol-Version: " + revision + "\r\n"
	}
	return h
}

// request is a call that the gateway answers itself.
func (u *legacyUser) request(kind, method, params string) (check.Call, uint64, *response, []byte) {
	n, at := u.env.next(), u.env.pick()
	c := check.Call{Kind: kind, Path: check.Broker, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q%s}`, n, method, params)
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers(), body, c.Start.Add(Deadline), nil)
	result := settle(&c, n, r, err)
	c.End = time.Now()
	return c, n, r, result
}

// open begins a session.
func (u *legacyUser) open() bool {
	c, n, r, result := u.request("open", "initialize", `,"params":{"protocolVersion":"`+revision+
		`","capabilities":{"elicitation":{}},"clientInfo":{"name":"`+u.name+`","version":"1"}}`)
	if result != nil && r.session == "" {
		c.Outcome, c.Detail = check.Wrong, "no session id"
	}
	u.env.Checker.Add(c)
	if c.Outcome != check.OK {
		return false
	}
	u.session, u.owner, u.opened, u.warm = r.session, fmt.Sprintf("session %d of %s", n, u.name), 0, map[string]int64{}
	if !u.tell("initialized", `{"jsonrpc":"2.0","method":"notifications/initialized"}`) {
		u.close()
		return false
	}
	if u.listens {
		u.stream = listen(u)
	}
	return true
}

// tell sends a notification; it reports whether it was taken.
func (u *legacyUser) tell(kind, body string) bool {
	at := u.env.pick()
	c := check.Call{Kind: kind, Path: check.Broker, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers(), []byte(body), c.Start.Add(Deadline), nil)
	taken(&c, r, err)
	u.env.Checker.Add(c)
	return c.Outcome == check.OK
}

// taken settles a call that has no answer but its status.
func taken(c *check.Call, r *response, err error) {
	c.End = time.Now()
	switch {
	case err != nil:
		c.Outcome, c.Detail = outcomeOf(err)
	case r.status/100 == 2:
		c.Outcome, c.Status = check.OK, r.status
	case len(r.message) == 0:
		c.Outcome, c.Status, c.Detail = check.Empty, r.status, "no message in the answer"
	default:
		c.Outcome, c.Status, c.Detail = check.Clean, r.status, fmt.Sprintf("%.200s", r.message)
	}
}

// close forgets the session.
func (u *legacyUser) close() {
	if u.stream != nil {
		u.stream.end()
		u.stream = nil
	}
	u.session = ""
}

// end ends the session, which no replica may know afterwards.
func (u *legacyUser) end() {
	if u.stream != nil {
		u.stream.end()
		u.stream = nil
	}
	at := u.env.pick()
	c := check.Call{Kind: "end", Path: check.Broker, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	r, err := u.conns[at].exchange("DELETE", "/mcp", u.headers(), nil, c.Start.Add(Deadline), nil)
	taken(&c, r, err)
	u.env.Checker.Add(c)
	if c.Outcome == check.OK {
		c, _, _, result := u.request("ended", "ping", "")
		switch {
		case result != nil:
			c.Outcome, c.Detail = check.Wrong, "the session goes on after its end"
		case c.Outcome == check.Clean && c.Status == http.StatusNotFound:
			c.Outcome = check.OK
		}
		u.env.Checker.Add(c)
	}
	u.close()
}

// ask is for what the gateway answers itself.
func (u *legacyUser) ask(method string) {
	c, _, _, result := u.request(method, method, "")
	if result != nil && method == "tools/list" {
		u.env.lists(&c, result)
	}
	u.add(c)
}

// add hands a call of the session to the checker. If there is no such session, it
// is over.
func (u *legacyUser) add(c check.Call) {
	u.env.Checker.Add(c)
	if c.Status == http.StatusNotFound {
		u.close()
	}
}

// call calls a tool at any Envoy.
func (u *legacyUser) call(tool string, s *Server) {
	n, at := u.env.next(), u.env.pick()
	envoy := u.env.Envoys[at]
	key := fmt.Sprintf("%d/%d %s", at, envoy.Runs.Load(), s.Name)
	run := s.Runs.Load()
	c := check.Call{Kind: tool, Path: check.Crossing, Server: s.Name, Envoy: envoy.Name, Start: time.Now()}
	owner := ""
	if !s.Modern {
		c.Path, owner = check.Cold, u.owner
		if was, ok := u.warm[key]; ok && was == run {
			c.Path = check.Warm
		}
	}
	p := progress{n: n}
	event := p.event
	switch tool {
	case server.ToolSlow:
		c.Path = check.Push
		event = func(data []byte) {
			if p.event(data); p.seen == 1 {
				u.cancel(n, u.env.other(at))
			}
		}
	case server.ToolAsk:
		c.Path = check.Push
		u.stream.expect(n)
	}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s_%s","arguments":{"n":%d},"_meta":{"progressToken":%d}}}`,
		n, s.Name, tool, n, n)
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers(), body, c.Start.Add(Deadline), event)
	if result := settle(&c, n, r, err); result != nil {
		if a := answered(u.env.Checker, &c, n, result, owner, true); a != nil {
			u.warm[key] = run
			said(&c, tool, n, a.Said)
		}
	}
	p.settle(&c, tool)
	c.End = time.Now()
	u.add(c)
}

// said holds an answer to what the client told the server.
func said(c *check.Call, tool string, n uint64, got string) {
	want := map[string]string{server.ToolSlow: server.AnswerCancelled, server.ToolAsk: fmt.Sprint(n)}[tool]
	switch {
	case want == "" || got == want:
	case got == server.AnswerNone:
		c.Outcome, c.Detail = check.Late, "what the client said did not reach the server"
	default:
		c.Outcome, c.Detail = check.Wrong, fmt.Sprintf("the server heard %q, the client said %q", got, want)
	}
}

// cancel tells the server by another Envoy that its answer is not wanted.
func (u *legacyUser) cancel(n uint64, at int) {
	c := check.Call{Kind: "cancel", Path: check.Push, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, n)
	r, err := u.side[at].exchange("POST", "/mcp", u.headers(), body, c.Start.Add(Deadline), nil)
	taken(&c, r, err)
	u.env.Checker.Add(c)
}
