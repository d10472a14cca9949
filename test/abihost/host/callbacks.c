// What the module may call.
#include "host.h"

atomic_long live_streams, panics;

str dup(const char* p, size_t n) {
  str s = {malloc(n ? n : 1), n};
  if (n) memcpy(s.p, p, n);
  return s;
}

int chance(unsigned* seed, int n) { return n > 1 ? rand_r(seed) % n : 0; }

static stream* in(void* p) {
  stream* s = p;
  REQUIRE(s->alive == ALIVE);
  REQUIRE(s->depth > 0);
  return s;
}

// touch is in for what the filter that was destroyed must not do any more.
static stream* touch(void* p) {
  stream* s = in(p);
  REQUIRE(!s->gone);
  return s;
}

static int side(stream* s, envoy_enum which) {
  REQUIRE(which == REQUEST_HEADERS || which == RESPONSE_HEADERS);
  REQUIRE(which == REQUEST_HEADERS || s->responding);
  return which == RESPONSE_HEADERS;
}

void put(stream* s, int side, const char* key, const char* value, size_t n) {
  size_t k = strlen(key), i = 0;
  while (i < s->headers[side] && !(s->key[side][i].n == k && memcmp(s->key[side][i].p, key, k) == 0)) i++;
  if (i == s->headers[side]) {
    REQUIRE(i < MAX_HEADERS);
    s->headers[side]++;
    s->key[side][i] = dup(key, k);
  } else {
    free(s->value[side][i].p);
  }
  s->value[side][i] = dup(value, n);
}

void add(stream* s, int which, const char* p, size_t n) {
  REQUIRE(s->chunks[which] < MAX_CHUNKS);
  s->body[which][s->chunks[which]++] = dup(p, n);
}

void clear_body(stream* s, int which) {
  for (size_t i = 0; i < s->chunks[which]; i++) free(s->body[which][i].p);
  s->chunks[which] = 0;
}

static size_t size(stream* s, envoy_enum which) {
  size_t n = 0;
  for (size_t i = 0; i < s->chunks[which]; i++) n += s->body[which][i].n;
  return n;
}

void enter(stream* s) {
  REQUIRE(!s->gone);
  s->depth++;
}

static void renew(str* s) {
  str fresh = dup(s->p, s->n);
  free(s->p);
  *s = fresh;
}

void leave(stream* s) {
  if (--s->depth > 0) return;
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < s->headers[side]; i++) renew(&s->key[side][i]), renew(&s->value[side][i]);
  for (int b = 0; b < 4; b++)
    for (size_t i = 0; i < s->chunks[b]; i++) renew(&s->body[b][i]);
}

void drop(config* c) {
  if (atomic_fetch_sub(&c->refs, 1) == 1) {
    http_filter_config_destroy(c->module);
    c->module = NULL;
  }
}

void destroy(stream* s) {
  REQUIRE(!s->gone);
  s->depth++;
  http_filter_destroy(s->module);
  s->depth--;
  s->gone = true;
  free(s->path);
  s->path = NULL;
}

// Reads all bytes, for the sanitizer.
static unsigned sum(const char* p, size_t n) {
  unsigned total = 0;
  for (size_t i = 0; i < n; i++) total += (unsigned char)p[i];
  return total;
}

void CALLBACK(log)(envoy_enum level, envoy_bytes m) {
  REQUIRE(m.length > 0);
  sum(m.ptr, m.length);
  REQUIRE(level != LOG_ERROR || memchr(m.ptr, '\n', m.length) == NULL);
}
bool CALLBACK(log_enabled)(envoy_enum level) { return true; }
uint32_t CALLBACK(get_concurrency)(void) { return 4; }

bool CALLBACK(http_get_header)(void* p, envoy_enum which, envoy_bytes key, envoy_bytes* out, size_t index,
                               size_t* count) {
  stream* s = touch(p);
  int d = which == RESPONSE_HEADERS && !s->responding ? -1 : side(s, which);
  for (size_t i = 0; d >= 0 && i < s->headers[d]; i++)
    if (s->key[d][i].n == key.length && memcmp(s->key[d][i].p, key.ptr, key.length) == 0) {
      *out = (envoy_bytes){s->value[d][i].p, s->value[d][i].n};
      return true;
    }
  return false;
}
size_t CALLBACK(http_get_headers_size)(void* p, envoy_enum which) {
  stream* s = touch(p);
  return s->headers[side(s, which)];
}
bool CALLBACK(http_get_headers)(void* p, envoy_enum which, envoy_header* out) {
  stream* s = touch(p);
  int d = side(s, which);
  for (size_t i = 0; i < s->headers[d]; i++)
    out[i] = (envoy_header){s->key[d][i].p, s->key[d][i].n, s->value[d][i].p, s->value[d][i].n};
  return true;
}
bool CALLBACK(http_set_header)(void* p, envoy_enum which, envoy_bytes key, envoy_bytes value) {
  stream* s = touch(p);
  int d = side(s, which);
  REQUIRE(!s->answered);
  REQUIRE(d == 0 ? !s->continued : !s->left);
  char name[64];
  REQUIRE(key.length < sizeof name);
  memcpy(name, key.ptr, key.length);
  name[key.length] = 0;
  put(s, d, name, value.ptr ? value.ptr : "", value.ptr ? value.length : 0);
  return true;
}

size_t CALLBACK(http_get_body_size)(void* p, envoy_enum which) { return size(touch(p), which); }
size_t CALLBACK(http_get_body_chunks_size)(void* p, envoy_enum which) { return touch(p)->chunks[which]; }
bool CALLBACK(http_get_body_chunks)(void* p, envoy_enum which, envoy_bytes* out) {
  stream* s = touch(p);
  for (size_t i = 0; i < s->chunks[which]; i++) out[i] = (envoy_bytes){s->body[which][i].p, s->body[which][i].n};
  return true;
}
bool CALLBACK(http_append_body)(void* p, envoy_enum which, envoy_bytes data) {
  stream* s = touch(p);
  add(s, which, data.ptr, data.length);
  if (which == BUFFERED_REQUEST || which == BUFFERED_RESPONSE) REQUIRE(size(s, which) <= s->limit);
  return true;
}
bool CALLBACK(http_drain_body)(void* p, envoy_enum which, size_t count) {
  stream* s = touch(p);
  REQUIRE(count <= size(s, which));
  while (count > 0) {
    str first = s->body[which][0];
    if (first.n > count) {
      s->body[which][0] = dup(first.p + count, first.n - count);
      count = 0;
    } else {
      memmove(s->body[which], s->body[which] + 1, --s->chunks[which] * sizeof first);
      count -= first.n;
    }
    free(first.p);
  }
  return true;
}
bool CALLBACK(http_received_buffered_request_body)(void* p) { return touch(p) == NULL; }
bool CALLBACK(http_received_buffered_response_body)(void* p) { return touch(p) == NULL; }

// As Envoy does it: the reply passes the filter itself, and the stream may be
// destroyed before this returns. Where headers have left it is reset.
void CALLBACK(http_send_response)(void* p, uint32_t status, envoy_header* h, size_t n, envoy_bytes body,
                                  envoy_bytes details) {
  stream* s = touch(p);
  REQUIRE(!s->answered);
  REQUIRE(status >= 200 && status < 600);
  for (size_t i = 0; i < n; i++) sum(h[i].key, h[i].key_length), sum(h[i].value, h[i].value_length);
  REQUIRE(body.length == 0 || (body.ptr[0] == '{' && body.ptr[body.length - 1] == '}') ||
          memcmp(body.ptr + body.length - 2, "\n\n", 2) == 0);
  sum(details.ptr, details.length);
  s->answered = true;
  if (s->left) {
    destroy(s);
    return;
  }
  http_filter_local_reply(s, s->module, status, details, false);
  if (!s->responding && status != 202) {
    s->responding = true;
    put(s, 1, ":status", "200", 3);
    REQUIRE(http_filter_response_headers(s, s->module, false) == HEADERS_CONTINUE);
    add(s, RECEIVED_RESPONSE, body.ptr, body.length);
    REQUIRE(http_filter_response_body(s, s->module, true) == BODY_CONTINUE);
  }
  if (chance(s->seed, 2)) destroy(s);
}
void CALLBACK(http_clear_route_cache)(void* p) { touch(p); }
void CALLBACK(http_filter_continue_decoding)(void* p) {
  stream* s = touch(p);
  REQUIRE(!s->answered && !s->continued && s->path == NULL);
  s->continued = true;
}
uint64_t CALLBACK(http_get_buffer_limit)(void* p) { return touch(p)->limit; }
void CALLBACK(http_set_buffer_limit)(void* p, uint64_t limit) { touch(p)->limit = limit; }
void CALLBACK(http_set_dynamic_metadata_string)(void* p, envoy_bytes space, envoy_bytes key, envoy_bytes value) {
  touch(p);
  sum(space.ptr, space.length), sum(key.ptr, key.length), sum(value.ptr, value.length);
}

bool CALLBACK(http_get_metadata_string)(void* p, envoy_enum source, envoy_bytes space, envoy_bytes key, envoy_bytes* out) {
  stream* s = touch(p);
  REQUIRE(source == METADATA_DYNAMIC);
  sum(space.ptr, space.length), sum(key.ptr, key.length);
  return chance(s->seed, 2);
}

envoy_enum CALLBACK(http_filter_http_callout)(void* p, uint64_t* id, envoy_bytes cluster, envoy_header* h, size_t n,
                                              envoy_bytes body, uint64_t timeout) {
  stream* s = touch(p);
  REQUIRE(n >= 3 && timeout > 0 && s->path == NULL);
  sum(cluster.ptr, cluster.length), sum(body.ptr, body.length);
  const char* path = NULL;
  size_t length = 0;
  for (size_t i = 0; i < n; i++) {
    sum(h[i].value, h[i].value_length);
    if (h[i].key_length == 5 && memcmp(h[i].key, ":path", 5) == 0) path = h[i].value, length = h[i].value_length;
  }
  REQUIRE(path != NULL);
  *id = 1;
  if (chance(s->seed, 8) == 0) {
    // Nobody there: Envoy tells so from within, and then that it could not ask.
    http_filter_http_callout_done(s, s->module, 1, 1, NULL, 0, NULL, 0);
    return 1;
  }
  s->path = dup(path, length + 1).p;
  s->path[length] = 0;
  return CALLOUT_SUCCESS;
}
envoy_enum CALLBACK(http_filter_config_http_callout)(void* p, uint64_t* id, envoy_bytes cluster, envoy_header* h,
                                                     size_t n, envoy_bytes body, uint64_t timeout) {
  REQUIRE(n >= 3 && timeout > 0);
  ((config*)p)->asked = true;
  *id = ++((config*)p)->callouts;
  return CALLOUT_SUCCESS;
}
void* CALLBACK(http_filter_config_scheduler_new)(void* c) { return c; }
void CALLBACK(http_filter_config_scheduler_delete)(void* c) { REQUIRE(c != NULL); }
void CALLBACK(http_filter_config_scheduler_commit)(void* c, uint64_t event) { atomic_store(&((config*)c)->scheduled, 1); }

enum { GAUGE_OF_STREAMS = 1 };
static size_t next_metric = 100;
envoy_enum CALLBACK(http_filter_config_define_counter)(void* c, envoy_bytes name, envoy_bytes* labels, size_t n, size_t* id) {
  *id = name.length == 18 && memcmp(name.ptr, "mcp_gateway_panics", 18) == 0 ? 2 : next_metric++;
  return 0;
}
envoy_enum CALLBACK(http_filter_increment_counter)(void* p, size_t id, envoy_bytes* values, size_t n, uint64_t by) {
  touch(p);
  for (size_t i = 0; i < n; i++) sum(values[i].ptr, values[i].length);
  if (id == 2) atomic_fetch_add(&panics, (long)by);
  return 0;
}
envoy_enum CALLBACK(http_filter_config_define_gauge)(void* c, envoy_bytes name, envoy_bytes* labels, size_t n, size_t* id) {
  *id = name.length == 19 && memcmp(name.ptr, "mcp_gateway_streams", 19) == 0 ? GAUGE_OF_STREAMS : next_metric++;
  return 0;
}
envoy_enum CALLBACK(http_filter_set_gauge)(void* p, size_t id, envoy_bytes* values, size_t n, uint64_t value) {
  touch(p);
  return 0;
}
envoy_enum CALLBACK(http_filter_increment_gauge)(void* p, size_t id, envoy_bytes* values, size_t n, uint64_t by) {
  in(p);
  if (id == GAUGE_OF_STREAMS) atomic_fetch_add(&live_streams, (long)by);
  return 0;
}
envoy_enum CALLBACK(http_filter_decrement_gauge)(void* p, size_t id, envoy_bytes* values, size_t n, uint64_t by) {
  in(p);
  if (id == GAUGE_OF_STREAMS) atomic_fetch_sub(&live_streams, (long)by);
  return 0;
}
