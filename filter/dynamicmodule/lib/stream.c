// Envoy's callbacks. Everything that needs no decision stays in C: a warm
// tools/call enters Go once, when its body is complete, and that entry carries
// all that the core reads and returns.
#include "filter.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

enum {
  MAX_HEADERS = 128,
  // The first entry into Go waits for a body that announces to be no larger. Any
  // other request is judged by its headers at once: what has no length may never
  // end, and is not held for whom nothing is known of.
  EARLY = 65536,
  // How often, in nanoseconds, a worker yields to Go's scheduler, see mcpYield: in
  // less than 10 ms, and no oftener, as another thread has to wake for it.
  YIELD = 9000000,
};

static __thread int64_t yielded;

// Reads the headers at hand into list, or *large if there are many.
static size_t read_headers(void* envoy, envoy_enum which, envoy_header* list,
                           envoy_header** large) {
  size_t n = CALLBACK(http_get_headers_size)(envoy, which);
  *large = n > MAX_HEADERS ? malloc(n * sizeof **large) : NULL;
  if (n > 0) CALLBACK(http_get_headers)(envoy, which, *large ? *large : list);
  return n;
}

// Enters Go with the request's headers, and with its body if w is given.
static int enter(mcp_filter* f, bool end, const whole* w, mcp_out* out) {
  int64_t t = now();
  if (t - yielded > YIELD) {
    mcpYield();
    yielded = t;
  }
  envoy_header list[MAX_HEADERS];
  envoy_header* large;
  size_t n = read_headers(f->envoy, REQUEST_HEADERS, list, &large);
  mcp_entry entry = {
      .headers = large ? large : list,
      .header_count = n,
      .end = end,
      .body = w ? w->ptr : NULL,
      .body_length = w ? w->length : 0,
      .now = t,
  };
  entry.current.at = __atomic_load_n(&f->config->current.at, __ATOMIC_ACQUIRE);
  entry.current.table = __atomic_load_n(&f->config->current.table, __ATOMIC_RELAXED);
  entry.spent_count = take_spent(&entry.spent);
  int verdict = mcpRequest(f->config->handle, &entry, out, &f->handle);
  entered(f, entry.spent_count);
  free(large);
  return verdict;
}

#define NO_LENGTH UINT64_MAX

// Envoy has checked the header: digits, and that the body will be so long.
static uint64_t length_of(envoy_bytes v) {
  if (v.length == 0) return NO_LENGTH;
  if (v.length > 18) return NO_LENGTH - 1;  // more than any limit
  uint64_t n = 0;
  for (size_t i = 0; i < v.length; i++) {
    if (v.ptr[i] < '0' || v.ptr[i] > '9') return NO_LENGTH;
    n = n * 10 + (uint64_t)(v.ptr[i] - '0');
  }
  return n;
}

static uint64_t request_length(void* envoy) {
  envoy_bytes v = {NULL, 0};
  CALLBACK(http_get_header)(envoy, REQUEST_HEADERS, bytes("content-length", 14), &v, 0, NULL);
  return length_of(v);
}

envoy_enum ON(http_filter_request_headers)(void* envoy, const void* module, bool end) {
  mcp_filter* f = (mcp_filter*)module;
  f->announced = end ? NO_LENGTH : request_length(envoy);
  if (!end && f->announced <= EARLY) {
    hold_request(f);
    return HEADERS_STOP;
  }
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  int verdict = enter(f, end, NULL, &out);
  return request_verdict(f, verdict, &out, NULL, false) == GO_ON ? HEADERS_CONTINUE : HEADERS_STOP;
}

static enum outcome request_complete(mcp_filter* f, bool both) {
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  f->need_request = false;
  whole w = gather(f->envoy, BUFFERED_REQUEST, RECEIVED_REQUEST, both);
  int verdict = f->handle == 0 ? enter(f, false, &w, &out)
                               : mcpRequestBody(f->handle, (char*)w.ptr, w.length, now(), &out);
  enum outcome o = request_verdict(f, verdict, &out, &w, both);
  return o;
}

static void request_too_large(mcp_filter* f) {
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  f->need_request = false;
  int verdict = f->handle == 0 ? enter(f, false, NULL, &out) : MCP_NEED_BODY;
  if ((verdict & MCP_ACTION_MASK) != MCP_REPLY) {
    // Whatever the headers alone would have led to, a GET with a body too: this
    // body goes nowhere.
    free(out.large);
    out_init(&out, room);
    verdict = mcpBodyTooLarge(f->handle, &out);
  }
  request_verdict(f, verdict, &out, NULL, false);
}

envoy_enum ON(http_filter_request_body)(void* envoy, const void* module, bool end) {
  mcp_filter* f = (mcp_filter*)module;
  if (f->replied) return BODY_STOP_NO_BUFFER;
  if (f->asking) return BODY_STOP_AND_BUFFER;
  if (!f->need_request) return BODY_CONTINUE;
  // A filter before this one may have held the body: then it comes as what was
  // received and is the buffered one at the same time.
  bool same = CALLBACK(http_received_buffered_request_body)(envoy);
  size_t size = CALLBACK(http_get_body_size)(envoy, RECEIVED_REQUEST) +
                (same ? 0 : CALLBACK(http_get_body_size)(envoy, BUFFERED_REQUEST));
  if (size > f->config->body_limit) {
    request_too_large(f);
    return BODY_STOP_NO_BUFFER;
  }
  // All that was announced is all there is: not to wait for the end of the stream
  // spares Envoy a buffer.
  if (!end && size != f->announced) return BODY_STOP_AND_BUFFER;
  switch (request_complete(f, !same)) {
    case GO_ON:
      return BODY_CONTINUE;
    case HOLD:
      return BODY_STOP_AND_BUFFER;
    default:
      return BODY_STOP_NO_BUFFER;
  }
}

envoy_enum ON(http_filter_request_trailers)(void* envoy, const void* module) {
  mcp_filter* f = (mcp_filter*)module;
  if (f->replied || f->asking) return TRAILERS_STOP;
  if (!f->need_request) return TRAILERS_CONTINUE;
  return request_complete(f, false) == GO_ON ? TRAILERS_CONTINUE : TRAILERS_STOP;
}

void ON(http_filter_http_callout_done)(void* envoy, const void* module, uint64_t id,
                                       envoy_enum result, envoy_header* headers, size_t n,
                                       envoy_bytes* chunks, size_t chunk_count) {
  mcp_filter* f = (mcp_filter*)module;
  if (!(f->asking || f->replaying) || f->handle == 0) return;
  uint32_t status = result == CALLOUT_SUCCESS ? status_of(headers, n) : 0;
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  whole answer = join_chunks(chunks, status ? chunk_count : 0);
  if (f->replaying) {
    // The response stays held: the verdict is the reply in its place.
    f->replaying = false;
    int verdict = mcpReplayed(f->handle, headers, status ? n : 0, (char*)answer.ptr,
                              answer.length, &out);
    response_verdict(f, verdict, &out, false, false);
    return;
  }
  f->asking = false;
  int verdict = mcpAnswer(f->handle, status, (char*)answer.ptr, answer.length, now(), &out);
  whole w = gather(envoy, BUFFERED_REQUEST, RECEIVED_REQUEST, false);
  if (request_verdict(f, verdict, &out, &w, false) == GO_ON) {
    CALLBACK(http_filter_continue_decoding)(envoy);
  }
}

// What the headers of an answer say.
typedef struct {
  bool ok, json, events, parameters, encoded;
  uint64_t length;
  uint32_t secrets;  // that are there, by bit
} answer;

static bool is(const char* ptr, size_t length, const char* text) {
  return length == strlen(text) && memcmp(ptr, text, length) == 0;
}

#define JSON "application/json"
#define EVENTS "text/event-stream"

// Whether a content type is the one given, with parameters or without.
static bool is_type(const envoy_header* h, const char* type) {
  size_t n = strlen(type);
  return h->value_length >= n && memcmp(h->value, type, n) == 0 &&
         (h->value_length == n || h->value[n] == ';');
}

static answer read_answer(const mcp_filter* f) {
  answer a = {.length = NO_LENGTH};
  envoy_header list[MAX_HEADERS];
  envoy_header* large;
  size_t n = read_headers(f->envoy, RESPONSE_HEADERS, list, &large);
  for (const envoy_header *h = large ? large : list, *end = h + n; h < end; h++) {
    if (is(h->key, h->key_length, ":status")) {
      a.ok = is(h->value, h->value_length, "200");
    } else if (is(h->key, h->key_length, "content-type")) {
      a.json = is_type(h, JSON);
      a.events = is_type(h, EVENTS);
      a.parameters = a.json && h->value_length > strlen(JSON);
    } else if (is(h->key, h->key_length, "content-length")) {
      a.length = length_of(bytes(h->value, h->value_length));
    } else if (is(h->key, h->key_length, "content-encoding")) {
      a.encoded = true;
    } else {
      for (int i = 0; i < MCP_SECRETS; i++) {
        if (is(h->key, h->key_length, f->config->secrets[i])) a.secrets |= 1u << i;
      }
    }
  }
  free(large);
  return a;
}

// Takes from the answer of a server what is for the gateway alone, and whatever its
// content type says besides JSON: clients look into it for other types.
static void bare(const mcp_filter* f, uint32_t secrets, bool parameters) {
  if (parameters)
    CALLBACK(http_set_header)
    (f->envoy, RESPONSE_HEADERS, bytes("content-type", 12), bytes(JSON, strlen(JSON)));
  for (int i = 0; secrets >> i; i++) {
    const char* name = f->config->secrets[i];
    if (secrets >> i & 1)
      CALLBACK(http_set_header)
      (f->envoy, RESPONSE_HEADERS, bytes(name, strlen(name)), bytes(NULL, 0));
  }
}

// Lets an answer leave without Go if the core asked for no more: status 200 and JSON
// or, where the core said so, the other type of an MCP answer. HOLD if it is searched
// first; ENDED if Go has to see it.
static enum outcome ordinary(mcp_filter* f) {
  answer a = read_answer(f);
  if (!a.ok || !(a.json || (f->plain && a.events))) return ENDED;
  if (f->unless != 0 && (a.encoded || (a.length != NO_LENGTH && a.length > f->config->response_limit)))
    return ENDED;
  if (!f->plain) bare(f, f->config->policies ? 0 : a.secrets, a.parameters);
  if (f->unless == 0) {
    spend(f);
    return GO_ON;
  }
  f->promised = a.length;
  f->searching = true;
  hold_response(f, a.length != NO_LENGTH ? a.length : f->config->response_limit);
  return HOLD;
}

static enum outcome response_headers(mcp_filter* f, bool end) {
  envoy_header list[MAX_HEADERS];
  envoy_header* large;
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  size_t n = read_headers(f->envoy, RESPONSE_HEADERS, list, &large);
  int verdict = mcpResponseHeaders(f->handle, large ? large : list, n, end, f->denied, &out);
  free(large);
  return response_verdict(f, verdict, &out, false, false);
}

envoy_enum ON(http_filter_response_headers)(void* envoy, const void* module, bool end) {
  mcp_filter* f = (mcp_filter*)module;
  // Envoy has answered a request that it did not wait for the end of.
  if (f->need_request) f->replied = true;
  if (f->handle == 0 || f->replied) return HEADERS_CONTINUE;
  if ((f->plain || f->plain_json || f->unless) && !end) {
    enum outcome o = ordinary(f);
    if (o != ENDED) return o == GO_ON ? HEADERS_CONTINUE : HEADERS_STOP;
  }
  return response_headers(f, end) == GO_ON ? HEADERS_CONTINUE : HEADERS_STOP;
}
static enum outcome response_complete(mcp_filter* f, bool both) {
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  f->need_response = false;
  whole w = gather(f->envoy, BUFFERED_RESPONSE, RECEIVED_RESPONSE, both);
  if (f->searching) {
    f->searching = false;
    if (!contains(&w, f->config->words, f->unless)) {
      release_response(f);
      spend(f);
      return GO_ON;
    }
    enum outcome o = response_headers(f, false);
    if (o != HOLD) return o;
    f->need_response = false;
  }
  int verdict = mcpResponseBody(f->handle, (char*)w.ptr, w.length, true, &out);
  enum outcome o = response_verdict(f, verdict, &out, false, both);
  return o;
}

envoy_enum ON(http_filter_response_body)(void* envoy, const void* module, bool end) {
  mcp_filter* f = (mcp_filter*)module;
  if (f->replaying) return BODY_STOP_NO_BUFFER;  // of the answer that is replaced
  if (f->handle == 0 || f->replied) return BODY_CONTINUE;
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  if (!f->need_response) {
    whole w = gather(envoy, RECEIVED_RESPONSE, BUFFERED_RESPONSE, false);
    int verdict = mcpResponseBody(f->handle, (char*)w.ptr, w.length, end, &out);
    enum outcome o = response_verdict(f, verdict, &out, true, false);
    return o == GO_ON ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
  }
  bool same = CALLBACK(http_received_buffered_response_body)(envoy);
  size_t size = CALLBACK(http_get_body_size)(envoy, RECEIVED_RESPONSE) +
                (same ? 0 : CALLBACK(http_get_body_size)(envoy, BUFFERED_RESPONSE));
  if (size > f->config->response_limit) {
    f->need_response = f->searching = false;
    enum outcome o = response_verdict(f, mcpAnswerTooLarge(f->handle, &out), &out, false, !same);
    return o == GO_ON ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
  }
  if (!end && !(f->searching && size == f->promised)) return BODY_STOP_AND_BUFFER;
  return response_complete(f, !same) == GO_ON ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
}

envoy_enum ON(http_filter_response_trailers)(void* envoy, const void* module) {
  mcp_filter* f = (mcp_filter*)module;
  if (f->replaying) return TRAILERS_STOP;
  if (f->handle == 0 || f->replied || !f->need_response) return TRAILERS_CONTINUE;
  return response_complete(f, false) == GO_ON ? TRAILERS_CONTINUE : TRAILERS_STOP;
}

// Whether the request has gone through the operator's filters: the last one marks it.
static bool passed(void* envoy) {
  envoy_bytes v;
  return CALLBACK(http_get_metadata_string)(envoy, METADATA_DYNAMIC, bytes("mcp.passed", 10),
                                            bytes("to", 2), &v);
}

envoy_enum ON(http_filter_local_reply)(void* envoy, const void* module, uint32_t status,
                                       envoy_bytes details, bool reset) {
  mcp_filter* f = (mcp_filter*)module;
  f->denied = f->config->policies && !f->replied && !passed(envoy);
  broken_off(f);
  return 0;  // go on with it
}

const void* ON(http_filter_new)(const void* config, void* envoy) {
  mcp_filter* f = calloc(1, sizeof *f);
  f->envoy = envoy;
  f->config = (mcp_config*)config;
  filter_opened();
  return f;
}

void ON(http_filter_destroy)(const void* module) {
  mcp_filter* f = (mcp_filter*)module;
  filter_closed(f);
  free(f);
}
