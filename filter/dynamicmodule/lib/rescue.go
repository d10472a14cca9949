package main

/*
#include <stdlib.h>
#include "glue.h"
*/
import "C"

import (
	"runtime/metrics"
	"unsafe"

	"mcp-gateway/filter/dynamicmodule"
	"mcp-gateway/filter/host"
)

// uncounted are panics where no stream was at hand to count them.
var uncounted host.Uncounted

// rescue is deferred by each entry that has a stream.
func rescue(st *dynamicmodule.Stream, p host.Phase, out *C.mcp_out, verdict *C.int) {
	if r := recover(); r != nil {
		*verdict = panicked(st, p, r, out)
	}
}

// outside is deferred by each entry that has no stream. After a panic it calls
// then, which makes the entry's results those of a failure.
func outside(p host.Phase, then func()) {
	if r := recover(); r != nil {
		report(p, r)
		uncounted.Add(p)
		then()
	}
}

// panicked makes a panic of the core a JSON-RPC error under the request's id; st
// is nil if there is none yet. Should that panic, too, it is an error without id.
// Where an answer has begun Envoy resets the stream instead of sending another.
func panicked(st *dynamicmodule.Stream, p host.Phase, r any, out *C.mcp_out) (verdict C.int) {
	report(p, r)
	discard(out)
	defer func() {
		if again := recover(); again != nil {
			report(p, again)
			discard(out)
			verdict = gone(out)
			count(p, out)
		}
	}()
	if st == nil {
		verdict = gone(out)
	} else {
		st.Spoil()
		verdict = finish(st, st.Panicked(), out)
	}
	count(p, out)
	return verdict
}

// count appends the panic to what out holds.
func count(p host.Phase, out *C.mcp_out) {
	have := out.data
	if out.large != nil {
		have = out.large
	}
	all := dynamicmodule.AppendPanic(append([]byte(nil), memory(have, out.length)...), p)
	discard(out)
	copy(room(out)[:out.room], all)
	give(out, all)
}

// discard forgets what was written.
func discard(out *C.mcp_out) {
	C.free(unsafe.Pointer(out.large))
	out.large, out.length, out.timeout_ms = nil, 0, 0
}

// report logs a panic: one line, and its stack where someone debugs.
func report(p host.Phase, recovered any) {
	line, stack := host.Describe(p, recovered)
	logTo(C.LOG_ERROR, line)
	logTo(C.LOG_DEBUG, line+"\n"+stack)
}

func logTo(level C.envoy_enum, text string) {
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	C.mcp_log(level, c, C.size_t(len(text)))
}

// mcpStats tells what the module uses. It also takes the panics that are still
// to be counted.
//
//export mcpStats
func mcpStats(config C.uint64_t, stats *C.mcp_stats, out *C.mcp_out) {
	defer func() { _ = recover() }() // figures are not worth a word
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	stats.heap = C.uint64_t(sample[0].Value.Uint64())
	stats.configs = C.uint64_t(configs.Len())
	if c := configs.Get(uint64(config)); c != nil {
		stats.sessions = C.uint64_t(c.CachedSessions())
	}
	give(out, dynamicmodule.AppendUncounted(room(out), &uncounted))
}
