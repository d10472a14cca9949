//go:build cgo

// Command plugin is a plugin for Envoy's contrib golang filter that does what a
// request's header x-do asks it to, phase by phase: "headers=async, data=set:x".
// With it the tests of golanghost see that the host does as contrib does.
package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
	"github.com/envoyproxy/envoy/contrib/golang/filters/http/source/go/pkg/http"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {}

func init() {
	http.RegisterHttpFilterFactoryAndConfigParser("plugin", newStream, &parser{})
}

// counts is what has happened to all streams.
var counts struct{ created, completed, logged, destroyed atomic.Int64 }

// config is a text, and the counter of its streams.
type config struct {
	text    string
	streams api.CounterMetric
	open    api.GaugeMetric

	callbacks api.ConfigCallbackHandler
}

type parser struct{}

func (*parser) Parse(message *anypb.Any, callbacks api.ConfigCallbackHandler) (any, error) {
	text := &wrapperspb.StringValue{}
	if err := message.UnmarshalTo(text); err != nil {
		return nil, err
	}
	if text.GetValue() == "refused" {
		return nil, errors.New("refused")
	}
	c := &config{text: text.GetValue()}
	if callbacks != nil {
		c.callbacks = callbacks
		c.streams = callbacks.DefineCounterMetric("plugin_streams")
		c.open = callbacks.DefineGaugeMetric("plugin_open")
	}
	return c, nil
}

func (*parser) Merge(parent, child any) any {
	of, own := parent.(*config), child.(*config)
	return &config{text: of.text + "+" + own.text, streams: of.streams, open: of.open, callbacks: of.callbacks}
}

// stream is one request.
type stream struct {
	callbacks api.FilterCallbackHandler
	config    *config
	do        map[string]string // action of a phase
	seen      []string          // phases, in their order
	headers   api.HeaderMap     // kept for too long, on demand
	buffer    api.BufferInstance

	mu   sync.Mutex // held by goroutines while they work on the stream
	gone bool
}

func newStream(c any, callbacks api.FilterCallbackHandler) api.StreamFilter {
	counts.created.Add(1)
	s := &stream{callbacks: callbacks, config: c.(*config), do: map[string]string{}}
	s.config.streams.Increment(1)
	s.config.open.Increment(1)
	return s
}

func (s *stream) DecodeHeaders(h api.RequestHeaderMap, end bool) api.StatusType {
	list, _ := h.Get("x-do")
	for item := range strings.SplitSeq(list, ",") {
		phase, action, _ := strings.Cut(strings.TrimSpace(item), "=")
		s.do[phase] = action
	}
	h.Set("x-config", s.config.text)
	h.Set("x-end", fmt.Sprint(end))
	return s.act("headers", s.callbacks.DecoderFilterCallbacks(), h, nil)
}

func (s *stream) DecodeData(b api.BufferInstance, end bool) api.StatusType {
	return s.act(fmt.Sprintf("data(%d,%t)", b.Len(), end), s.callbacks.DecoderFilterCallbacks(), nil, b)
}

func (s *stream) DecodeTrailers(h api.RequestTrailerMap) api.StatusType {
	return s.act("trailers", s.callbacks.DecoderFilterCallbacks(), h, nil)
}

func (s *stream) EncodeHeaders(h api.ResponseHeaderMap, end bool) api.StatusType {
	h.Set("x-seen", strings.Join(s.seen, " "))
	h.Set("x-response-end", fmt.Sprint(end))
	return s.act("response", s.callbacks.EncoderFilterCallbacks(), h, nil)
}

func (s *stream) EncodeData(b api.BufferInstance, end bool) api.StatusType {
	return s.act(fmt.Sprintf("body(%d,%t)", b.Len(), end), s.callbacks.EncoderFilterCallbacks(), nil, b)
}

func (s *stream) EncodeTrailers(h api.ResponseTrailerMap) api.StatusType {
	return s.act("ending", s.callbacks.EncoderFilterCallbacks(), h, nil)
}

func (s *stream) OnLog(req api.RequestHeaderMap, _ api.RequestTrailerMap, resp api.ResponseHeaderMap, _ api.ResponseTrailerMap) {
	method, _ := req.Get(":method")
	if method != "" && (resp == nil || len(resp.GetAllHeaders()) > 0) {
		counts.logged.Add(1)
	}
}

func (s *stream) OnLogDownstreamStart(api.RequestHeaderMap) {}

func (s *stream) OnLogDownstreamPeriodic(api.RequestHeaderMap, api.RequestTrailerMap, api.ResponseHeaderMap, api.ResponseTrailerMap) {
}

func (s *stream) OnStreamComplete() { counts.completed.Add(1) }

func (s *stream) OnDestroy(reason api.DestroyReason) {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	counts.destroyed.Add(1)
	s.config.open.Increment(-1)
	s.late(reason)
}

// state is what the counters say.
func state() string {
	return fmt.Sprintf("created=%d completed=%d logged=%d destroyed=%d", counts.created.Load(), counts.completed.Load(),
		counts.logged.Load(), counts.destroyed.Load())
}
