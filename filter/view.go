package filter

import (
	"bytes"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/glob"
	"mcp-gateway/internal/mcp"
)

// view is an endpoint that shows a part of the gateway. The nil view shows all:
// it is the gateway's own endpoint.
type view struct {
	servers map[*server]bool
	// By exposed names and URIs; nil admits all.
	tools, prompts, resources *glob.Rules
}

func newViews(views []gatewayconfig.TableView, servers []*server) map[string]*view {
	out := make(map[string]*view, len(views))
	for _, v := range views {
		made := &view{
			servers: make(map[*server]bool, len(v.Servers)),
			tools:   compile(v.Tools), prompts: compile(v.Prompts), resources: compile(v.Resources),
		}
		for _, i := range v.Servers {
			made.servers[servers[i]] = true
		}
		out[v.Name] = made
	}
	return out
}

func compile(r gatewayconfig.Rules) *glob.Rules { return glob.New(r.Allow, r.Deny) }

func (v *view) shows(s *server) bool { return v == nil || v.servers[s] }

func (v *view) names(method string) *glob.Rules {
	switch {
	case v == nil:
		return nil
	case method == mcp.MethodPromptsGet:
		return v.prompts
	}
	return v.tools
}

// view returns what the request's endpoint shows; false if t has no such one.
func (s *Stream) view(t *table) (*view, bool) {
	if len(s.endpoint) == 0 {
		return nil, true
	}
	v := t.views[string(s.endpoint)]
	return v, v != nil
}

// findEndpoint reads the endpoint off the path. Whether there is such a view the
// table tells, where one is needed, else the broker: the table may be older than
// the view, or not be there yet.
func (s *Stream) findEndpoint() bool {
	name, ok := gatewayconfig.ViewName(s.g.cfg.Path, s.path)
	s.endpoint = append(s.endpoint[:0], name...)
	return ok
}

// A session holds only at the endpoint where it was opened, and for who has opened
// it. So that no other request ever finds it, s.session has both behind the id,
// after NULs, which no header can hold.

func (s *Stream) bindSession() {
	if len(s.session) == 0 {
		return
	}
	if len(s.endpoint) > 0 || s.principal != nil {
		s.session = append(append(s.session, 0), s.endpoint...)
	}
	if s.principal != nil {
		s.session = append(append(s.session, 0), s.principal.ID()...)
	}
}

// sessionID returns the client's session id as it sent it.
func (s *Stream) sessionID() []byte {
	id, _, _ := bytes.Cut(s.session, []byte{0})
	return id
}
