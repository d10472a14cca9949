package golang

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
)

// phase is where one direction of a stream stands, as Envoy's processor state.
type phase int

const (
	waitingHeaders phase = iota
	inHeaders
	waitingBody
	inBody
	inTrailers
	passed
)

// envoy plays the contrib filter in Envoy for one stream: it calls as Envoy does and
// fails the test where it is called as it must not be. Its worker is the test's
// goroutine, to which what other goroutines call is posted.
type envoy struct {
	t      *testing.T
	plugin *Plugin
	stream api.StreamFilter
	// early sends local replies from within the call, as Envoy 1.38 does.
	early bool

	request, response *side
	posts             chan func()

	worker  string // the worker's goroutine
	mu      sync.Mutex
	gone    bool
	reply   *localReply
	notes   map[string]map[string]any
	cleared int
	details string
}

type localReply struct {
	status  int
	body    string
	headers map[string][]string
	details string
	direct  bool // in place of an answer of a server's
}

// side is one direction.
type side struct {
	e        *envoy
	encoding bool
	phase    phase
	headers  *headerMap
	open     bool // headers have not gone on
	chunks   []*buffer
	late     []func() // what arrived while Go was busy
	end      bool     // of what Go has last been given
	out      []byte   // what has gone on
	ended    bool
}

func newEnvoy(t *testing.T, p *Plugin, config any) *envoy {
	e := &envoy{
		t: t, plugin: p, posts: make(chan func(), 1000), worker: goroutine(),
		notes: map[string]map[string]any{}, details: "via_upstream",
	}
	e.request, e.response = &side{e: e}, &side{e: e, encoding: true}
	e.stream = p.NewStream(config, e)
	return e
}

// goroutine names the one that calls.
func goroutine() string {
	line := make([]byte, 64)
	name, _, _ := strings.Cut(string(line[:runtime.Stack(line, false)]), " [")
	return name
}

// next runs what comes from another goroutine, or fails after a while.
func (e *envoy) next() {
	e.t.Helper()
	select {
	case post := <-e.posts:
		post()
	case <-time.After(10 * time.Second):
		e.t.Fatal("nothing was posted to the worker")
	}
}

// until runs posts until done.
func (e *envoy) until(what string, done func() bool) {
	e.t.Helper()
	for i := 0; !done(); i++ {
		if i > 500 {
			e.t.Fatalf("%s: not after %d posts", what, i)
		}
		e.next()
	}
}

func (e *envoy) sendHeaders(end bool, pairs ...string) {
	s := e.request
	s.begin(pairs)
	status := e.stream.DecodeHeaders(s.headers, end)
	s.headersDone(status, end)
}

func (e *envoy) answerHeaders(end bool, pairs ...string) {
	s := e.response
	s.begin(pairs)
	status := e.stream.EncodeHeaders(s.headers, end)
	s.headersDone(status, end)
}

func (s *side) begin(pairs []string) {
	if s.phase != waitingHeaders {
		s.e.t.Fatalf("headers in phase %d", s.phase)
	}
	s.headers, s.open, s.phase = &headerMap{side: s}, true, inHeaders
	for i := 0; i < len(pairs); i += 2 {
		s.headers.pairs = append(s.headers.pairs, [2]string{pairs[i], pairs[i+1]})
	}
}

func (s *side) headersDone(status api.StatusType, end bool) {
	s.end = end
	switch status {
	case api.Continue:
		s.open, s.ended = false, end
		s.phase = waitingBody
		if end {
			s.phase = passed
		}
	case api.StopAndBufferWatermark:
		if end {
			s.e.t.Error("waits for a body where there is none")
		}
		s.phase = waitingBody
	case api.Running, api.LocalReply:
	default:
		s.e.t.Errorf("status %d of headers", status)
	}
}

// body gives a chunk to the filter, now or when it can take one.
func (s *side) body(text string, end bool) {
	if s.phase == inHeaders || s.phase == inBody {
		s.late = append(s.late, func() { s.body(text, end) })
		return
	}
	if s.phase != waitingBody {
		return // Envoy logs an error and drops it
	}
	b := &buffer{side: s, data: []byte(text)}
	s.chunks = append(s.chunks, b)
	s.phase, s.end = inBody, end
	var status api.StatusType
	if s.encoding {
		status = s.e.stream.EncodeData(b, end)
	} else {
		status = s.e.stream.DecodeData(b, end)
	}
	s.bodyDone(status)
}

func (s *side) bodyDone(status api.StatusType) {
	switch status {
	case api.Continue:
		s.flush()
		s.open, s.ended = false, s.end
		s.phase = waitingBody
		if s.end {
			s.phase = passed
		}
	case api.StopNoBuffer:
		if s.end {
			s.e.t.Error("wants more of a body that has ended")
		}
		s.chunks = s.chunks[:len(s.chunks)-1]
		s.phase = waitingBody
	case api.Running, api.LocalReply:
	default:
		s.e.t.Errorf("status %d of a body", status)
	}
}

func (s *side) trailers() {
	s.phase = inTrailers
	var status api.StatusType
	if s.encoding {
		status = s.e.stream.EncodeTrailers(nil)
	} else {
		status = s.e.stream.DecodeTrailers(nil)
	}
	s.trailersDone(status)
}

func (s *side) trailersDone(status api.StatusType) {
	switch status {
	case api.Continue:
		if len(s.chunks) > 0 {
			s.e.t.Error("trailers go on and leave a body in Envoy's list, which it forgets")
		}
		s.open, s.ended, s.phase = false, true, passed
	case api.Running, api.LocalReply:
	default:
		s.e.t.Errorf("status %d of trailers", status)
	}
}

func (s *side) flush() {
	for _, b := range s.chunks {
		s.out = append(s.out, b.data...)
	}
	s.chunks = nil
}

// inGo reports whether calls of the filter are taken, and fails the test if not.
func (s *side) inGo(call string) bool {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.e.gone {
		s.e.t.Errorf("%s after the stream was destroyed", call)
		return false
	}
	if s.phase != inHeaders && s.phase != inBody && s.phase != inTrailers {
		s.e.t.Errorf("%s in phase %d", call, s.phase)
		return false
	}
	return true
}

// do runs f on the worker: now if that is who calls.
func (e *envoy) do(f func()) {
	if goroutine() == e.worker {
		f()
		return
	}
	e.post(f)
}

func (e *envoy) post(f func()) {
	e.posts <- func() {
		e.mu.Lock()
		gone := e.gone
		e.mu.Unlock()
		if !gone {
			f()
		}
	}
}

// Continue implements api.FilterProcessCallbacks.
func (s *side) Continue(status api.StatusType) {
	if !s.inGo("Continue") {
		return
	}
	s.e.post(func() {
		switch s.phase {
		case inHeaders:
			s.headersDone(status, s.end)
		case inBody:
			s.bodyDone(status)
		case inTrailers:
			s.trailersDone(status)
		}
		late := s.late
		s.late = nil
		for _, f := range late {
			f()
		}
	})
}

// SendLocalReply implements api.FilterProcessCallbacks.
func (s *side) SendLocalReply(status int, body string, headers map[string][]string, grpcStatus int64, details string) {
	if !s.inGo("SendLocalReply") {
		return
	}
	if grpcStatus != -1 {
		s.e.t.Errorf("gRPC status %d", grpcStatus)
	}
	send := func() {
		e := s.e
		if e.reply != nil {
			e.t.Errorf("a second reply: %d %s", status, body)
		}
		e.reply = &localReply{status: status, body: body, headers: headers, details: details, direct: e.response.headers != nil}
		s.chunks = nil
		e.details = details
		if !e.reply.direct {
			s.phase = waitingHeaders
			e.answerHeaders(false, ":status", fmt.Sprint(status))
			e.response.body(body, true)
		}
		e.destroy()
	}
	if s.e.early {
		s.e.do(send)
	} else {
		s.e.post(send)
	}
}

// destroy ends the stream as Envoy does.
func (e *envoy) destroy() {
	e.mu.Lock()
	if e.gone {
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	e.stream.OnLog(nil, nil, nil, nil)
	e.mu.Lock()
	e.gone = true
	e.mu.Unlock()
	e.stream.OnDestroy(api.Normal)
}

// RecoverPanic implements api.FilterProcessCallbacks.
func (s *side) RecoverPanic() { s.e.t.Error("RecoverPanic: the filter recovers by itself") }

// AddData implements api.FilterProcessCallbacks.
func (s *side) AddData(data []byte, streaming bool) {
	if !s.inGo("AddData") {
		return
	}
	if s.phase == inBody || !streaming {
		s.e.t.Errorf("AddData in phase %d, streaming: %v", s.phase, streaming)
	}
	text := string(data)
	s.e.do(func() { s.out = append(s.out, text...) })
}

// InjectData implements api.FilterProcessCallbacks.
func (s *side) InjectData([]byte) { s.e.t.Error("InjectData is not used") }

// SetUpstreamOverrideHost implements api.DecoderFilterCallbacks.
func (s *side) SetUpstreamOverrideHost(string, bool) error { return nil }

// What follows implements api.FilterCallbackHandler and api.StreamInfo.

func (e *envoy) DecoderFilterCallbacks() api.DecoderFilterCallbacks { return e.request }
func (e *envoy) EncoderFilterCallbacks() api.EncoderFilterCallbacks { return e.response }
func (e *envoy) StreamInfo() api.StreamInfo                         { return streamInfo{e: e} }
func (e *envoy) ClearRouteCache()                                   { e.do(func() { e.cleared++ }) }
func (e *envoy) RefreshRouteCache()                                 { e.t.Error("RefreshRouteCache is not used") }
func (e *envoy) Log(api.LogType, string)                            {}
func (e *envoy) LogLevel() api.LogType                              { return api.Info }
func (e *envoy) GetProperty(string) (string, error)                 { return "", api.ErrValueNotFound }
func (e *envoy) SecretManager() api.SecretManager                   { return nil }

type streamInfo struct {
	api.StreamInfo
	e *envoy
}

func (i streamInfo) DynamicMetadata() api.DynamicMetadata { return notes(i) }
func (i streamInfo) WorkerID() uint32                     { return 1 }
func (i streamInfo) ResponseCodeDetails() (string, bool)  { return i.e.details, true }

type notes streamInfo

func (n notes) Get(filter string) map[string]any {
	if goroutine() != n.e.worker {
		n.e.t.Error("metadata read off the worker, which then waits for the worker")
	}
	return n.e.notes[filter]
}

func (n notes) Set(filter, key string, value any) {
	n.e.mu.Lock()
	gone := n.e.gone
	n.e.mu.Unlock()
	if gone {
		n.e.t.Error("metadata set after the stream was destroyed")
	}
	n.e.do(func() {
		if n.e.notes[filter] == nil {
			n.e.notes[filter] = map[string]any{}
		}
		n.e.notes[filter][key] = value
	})
}
