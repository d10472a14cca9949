// One stream in the module, and carrying out what the core decided about it.
#pragma once

#include <time.h>

#include "body.h"

#pragma GCC visibility push(hidden)

enum {
  // What Envoy's buffer limit leaves over ours.
  SLACK = 65536,
  // Streams that a worker lets go of at its next entry into Go.
  SPENT = 64,
};

typedef struct {
  void* envoy;
  mcp_config* config;
  uint64_t handle;     // of the Go stream; 0 before and after Go has to do with it
  uint64_t announced;  // content-length of the request; NO_LENGTH without
  uint64_t promised;   // that of a response that is searched
  bool need_request;
  bool need_response;
  bool plain;       // an ordinary answer needs no decision
  bool plain_json;  // one of JSON needs none
  uint32_t unless;  // one of JSON needs none unless one of these words is in it
  bool searching;   // it is held back to find out
  bool asking;      // the request waits for the broker
  bool replaying;   // the response does
  bool replied;
  bool denied;      // a filter of the operator's answers in place of a server
  bool held;        // a response is held back
} mcp_filter;

// What a verdict has come to: the message may go on, is held back, or the stream
// has its answer.
enum outcome { GO_ON, HOLD, ENDED };

static inline int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Notes that Go has no more to do with the stream.
void spend(mcp_filter* f);

// The streams spent on this thread since the last call.
size_t take_spent(const uint64_t** list);

// Counts a first entry into Go, which also closed so many spent streams.
void entered(const mcp_filter* f, size_t closed);

// A filter of this thread begins and ends.
void filter_opened(void);
void filter_closed(mcp_filter* f);

// Holds the request back until its body is complete.
void hold_request(mcp_filter* f);

// Holds a response of at most so many bytes back that the core has not been shown, or
// lets it go.
void hold_response(mcp_filter* f, uint64_t limit);
void release_response(mcp_filter* f);

// Envoy ends a response that is held back.
void broken_off(mcp_filter* f);

// Carries out the verdict on a request. Once it has ENDED, f may be gone. w is the
// whole body, NULL if there is none; both tells that it stands partly in the
// received buffer. What out holds is freed.
enum outcome request_verdict(mcp_filter* f, int verdict, mcp_out* out, whole* w, bool both);

// Carries out the verdict on an answer: on its headers, on a chunk of its body
// (streaming), or on the whole body, both as above.
enum outcome response_verdict(mcp_filter* f, int verdict, mcp_out* out, bool streaming, bool both);

#pragma GCC visibility pop
