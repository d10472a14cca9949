// A host of the module that is as strict as Envoy is not: it ends the process
// when the module calls back where it must not. Built with the address
// sanitizer, it also ends it for memory that is read after the hook it was given
// to: all that a hook saw is freed and allocated anew when it returns.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy.h"

#define REQUIRE(what)                                                    \
  do {                                                                   \
    if (!(what)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
      abort();                                                           \
    }                                                                    \
  } while (0)

typedef struct {
  char* p;
  size_t n;
} str;

typedef struct {
  const void* module;
  atomic_int refs;       // its streams, and being the current one
  atomic_int scheduled;  // commits that wait for the main thread
  bool asked;            // the main thread has a callout under way
  uint64_t callouts;     // of the main thread, so far
} config;

enum { MAX_HEADERS = 16, MAX_CHUNKS = 64 };

typedef struct {
  unsigned alive;
  const void* module;
  config* config;
  unsigned* seed;
  int depth;   // hooks that run
  bool gone;   // the module's filter was destroyed
  int stage;   // see main.c
  str key[2][MAX_HEADERS], value[2][MAX_HEADERS];  // of the request and the response
  size_t headers[2];
  str body[4][MAX_CHUNKS];
  size_t chunks[4];
  size_t limit;
  char* path;      // of the question under way; NULL without
  bool continued;  // decoding goes on
  bool answered;   // by the module or by the host
  bool responding, left;  // the response is at the module; its headers have left
  bool ended;
  int id, sent;
  str out;
  const char* type;
} stream;

enum { ALIVE = 0x5742a11e };

extern atomic_long live_streams, panics;

str dup(const char* p, size_t n);
void put(stream* s, int side, const char* key, const char* value, size_t n);
void add(stream* s, int which, const char* p, size_t n);
void clear_body(stream* s, int which);
void enter(stream* s);
void leave(stream* s);
void destroy(stream* s);
void drop(config* c);
int chance(unsigned* seed, int n);  // 0 to n-1

// The module's hooks, found when it is loaded.
#define HOOKS(X)                                                                             \
  X(const char*, program_init, (void))                                                       \
  X(const void*, http_filter_config_new, (void*, envoy_bytes, envoy_bytes))                  \
  X(void, http_filter_config_destroy, (const void*))                                         \
  X(void, http_filter_config_scheduled, (void*, const void*, uint64_t))                      \
  X(void, http_filter_config_http_callout_done,                                              \
    (void*, const void*, uint64_t, envoy_enum, envoy_header*, size_t, envoy_bytes*, size_t)) \
  X(const void*, http_filter_new, (const void*, void*))                                      \
  X(void, http_filter_destroy, (const void*))                                                \
  X(envoy_enum, http_filter_request_headers, (void*, const void*, bool))                     \
  X(envoy_enum, http_filter_request_body, (void*, const void*, bool))                        \
  X(envoy_enum, http_filter_request_trailers, (void*, const void*))                          \
  X(envoy_enum, http_filter_response_headers, (void*, const void*, bool))                    \
  X(envoy_enum, http_filter_response_body, (void*, const void*, bool))                       \
  X(envoy_enum, http_filter_response_trailers, (void*, const void*))                         \
  X(envoy_enum, http_filter_local_reply, (void*, const void*, uint32_t, envoy_bytes, bool))  \
  X(void, http_filter_http_callout_done,                                                     \
    (void*, const void*, uint64_t, envoy_enum, envoy_header*, size_t, envoy_bytes*, size_t))
#define DECLARE(result, name, parameters) extern result(*name) parameters;
HOOKS(DECLARE)
