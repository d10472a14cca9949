package filter

import (
	"time"

	"mcp-gateway/internal/fromserver"
)

// Action is what a host does next with a stream.
type Action uint8

const (
	// Pass lets the headers and the body seen so far go on, after the header
	// edits and the splice.
	Pass Action = iota
	// NeedBody holds headers and body back until the body is complete.
	NeedBody
	// Reply ends the stream with Status, Headers and Body.
	Reply
	// Ask sends Question to the broker, holding the request until Stream.Answer,
	// or the response until Stream.Replayed.
	Ask
)

// Header is one header as the host sees it, name in lower case. In a call of
// the host both strings may be host memory, valid during that call only: what
// is kept is copied.
type Header struct{ Name, Value string }

// Edit sets one header, or removes it when Remove is set.
type Edit struct {
	Name   string
	Value  []byte
	Remove bool
}

// Splice replaces the bytes [Start,End) of the body that was decided upon.
// Absent when Start == End.
type Splice struct {
	Start, End int
	With       []byte
}

// Question is one HTTP exchange with the broker's internal API.
type Question struct {
	Method string
	Path   string
	// ETag goes into If-None-Match when not empty, quotes included.
	ETag string
	Body []byte
	// Timeout bounds the exchange; 0 means the configured AskTimeout.
	Timeout time.Duration
}

// quickTimeout bounds a question without whose answer the stream can go on: a
// broker in order answers in milliseconds.
const quickTimeout = 500 * time.Millisecond

// Note is one entry of the dynamic metadata "mcp".
type Note struct {
	Key   string
	Value []byte
}

// Decision is what a Stream wants done. It and all memory it points to belong
// to the stream and hold until the next call on it.
type Decision struct {
	Action Action
	// Edits apply to the headers of the current direction (Pass), or are the
	// headers of the answer (Reply).
	Edits []Edit
	// Body replaces bytes of the request (Pass), or is the answer (Reply).
	Splice Splice
	// Reroute asks the host to choose the route again, as headers that decide
	// it have changed.
	Reroute bool
	// Status and Body make the answer of a Reply. With Pass on a response,
	// Replace says that Body takes the place of the chunk, or of the whole body
	// after NeedBody.
	Status  int
	Body    []byte
	Replace bool
	// Reason is a short stable word for access logs and counters; Server names
	// the server it concerns, if any.
	Reason string
	Server string
	// Question goes with Ask.
	Question Question
	// Revalidate asks the host to fetch the table in the background.
	Revalidate bool
	// Done tells that the stream needs no further calls.
	Done bool
	// Plain tells that an answer with status 200 and the type of JSON or of an
	// event stream may leave without ResponseHeaders being called; PlainJSON the
	// same of a server's, if it is JSON, and without gatewayconfig.Secrets. It leaves
	// with the bare type, whatever parameters came with it.
	Plain, PlainJSON bool
	// PlainUnless is PlainJSON for one that none of the words is in. To find out, the
	// host holds the answer back.
	PlainUnless fromserver.Words
	// Notes are set as dynamic metadata.
	Notes []Note
}

func (d *Decision) reset() {
	*d = Decision{Edits: d.Edits[:0], Notes: d.Notes[:0]}
}
