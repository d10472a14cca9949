package dynamicmodule

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"mcp-gateway/filter"
)

// Phase is the entry into Go in which a panic happened, as the counter
// mcp_gateway_panics names it.
type Phase uint8

// The entries. Those of a configuration and Release have no stream to count on:
// their panics are counted with the next one's, see Uncounted.
const (
	PhaseConfig Phase = iota
	PhaseTable
	PhaseRelease
	PhaseRequest
	PhaseRequestBody
	PhaseAnswer
	PhaseReplayed
	PhaseResponse
	PhaseResponseBody
	phases
)

func (p Phase) String() string {
	return [phases]string{
		"config", "table", "release", "request", "request_body", "answer", "replayed", "response", "response_body",
	}[p]
}

// Describe tells of a recovered panic for a log: a line that holds neither the
// stack nor what was panicked with, as that may be a client's, and the stack for
// the debug log. It is for the deferred function that recovered.
func Describe(p Phase, recovered any) (line, stack string) {
	what := fmt.Sprintf("%T", recovered)
	if e, ok := recovered.(runtime.Error); ok {
		what = e.Error() // of an index, a nil or a type: no content
	}
	return fmt.Sprintf("mcp-gateway: recovered a panic in phase %s: %s", p, what), string(debug.Stack())
}

// AppendPanic appends the record that counts a panic.
func AppendPanic(dst []byte, p Phase) []byte {
	return record(dst, recordPanic, p.String(), nil)
}

// internalError is the answer of last resort: its request's id is not at hand.
const internalError = `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}`

// AppendInternalError appends the records of an answer that needs no stream. Its
// status is 503.
func AppendInternalError(dst []byte) ([]byte, Verdict) {
	dst = record(dst, recordSet, "content-type", []byte("application/json"))
	dst = record(dst, recordSet, "retry-after", []byte("5"))
	dst = record(dst, recordBody, "", []byte(internalError))
	dst = head(dst, recordCount, len("panic"), 0)
	return append(dst, "panic"...), Verdict(filter.Reply) | Done
}

// Uncounted holds panics until a stream can count them.
type Uncounted [phases]atomic.Int64

// Add notes a panic.
func (u *Uncounted) Add(p Phase) { u[p].Add(1) }

// Take appends the records that count those of configurations and releases, each
// once.
func (u *Uncounted) Take(dst []byte) []byte {
	for p := range phases {
		for range u[p].Swap(0) {
			dst = AppendPanic(dst, p)
		}
	}
	return dst
}
