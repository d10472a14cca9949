package client

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
)

const modernMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

// modernUser is a client of the stateless revision: a caller of its own.
type modernUser struct{ user }

func (u *modernUser) run() {
	defer u.leave()
	for u.pause(0) {
		switch k := rand.IntN(100); {
		case k < 66:
			u.call(server.ToolEcho, u.env.choose(true))
		case k < 76:
			u.call(server.ToolStream, u.env.choose(true))
		case k < 92:
			u.call(server.ToolEcho, u.env.choose(false))
		case k < 95:
			u.call(server.ToolStream, u.env.choose(false))
		case k < 98:
			u.ask("tools/list")
		default:
			u.ask("server/discover")
		}
	}
}

func (u *modernUser) headers(method, name string) string {
	h := "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2026-07-28\r\n" +
		"Authorization: Bearer " + u.name + "\r\nMcp-Method: " + method + "\r\n"
	if name != "" {
		h += "Mcp-Name: " + name + "\r\n"
	}
	return h
}

func (u *modernUser) call(tool string, s *Server) {
	n, at := u.env.next(), u.env.pick()
	c := check.Call{Kind: tool, Path: check.Inline, Server: s.Name, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	owner := ""
	if !s.Modern {
		c.Path, owner = check.Ferry, "caller "+u.name
	}
	name := s.Name + "_" + tool
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"n":%d},"_meta":{"progressToken":%d,%s}}}`,
		n, name, n, n, modernMeta)
	p := progress{n: n}
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers("tools/call", name), body, c.Start.Add(Deadline), p.event)
	if result := settle(&c, n, r, err); result != nil {
		answered(u.env.Checker, &c, n, result, owner, false)
	}
	p.settle(&c, tool)
	c.End = time.Now()
	u.env.Checker.Add(c)
}

// ask is for what the gateway answers itself.
func (u *modernUser) ask(method string) {
	n, at := u.env.next(), u.env.pick()
	c := check.Call{Kind: method, Path: check.Broker, Envoy: u.env.Envoys[at].Name, Start: time.Now()}
	body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":{"_meta":{%s}}}`, n, method, modernMeta)
	r, err := u.conns[at].exchange("POST", "/mcp", u.headers(method, ""), body, c.Start.Add(Deadline), nil)
	if result := settle(&c, n, r, err); result != nil && method == "tools/list" {
		u.env.lists(&c, result)
	}
	c.End = time.Now()
	u.env.Checker.Add(c)
}

// lists checks that a list has all servers' tools.
func (e *Env) lists(c *check.Call, result []byte) {
	for _, s := range e.Servers {
		if !bytes.Contains(result, []byte(`"`+s.Name+"_"+server.ToolEcho+`"`)) {
			c.Outcome, c.Detail = check.Late, "a list without "+s.Name
		}
	}
}

// progress watches the notifications of one call.
type progress struct {
	n     uint64
	seen  int
	wrong string
}

func (p *progress) event(data []byte) {
	want := fmt.Appendf(nil, `"progressToken":%d`, p.n)
	if bytes.Contains(data, []byte(`"method":"notifications/progress"`)) {
		if p.seen++; !bytes.Contains(data, want) {
			p.wrong = fmt.Sprintf("progress of another call, want token %d: %.200s", p.n, data)
		}
	}
}

// settle holds the result of a call to its notifications.
func (p *progress) settle(c *check.Call, tool string) {
	switch {
	case p.wrong != "":
		c.Outcome, c.Detail = check.Wrong, p.wrong
	case c.Outcome == check.OK && tool == server.ToolStream && p.seen != server.Progress:
		c.Outcome, c.Detail = check.Late, fmt.Sprintf("%d progress notifications, want %d", p.seen, server.Progress)
	}
}
