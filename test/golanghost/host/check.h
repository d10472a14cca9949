// What a plugin must not do, and Envoy would answer with an error, a crash or a
// wrong message. Each ends the process, with one line on stderr.
#pragma once

#include "host.h"

#pragma GCC visibility push(hidden)

enum {
  REQUEST_ALIVE = 0x60b1a5ed,
  CONFIG_ALIVE = 0x60c0f16d,
};

// Ends the process.
void violation(const char* call, const char* what) __attribute__((noreturn));

// The request of a call with a side or a request. It is kept until release.
request* check_request(const char* call, void* r);
side* check_side(const char* call, void* s);

// What comes of a call: CAPIOK, or that the stream is being destroyed just now.
CAPIStatus check_live(request* r);

// A name and a value as HTTP has them.
void check_field(const char* call, view key, view value);

#pragma GCC visibility pop
