package golang

import (
	"slices"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
)

// message is the body of a request or of an answer that is held back.
type message struct {
	bytes []byte
	// last is Envoy's buffer of the chunk that ends it, which the whole leaves in;
	// nil where trailers end it, or there is no body.
	last api.BufferInstance
	// taken tells that Envoy has less of the body than bytes.
	taken bool
}

// hold takes a chunk out of Envoy, which is to forget it (api.StopNoBuffer).
func (m *message) hold(chunk api.BufferInstance) {
	m.append(chunk)
	m.taken = true
}

// end takes the last chunk, which stays in Envoy.
func (m *message) end(chunk api.BufferInstance) {
	m.append(chunk)
	m.last = chunk
}

func (m *message) append(chunk api.BufferInstance) {
	bytes := chunk.Bytes() // a copy of Envoy's
	if m.bytes == nil {
		m.bytes = bytes
		return
	}
	m.bytes = append(m.bytes, bytes...)
}

// cut carries out a splice.
func (m *message) cut(s filter.Splice) {
	if s.Start == s.End {
		return
	}
	m.bytes = slices.Replace(m.bytes, s.Start, s.End, s.With...)
	m.taken = true
}

// replace puts body into its place. It is copied when it leaves.
func (m *message) replace(body []byte) {
	m.bytes, m.taken = body, true
}

// leave lets the body go on in Envoy, and forgets it.
func (m *message) leave(to api.FilterProcessCallbacks) {
	switch {
	case m.taken && m.last != nil:
		_ = m.last.Set(m.bytes) // never fails: it panics
	case m.taken && len(m.bytes) > 0:
		// Streaming, so that Envoy's buffer may be smaller than the body.
		to.AddData(m.bytes, true)
	}
	*m = message{}
}
