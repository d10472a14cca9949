package host

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
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

// What answers a request when not even its stream can: its id is not at hand.
const (
	InternalError           = `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}`
	InternalErrorStatus     = 503
	InternalErrorRetryAfter = "5" // seconds
)

// Uncounted holds panics until there is something to count them on.
type Uncounted [phases]atomic.Int64

// Add notes a panic.
func (u *Uncounted) Add(p Phase) { u[p].Add(1) }

// Take hands out each panic once.
func (u *Uncounted) Take(count func(Phase)) {
	for p := range phases {
		for range u[p].Swap(0) {
			count(p)
		}
	}
}
