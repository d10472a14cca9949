package filter

import (
	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// wanted is what s.name names a server by.
type wanted uint8

const (
	wantTool wanted = iota
	wantPrompt
	wantResource
	wantServer // its own name, from a mark or a hint
	wantTask
)

// route finds the owner of s.name and goes on with its session.
func (s *Stream) route(now int64) *Decision {
	fault.At("route")
	t := s.g.table.Load()
	if t == nil {
		if s.phase == phaseAskTable {
			return s.fail("broker_down", "the gateway has no routing table yet")
		}
		s.g.fetched.Store(now)
		return s.ask(phaseAskTable, s.g.TableQuestion())
	}
	if s.want != wantServer && s.phase != phaseAskTable && s.phase != phaseAskName && s.g.outdated(now) && !s.g.full() && s.g.recheck(now) {
		d := s.ask(phaseAskName, s.g.TableQuestion())
		d.Question.Timeout = quickTimeout // else it goes on with what it has
		return d
	}
	if found := s.find(t); !found {
		if d := s.lacks(); d != nil {
			return d
		}
		if s.phase != phaseAskName && s.g.recheck(now) {
			return s.ask(phaseAskName, s.g.TableQuestion())
		}
		return s.unknown(now)
	}
	srv := s.target.server
	if srv.resources {
		s.label = srv.label
	}
	if s.stateless || srv.modernOnly {
		return s.byEra(now)
	}
	b, ok := s.g.sessions.get(s.session, srv.place, now)
	if ok {
		s.backend = b
		return s.forward(now)
	}
	if b.stale {
		return s.askSession(srv.name, b.id)
	}
	s.backend = b // for the case that the broker is away
	if b.place != "" && s.g.full() {
		return s.withoutBroker(now)
	}
	d := s.askSession(srv.name, nil)
	if b.place != "" {
		d.Question.Timeout = quickTimeout
	}
	return d
}

// find looks s.name up and sets s.target. What a rule hides is not found.
func (s *Stream) find(t *table) bool {
	s.access.decided = false
	return s.locate(t) && s.permitted(t)
}

func (s *Stream) locate(t *table) bool {
	v, ok := s.view(t)
	if !ok {
		return false
	}
	switch s.want {
	case wantTool, wantPrompt:
		if s.method == mcp.MethodComplete && t.sole != nil && t.sole.offersAll() && v == nil {
			s.target = target{server: t.sole}
			return true
		}
		method := mcp.MethodToolsCall
		if s.want == wantPrompt {
			method = mcp.MethodPromptsGet
		}
		s.target, s.scratch, ok = t.owner(method, s.name, s.scratch, v)
		return ok
	case wantServer:
		srv := t.byName[string(s.name)]
		if srv == nil || !v.shows(srv) {
			return false
		}
		s.target = target{server: srv}
		if !s.span.Empty() {
			s.target.token = s.scratch // the server's own token, as it was marked
		}
		return true
	}
	var srv *server
	var own string
	var hints gatewayconfig.Hints
	changed := false
	if s.want == wantTask {
		if srv, own, ok = t.labelled(string(s.name), v); ok {
			owner := s.owner(t, srv)
			changed = owner.Seals()
			s.tool, own, ok = owner.Open(own)
			if changed && ok {
				hints, ok = s.ofTool(t, srv, v)
			}
		}
	} else {
		srv, own, ok = t.resource(string(s.name), v)
	}
	if !ok {
		return false
	}
	s.target, s.own = target{server: srv, hints: hints}, append(s.own[:0], own...)
	if srv != t.sole || changed { // else there is no token: it stays as it is
		s.scratch = jsonrpc.AppendQuote(s.scratch[:0], []byte(own))
		s.target.token = s.scratch
	}
	return true
}

// ofTool finds the tool that a task is of: where that is not offered, or is another
// server's by now, its tasks are unknown, too.
func (s *Stream) ofTool(t *table, srv *server, v *view) (gatewayconfig.Hints, bool) {
	found, _, ok := t.owner(mcp.MethodToolsCall, []byte(s.tool), nil, v)
	return found.hints, ok && found.server == srv
}

// owner is whose the tasks are that the client starts at a server.
func (s *Stream) owner(t *table, srv *server) tag.Owner {
	if s.principal == nil {
		return tag.Owner{}
	}
	return tag.Owner{Key: t.taskKey, Principal: s.principal.ID(), Server: srv.name, Tool: s.tool}
}

func (s *Stream) unknown(now int64) *Decision {
	if t := s.g.table.Load(); t != nil {
		if _, ok := s.view(t); !ok {
			return s.refuse(404, mcp.CodeInvalidRequest, "no such endpoint", "path")
		}
	}
	name := string(s.name)
	switch s.want {
	case wantTool:
		return s.refuseCall(now, mcp.CodeInvalidParams, "Unknown tool: "+name, "unknown_tool")
	case wantPrompt:
		return s.refuseCall(now, mcp.CodeInvalidParams, "Unknown prompt: "+name, "unknown_prompt")
	case wantServer:
		s.oneWay, s.resume = false, false
		return s.toBroker()
	case wantTask:
		return s.refuseCall(now, mcp.CodeInvalidParams, "Unknown task", "unknown_task")
	}
	code := mcp.CodeResourceNotFound
	if s.stateless || s.method == mcp.MethodComplete {
		code = mcp.CodeInvalidParams // server/utilities/completion, Error Handling
	}
	return s.refuseCall(now, code, "Resource not found", unknownResource)
}

// refuseCall refuses a call that no server would see, but tells an unknown
// client session so first: it must learn that it has to begin anew.
func (s *Stream) refuseCall(now int64, code int, message, reason string) *Decision {
	s.refusal = refusal{code, message, reason}
	if s.stateless || s.g.sessions.known(s.session, now) {
		return s.refused()
	}
	d := s.askSession("", nil)
	if d.Action == Ask {
		s.phase = phaseAskClient
	}
	return d
}

const unknownResource = "unknown_resource"

type refusal struct {
	code            int
	message, reason string
}

func (s *Stream) refused() *Decision {
	var data []byte
	if s.refusal.reason == unknownResource && s.method == mcp.MethodResourcesRead {
		data = append(jsonrpc.AppendQuote([]byte(`{"uri":`), s.name), '}')
	}
	if s.hidden() { // which logs tell apart, and nobody else
		return s.refuseData(200, s.refusal.code, s.refusal.message, data, "hidden")
	}
	return s.refuseData(200, s.refusal.code, s.refusal.message, data, s.refusal.reason)
}
