package golang

import (
	"slices"
	"strings"
	"sync"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/gatewayconfig"
)

// Stream is one HTTP stream in Envoy.
//
// Envoy calls it on one worker. Only while a question to the broker is under way
// there is a goroutine beside, and that touches nothing but the question until it
// has taken it (answered). Then it holds mu, for which OnDestroy waits: no callback
// of Envoy is used after that. The worker never holds mu while it calls Envoy,
// which may destroy the stream from within.
type Stream struct {
	api.PassThroughStreamFilter

	plugin    *Plugin
	config    *Config // nil for one that is none
	callbacks api.FilterCallbackHandler

	core    *filter.Stream // nil before and after the core has to do with it
	spoiled bool           // a panic came out of core
	list    []filter.Header

	request  api.RequestHeaderMap
	response api.ResponseHeaderMap // nil once it has gone on
	body     message

	needRequest  bool
	needResponse bool
	plain        bool // an ordinary answer needs no decision
	plainJSON    bool // one of JSON needs none
	replied      bool
	// held tells that Envoy knows what to answer if it ends the response, see hold;
	// server is whose that is.
	held   bool
	server string

	mu       sync.Mutex
	question *question // the one under way
	gone     bool      // Envoy has destroyed the stream
	counts   []count   // since the last OnLog
}

var _ api.StreamFilter = (*Stream)(nil)

// DecodeHeaders implements api.StreamDecoderFilter.
func (s *Stream) DecodeHeaders(headers api.RequestHeaderMap, end bool) (status api.StatusType) {
	defer s.rescue(host.PhaseRequest, false, &status)
	if s.config == nil {
		s.refuse(s.callbacks.DecoderFilterCallbacks())
		return api.LocalReply
	}
	s.request = headers
	s.list = headersOf(s.list[:0], headers)
	host.Arm(s.list)
	fault.At("acquire")
	s.core = s.plugin.acquire(s.config)
	fault.At("request")
	t := now()
	s.plugin.yield(s.callbacks.StreamInfo().WorkerID(), t)
	d := s.core.RequestHeaders(s.list, end, t)
	if d.Action == filter.Pass && !d.Done && !end && announced(s.list) > uint64(s.config.bodyLimit) {
		// Whatever the headers alone would have led to, a GET with a body too: this
		// body goes nowhere. What is done is not for the endpoint.
		d = s.core.BodyTooLarge()
	}
	return s.carryRequest(d)
}

// DecodeData implements api.StreamDecoderFilter.
func (s *Stream) DecodeData(chunk api.BufferInstance, end bool) (status api.StatusType) {
	defer s.rescue(host.PhaseRequestBody, false, &status)
	switch {
	case s.replied && end:
		return api.LocalReply // there is nothing more to wait for
	case s.replied:
		return api.StopNoBuffer
	case !s.needRequest:
		return api.Continue
	case len(s.body.bytes)+chunk.Len() > s.config.bodyLimit:
		s.needRequest, s.body = false, message{}
		fault.At("request_body")
		return s.carryRequest(s.core.BodyTooLarge())
	case !end:
		s.body.hold(chunk)
		return api.StopNoBuffer
	}
	s.body.end(chunk)
	return s.requestComplete()
}

// DecodeTrailers implements api.StreamDecoderFilter.
func (s *Stream) DecodeTrailers(api.RequestTrailerMap) (status api.StatusType) {
	defer s.rescue(host.PhaseRequestBody, false, &status)
	if !s.needRequest {
		return api.Continue
	}
	return s.requestComplete()
}

func (s *Stream) requestComplete() api.StatusType {
	s.needRequest = false
	fault.At("request_body")
	return s.carryRequest(s.core.RequestBody(s.body.bytes, now()))
}

// EncodeHeaders implements api.StreamEncoderFilter.
func (s *Stream) EncodeHeaders(headers api.ResponseHeaderMap, end bool) (status api.StatusType) {
	defer s.rescue(host.PhaseResponse, true, &status)
	s.giveUp()
	if s.needRequest {
		s.replied = true // Envoy has answered a request without waiting for its end
	}
	if s.core == nil || s.replied {
		return api.Continue
	}
	if (s.plain || s.plainJSON) && !end && s.ordinary(headers) {
		s.finish()
		return api.Continue
	}
	s.response = headers
	s.list = headersOf(s.list[:0], headers)
	if s.config.policies && !s.passed() {
		s.core.Denied()
	}
	fault.At("response")
	return s.carryResponse(s.core.ResponseHeaders(s.list, end))
}

// EncodeData implements api.StreamEncoderFilter.
func (s *Stream) EncodeData(chunk api.BufferInstance, end bool) (status api.StatusType) {
	defer s.rescue(host.PhaseResponseBody, true, &status)
	if s.core == nil || s.replied {
		return api.Continue
	}
	if s.needResponse && len(s.body.bytes)+chunk.Len() > s.config.responseLimit {
		s.needResponse = false
		s.body.end(chunk)
		fault.At("response_body")
		return s.carryResponse(s.core.AnswerTooLarge())
	}
	if s.needResponse && !end {
		s.body.hold(chunk)
		return api.StopNoBuffer
	}
	s.body.end(chunk)
	return s.responseBody(end)
}

// EncodeTrailers implements api.StreamEncoderFilter.
func (s *Stream) EncodeTrailers(api.ResponseTrailerMap) (status api.StatusType) {
	defer s.rescue(host.PhaseResponseBody, true, &status)
	if s.core == nil || s.replied || !s.needResponse {
		return api.Continue
	}
	return s.responseBody(true)
}

func (s *Stream) responseBody(end bool) api.StatusType {
	s.needResponse = false
	fault.At("response_body")
	return s.carryResponse(s.core.ResponseBody(s.body.bytes, end))
}

// ordinary reports whether an answer leaves as it is, if the core asked for no
// more: status 200 and JSON or, where the core said so, the other type of an MCP
// answer. A type with parameters is left to the core, which takes them away.
func (s *Stream) ordinary(headers api.ResponseHeaderMap) bool {
	if headers.GetRaw(":status") != "200" || s.plainJSON && !s.config.policies && hasSecret(headers) {
		return false
	}
	kind := headers.GetRaw("content-type") // memory of Envoy
	return kind == "application/json" || s.plain && kind == "text/event-stream"
}

// hasSecret reports whether a server's answer has anything to be taken away.
func hasSecret(headers api.ResponseHeaderMap) bool {
	return slices.ContainsFunc(gatewayconfig.Secrets[:], func(name string) bool { return len(headers.Values(name)) > 0 })
}

// OnLog implements api.StreamFilter: Envoy is about to destroy the stream.
func (s *Stream) OnLog(api.RequestHeaderMap, api.RequestTrailerMap, api.ResponseHeaderMap, api.ResponseTrailerMap) {
	defer func() {
		if r := recover(); r != nil {
			s.plugin.report(host.PhaseRelease, r)
		}
	}()
	if s.config == nil {
		return
	}
	if s.held && s.brokenOff() {
		s.count("broken_off", s.server)
	}
	s.config.metrics.add(s.end())
}

// end lets go of the question under way and of the core's stream, and returns what
// is to be counted.
func (s *Stream) end() []count {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endQuestion()
	s.finish()
	counts := s.counts
	s.counts = nil
	return counts
}

// brokenOff reports whether a server has gone away while its answer was held back.
// Envoy answers by itself then and shows that to no filter.
func (s *Stream) brokenOff() bool {
	details, _ := s.callbacks.StreamInfo().ResponseCodeDetails()
	return strings.HasPrefix(details, "upstream_")
}

// OnDestroy implements api.StreamFilter.
func (s *Stream) OnDestroy(api.DestroyReason) {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.request, s.response, s.callbacks, s.body = nil, nil, nil, message{}
}

// giveUp ends the question under way: Envoy answers by itself.
func (s *Stream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endQuestion()
}

func (s *Stream) endQuestion() {
	if s.question != nil {
		s.question.cancel()
		s.question = nil
	}
}

// finish lets go of the core's stream.
func (s *Stream) finish() {
	if st := s.core; st != nil {
		s.core = nil
		s.plugin.release(s.config, st, s.spoiled)
	}
}
