package dynamicmodule

import (
	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
)

// AppendPanic appends the record that counts a panic.
func AppendPanic(dst []byte, p host.Phase) []byte {
	return record(dst, recordPanic, p.String(), nil)
}

// AppendInternalError appends the records of an answer that needs no stream. Its
// status is host.InternalErrorStatus.
func AppendInternalError(dst []byte) ([]byte, Verdict) {
	dst = record(dst, recordSet, "content-type", []byte("application/json"))
	dst = record(dst, recordSet, "retry-after", []byte(host.InternalErrorRetryAfter))
	dst = record(dst, recordBody, "", []byte(host.InternalError))
	dst = head(dst, recordCount, len("panic"), 0)
	return append(dst, "panic"...), Verdict(filter.Reply) | Done
}

// AppendUncounted appends the records that count what u holds, each panic once.
func AppendUncounted(dst []byte, u *host.Uncounted) []byte {
	u.Take(func(p host.Phase) { dst = AppendPanic(dst, p) })
	return dst
}
