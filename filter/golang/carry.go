package golang

import (
	"strings"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// metadata is the namespace of the notes in Envoy's dynamic metadata.
const metadata = "mcp"

// noGRPCStatus is what Envoy takes for none.
const noGRPCStatus = -1

// carryRequest carries out a decision on the request.
func (s *Stream) carryRequest(d *filter.Decision) api.StatusType {
	to := s.callbacks.DecoderFilterCallbacks()
	switch d.Action {
	case filter.Reply:
		s.reply(to, d)
		return api.LocalReply
	case filter.NeedBody:
		s.needRequest = true
		return api.StopAndBufferWatermark
	case filter.Ask:
		s.begin(&d.Question, false)
		return api.Running
	}
	fault.At("encode")
	edit(s.request, d.Edits)
	marked := s.mark(d)
	s.tell(d)
	s.body.cut(d.Splice)
	s.body.leave(to)
	if d.Reroute || marked {
		s.callbacks.ClearRouteCache()
	}
	s.settle(d)
	return api.Continue
}

// mark has a request to the broker show that it has come by here: contrib's filter
// lets all pass if it does not find the plugin, so the routes refuse what has no
// mark. One to a server has the server's name.
func (s *Stream) mark(d *filter.Decision) bool {
	if s.config.Shared() {
		return false // those routes are not the gateway's
	}
	for i := range d.Edits {
		if e := &d.Edits[i]; e.Name == mcp.HeaderCluster && !e.Remove {
			return false
		}
	}
	s.request.Set(mcp.HeaderFilter, Name)
	return true
}

// carryResponse carries out a decision on the answer: on its headers, on a chunk
// of its body, or on the whole body.
func (s *Stream) carryResponse(d *filter.Decision) api.StatusType {
	to := s.callbacks.EncoderFilterCallbacks()
	switch d.Action {
	case filter.Reply:
		s.reply(to, d)
		return api.LocalReply
	case filter.NeedBody:
		s.hold()
		s.needResponse = true
		return api.StopAndBufferWatermark
	case filter.Ask:
		s.hold()
		s.begin(&d.Question, true)
		return api.Running
	}
	if s.response != nil {
		edit(s.response, d.Edits)
		s.response = nil
	}
	s.tell(d)
	if d.Replace {
		s.body.replace(d.Body)
	}
	s.body.leave(to)
	s.held = false
	s.settle(d)
	return api.Continue
}

// hold notes what is to be said if the server goes away before the response is
// complete. Envoy answers by itself then and shows that to no filter: the
// listener's local replies are made of this while it is there.
func (s *Stream) hold() {
	if answer, server := s.core.Pending(); answer != nil {
		s.note("held", answer)
		s.held, s.server = true, server
	}
}

// reply ends the stream. Envoy may destroy it before the call that sends the reply
// returns: that comes last.
func (s *Stream) reply(to api.FilterProcessCallbacks, d *filter.Decision) {
	status, body, headers, details := d.Status, string(d.Body), replyHeaders(d.Edits), d.Reason
	if details == "" {
		details = metadata
	}
	s.tell(d)
	if s.held {
		s.note("held", nil)
		s.held = false
	}
	s.replied = true
	s.body = message{}
	s.settle(d)
	to.SendLocalReply(status, body, headers, noGRPCStatus, details)
}

// refuse is the answer of last resort, for which no stream of the core is needed.
func (s *Stream) refuse(to api.FilterProcessCallbacks) {
	s.replied = true
	s.body = message{}
	to.SendLocalReply(host.InternalErrorStatus, host.InternalError, map[string][]string{
		"content-type": {"application/json"}, "retry-after": {host.InternalErrorRetryAfter},
	}, noGRPCStatus, "panic")
}

// tell sets the notes of a decision and counts it.
func (s *Stream) tell(d *filter.Decision) {
	if s.config.Metadata || d.Reason != "" {
		for i := range d.Notes {
			s.note(d.Notes[i].Key, d.Notes[i].Value)
		}
	}
	if d.Reason != "" {
		s.count(d.Reason, d.Server)
	}
}

// note sets dynamic metadata. Protobuf takes no string that is not UTF-8.
func (s *Stream) note(key string, value []byte) {
	s.callbacks.StreamInfo().DynamicMetadata().Set(metadata, key, strings.ToValidUTF8(string(value), "\uFFFD"))
}

// passed reports whether the request has gone through the operator's filters: the
// last one marks it.
func (s *Stream) passed() bool {
	_, marked := s.callbacks.StreamInfo().DynamicMetadata().Get(gatewayconfig.MetadataPassed)["to"]
	return marked
}

// settle does what is to be done whatever the action is. d is not to be used after.
func (s *Stream) settle(d *filter.Decision) {
	if d.Revalidate {
		go s.config.revalidate()
	}
	s.plain = s.plain || d.Plain
	s.plainJSON = s.plainJSON || d.PlainJSON
	if d.Done {
		s.finish()
	}
}
