package golang

import (
	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter/host"
)

// What the contrib library panics with when Envoy is done with a stream. It is no
// fault: a goroutine has come a moment too late.
const (
	requestFinished = "request has been finished"
	filterDestroyed = "golang filter has been destroyed"
)

// rescue is deferred by each callback, and starts what it has left to a goroutine.
func (s *Stream) rescue(p host.Phase, encoding bool, status *api.StatusType) {
	if r := recover(); r != nil {
		s.panicked(p, encoding, r)
		*status = api.LocalReply
		return
	}
	if *status == api.Running {
		go s.await(s.question)
	}
}

// panicked makes a panic a JSON-RPC error under the request's id. Should that panic,
// too, it is an error without id. Where an answer has begun Envoy resets the stream
// instead of sending another.
func (s *Stream) panicked(p host.Phase, encoding bool, r any) {
	if r == requestFinished || r == filterDestroyed {
		return
	}
	s.plugin.report(p, r)
	s.counts = append(s.counts, count{panic: true, reason: p.String()})
	s.spoiled = true
	s.endQuestion()
	to := api.FilterProcessCallbacks(s.callbacks.DecoderFilterCallbacks())
	if encoding {
		to = s.callbacks.EncoderFilterCallbacks()
	}
	defer func() {
		again := recover()
		if again == nil || again == requestFinished || again == filterDestroyed {
			return
		}
		s.plugin.report(p, again)
		s.count("panic", "")
		s.lastResort(to)
	}()
	if s.core == nil {
		s.count("panic", "")
		s.refuse(to)
		return
	}
	s.reply(to, s.core.Panicked())
}

// lastResort refuses; nobody is left to recover what that panics with.
func (s *Stream) lastResort(to api.FilterProcessCallbacks) {
	defer func() { _ = recover() }()
	s.refuse(to)
}
