// Bodies as the core reads them, in one piece, and their replacement.
#pragma once

#include "verdict.h"

#pragma GCC visibility push(hidden)

// A body as one piece of memory, good until the next is made on this thread:
// Envoy's own if it is in one chunk, else a copy in the worker's scratch memory.
// The scratch grows to the largest body met, at most the limits, and is kept: a
// fresh megabyte costs more in page faults than in copying.
typedef struct {
  const char* ptr;
  size_t length;
  // The first chunk in Envoy's memory, of which ptr may be a copy.
  const char* head;
  size_t head_length;
  bool head_first;  // it is of the one body of gather, not of the other
} whole;

// Joins chunks that Envoy handed over.
whole join_chunks(const envoy_bytes* list, size_t n);

// Joins the one body and, if both is set, the other, in this order.
whole gather(void* envoy, envoy_enum one, envoy_enum other, bool both);

// Whether one of the words that set has the bits of is in a body.
bool contains(const whole* w, const mcp_word words[MCP_WORDS], uint32_t set);

// Replaces the bytes from start to end of a request's body. Shorter ones that lie
// in the first chunk are replaced in place: what stands before them moves back,
// and the bytes that come free at the front are drained. Else the body is written
// anew.
void replace_bytes(void* envoy, const whole* w, bool both, size_t start, size_t end, envoy_bytes with);

// Writes a new body of n parts in place of the old one. If both, the parts may be
// Envoy's own memory of the old body: appending moves nothing, and the old bytes
// are drained last. Else they must not be: the old bytes are drained first.
void rewrite(void* envoy, envoy_enum buffered, envoy_enum received, bool both,
             const envoy_bytes* parts, int n);

#pragma GCC visibility pop
