package broker

import (
	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/policy"
	"mcp-gateway/internal/tag"
)

// keyOfTasks is what the filter seals with; nil where nobody proves who it is.
func (b *Broker) keyOfTasks(config gatewayconfig.Broker) []byte {
	if !config.Auth {
		return nil
	}
	return b.taskKey
}

// owner is whose the tasks of a server are that the client asks to hear of.
func (s *listening) owner(server, tool string) tag.Owner {
	if s.who == nil {
		return tag.Owner{}
	}
	return tag.Owner{Key: s.broker.taskKey, Principal: s.who.ID(), Server: server, Tool: tool}
}

// task is a task that the client may hear of.
type task struct {
	server string
	own    string // its id, as the server knows it
	tool   string // that it is of; empty if its id does not tell
}

// task finds a task by the id that the client has for it, if it is its own and the
// endpoint and the rules let it use the tool that the task is of.
func (s *listening) task(v *view, id string) (t task, ok bool) {
	at := s.listener.endpoint
	shown, g := v.catalog.View(at), v.groupOf(s.who)
	if shown == nil {
		return t, false
	}
	if t.server, t.own, ok = shown.Task(id); !ok {
		return t, false
	}
	owner := s.owner(t.server, "")
	if t.tool, t.own, ok = owner.Open(t.own); !ok || !owner.Seals() {
		return t, ok && reaches(g, at, t.server, policy.Tool)
	}
	item, ok := shown.Find(catalog.Tools, t.tool)
	if !ok || item.Server != t.server {
		return t, false
	}
	listed := catalog.Listed{Server: item.Server, Name: t.tool, Own: item.Own, Hints: item.Hints}
	return t, g == nil || g.Later(itemOf(at, catalog.Tools, listed)).Outcome == policy.Allowed
}

// toolOf is the tool of a task that the client asks to hear of, by its server's id.
func (s *listening) toolOf(v *view, server, own string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.wanted.tasks {
		if t, ok := s.task(v, id); ok && t.server == server && t.own == own {
			return t.tool
		}
	}
	return ""
}
