// Command lib is the Envoy dynamic module libmcp_gateway.so, built with
// -buildmode=c-shared. stream.c and config.c have Envoy's callbacks; this file is what they
// call. Each entry reads host memory, asks the core and writes a verdict into
// memory of C; none keeps host memory, and none lets a panic out (rescue.go).
package main

/*
#cgo CFLAGS: -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wno-unused-parameter
#cgo linux LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#include <stdlib.h>
#include <string.h>
#include "glue.h"
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"mcp-gateway/filter"
	"mcp-gateway/filter/dynamicmodule"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
)

func main() {}

// One process has one module: what C refers to by number lives here.
var (
	streams dynamicmodule.Streams
	configs dynamicmodule.Configs
)

// memory is memory of C as a slice, valid during the call.
func memory(p *C.char, n C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}

// room is where a verdict is written first.
func room(out *C.mcp_out) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(out.data)), int(out.room))[:0]
}

// give hands encoded bytes to C: they stand in room already, or are copied.
func give(out *C.mcp_out, b []byte) {
	out.length = C.size_t(len(b))
	if len(b) > int(out.room) {
		out.large = (*C.char)(C.malloc(C.size_t(len(b))))
		copy(unsafe.Slice((*byte)(unsafe.Pointer(out.large)), len(b)), b)
	}
}

func finish(st *dynamicmodule.Stream, d *filter.Decision, out *C.mcp_out) C.int {
	fault.At("encode")
	b, v := st.Config.Encode(room(out), d)
	if d.Revalidate {
		b = tableQuestion(st.Config, b)
	}
	out.status = C.uint32_t(d.Status)
	if d.Action == filter.Ask {
		out.timeout_ms = C.uint32_t(d.Question.Timeout.Milliseconds())
	}
	give(out, b)
	return C.int(v)
}

// tableQuestion appends what another thread asks for a newer table; nothing if that
// panics, which is no fault of the stream's.
func tableQuestion(c *dynamicmodule.Config, b []byte) (with []byte) {
	defer outside(host.PhaseTable, func() { with = b })
	fault.At("table_question")
	return c.EncodeTableQuestion(b)
}

// gone is the verdict on a stream that Go does not know: end it, fail closed.
func gone(out *C.mcp_out) C.int {
	b, v := dynamicmodule.AppendInternalError(room(out))
	out.status = host.InternalErrorStatus
	give(out, b)
	return C.int(v)
}

// headers is the array of C as it stands: an envoy_header is two pointers with
// lengths, and so is a filter.Header, two strings.
func headers(p *C.envoy_header, n C.size_t) []filter.Header {
	return unsafe.Slice((*filter.Header)(unsafe.Pointer(p)), int(n))
}

// A change of either layout, or of the number of words or secrets, must not compile.
const (
	_ = uint(C.MCP_SECRETS-len(gatewayconfig.Secrets)) + uint(len(gatewayconfig.Secrets)-C.MCP_SECRETS)
	_ = uint(C.MCP_WORDS-len(fromserver.Texts)) + uint(len(fromserver.Texts)-C.MCP_WORDS)
	_ = unsafe.Sizeof(filter.Header{}) - unsafe.Sizeof(C.envoy_header{})
	_ = unsafe.Sizeof(C.envoy_header{}) - unsafe.Sizeof(filter.Header{})
	_ = unsafe.Offsetof(filter.Header{}.Value) - unsafe.Offsetof(C.envoy_header{}.value)
	_ = unsafe.Offsetof(C.envoy_header{}.value) - unsafe.Offsetof(filter.Header{}.Value)
)

//export mcpInit
func mcpInit(workers C.uint32_t) {
	// A worker holds a P while it is in C. With as many Ps as workers, each
	// return from Go would find its own taken away by the scheduler's monitor.
	if n := int(workers) + 2; n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
}

//export mcpConfigNew
func mcpConfigNew(text *C.char, n C.size_t, c *C.mcp_config, out *C.mcp_out) (ok C.int) {
	defer outside(host.PhaseConfig, func() { discard(out); ok = 0 })
	host.ArmAtStart()
	fault.At("config")
	config, err := dynamicmodule.NewConfig(memory(text, n), os.Getenv(gatewayconfig.SecretEnv))
	if err != nil {
		give(out, append(room(out), fmt.Sprintf("mcp-gateway: %v", err)...))
		return 0
	}
	f := config.Gateway.Config()
	c.handle = C.uint64_t(configs.Add(config))
	c.body_limit = C.uint64_t(f.BodyLimit)
	c.response_limit = C.uint64_t(f.ResponseLimit)
	c.policies = C.bool(f.Policies)
	c.ask_timeout_ms = C.uint64_t(time.Duration(f.AskTimeout).Milliseconds())
	for i, word := range fromserver.Texts {
		c.words[i] = C.mcp_word{text: C.CString(word), length: C.size_t(len(word)), rare: C.size_t(fromserver.Rarest(word))}
	}
	for i, name := range gatewayconfig.Secrets {
		c.secrets[i] = C.CString(name)
	}
	c.cluster_length = C.size_t(len(f.InternalCluster))
	c.cluster = C.CString(f.InternalCluster)
	return 1
}

//export mcpConfigClose
func mcpConfigClose(handle C.uint64_t) {
	defer outside(host.PhaseConfig, func() {})
	fault.At("config_close")
	configs.Remove(uint64(handle))
}

//export mcpTable
func mcpTable(handle C.uint64_t, status C.uint32_t, body *C.char, n C.size_t, asked C.int64_t, out *C.mcp_out) (ok C.int) {
	defer outside(host.PhaseTable, func() { discard(out); ok = 0 })
	c := configs.Get(uint64(handle))
	if c == nil {
		return 1
	}
	if err := c.TakeTable(int(status), memory(body, n), int64(asked)); err != nil {
		give(out, append(room(out), fmt.Sprintf("mcp-gateway: %v", err)...))
		return 0
	}
	return 1
}

// mcpRequest is a request's first entry: with its headers, and with its body if
// that has come already. The stream's number goes into handle.
//
//export mcpRequest
func mcpRequest(config C.uint64_t, e *C.mcp_entry, out *C.mcp_out, handle *C.uint64_t) (verdict C.int) {
	release(e.spent, e.spent_count)
	var st *dynamicmodule.Stream
	phase := host.PhaseRequest
	defer func() {
		if r := recover(); r != nil {
			verdict = panicked(st, phase, r, out)
		}
	}()
	host.Arm(headers(e.headers, e.header_count))
	c := configs.Get(uint64(config))
	if c == nil {
		return gone(out)
	}
	c.Confirm(filter.Mark{Table: uint64(e.current.table), At: int64(e.current.at)})
	st, number := streams.Acquire(c)
	if st == nil {
		return gone(out)
	}
	*handle = C.uint64_t(number)
	fault.At("request")
	d := st.RequestHeaders(headers(e.headers, e.header_count), bool(e.end), int64(e.now))
	if d.Action == filter.NeedBody && e.body != nil {
		phase = host.PhaseRequestBody
		fault.At("request_body")
		d = st.RequestBody(memory(e.body, e.body_length), int64(e.now))
	}
	return finish(st, d, out)
}

//export mcpRequestBody
func mcpRequestBody(handle C.uint64_t, body *C.char, n C.size_t, now C.int64_t, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseRequestBody, out, &verdict)
	fault.At("request_body")
	return finish(st, st.RequestBody(memory(body, n), int64(now)), out)
}

//export mcpBodyTooLarge
func mcpBodyTooLarge(handle C.uint64_t, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseRequestBody, out, &verdict)
	fault.At("request_body")
	return finish(st, st.BodyTooLarge(), out)
}

//export mcpAnswer
func mcpAnswer(handle C.uint64_t, status C.uint32_t, body *C.char, n C.size_t, now C.int64_t, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseAnswer, out, &verdict)
	fault.At("answer")
	return finish(st, st.Answer(int(status), memory(body, n), int64(now)), out)
}

//export mcpReplayed
func mcpReplayed(handle C.uint64_t, list *C.envoy_header, n C.size_t, body *C.char, length C.size_t, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseReplayed, out, &verdict)
	fault.At("replayed")
	return finish(st, st.Replayed(headers(list, n), memory(body, length)), out)
}

//export mcpResponseHeaders
func mcpResponseHeaders(handle C.uint64_t, list *C.envoy_header, n C.size_t, end C.int, denied C.bool, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseResponse, out, &verdict)
	fault.At("response")
	if denied {
		st.Denied()
	}
	return finish(st, st.ResponseHeaders(headers(list, n), end != 0), out)
}

//export mcpResponseBody
func mcpResponseBody(handle C.uint64_t, body *C.char, n C.size_t, end C.int, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseResponseBody, out, &verdict)
	fault.At("response_body")
	return finish(st, st.ResponseBody(memory(body, n), end != 0), out)
}

// mcpPending writes what a client gets in place of a response that is held back, and
// that Envoy ends; nothing for Envoy's own words.
//
//export mcpPending
func mcpPending(handle C.uint64_t, out *C.mcp_out) {
	defer outside(host.PhaseResponse, func() { discard(out) })
	if st := streams.Get(uint64(handle)); st != nil {
		give(out, dynamicmodule.AppendPending(room(out), &st.Stream))
	}
}

//export mcpAnswerTooLarge
func mcpAnswerTooLarge(handle C.uint64_t, out *C.mcp_out) (verdict C.int) {
	st := streams.Get(uint64(handle))
	if st == nil {
		return gone(out)
	}
	defer rescue(st, host.PhaseResponseBody, out, &verdict)
	fault.At("response_body")
	return finish(st, st.AnswerTooLarge(), out)
}

//export mcpClose
func mcpClose(handles *C.uint64_t, n C.size_t) { release(handles, n) }

func release(handles *C.uint64_t, n C.size_t) {
	for _, h := range unsafe.Slice(handles, int(n)) {
		releaseOne(uint64(h))
	}
}

func releaseOne(handle uint64) {
	defer outside(host.PhaseRelease, func() {})
	if st := streams.Get(handle); st != nil {
		streams.Release(st)
	}
}

// mcpYield lets Go's scheduler see that the worker's thread has left and come
// back. Without, its monitor counts the thread as stuck in one callback after
// 10 ms, and from then on takes its processor away and signals it every 20 us.
//
//export mcpYield
func mcpYield() { runtime.Gosched() }
