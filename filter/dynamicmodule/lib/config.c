// The module's configuration, on Envoy's main thread, and the hooks that it has
// no use for.
#include "body.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

const char* ON(program_init)(void) {
  mcpInit(CALLBACK(get_concurrency)());
  return "v0.1.0";
}

void mcp_log(envoy_enum level, char* text, size_t length) {
  if (CALLBACK(log_enabled)(level)) CALLBACK(log)(level, bytes(text, length));
}

const void* ON(http_filter_config_new)(void* envoy, envoy_bytes name, envoy_bytes text) {
  mcp_config* c = calloc(1, sizeof *c);
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  c->envoy = envoy;
  if (!mcpConfigNew((char*)text.ptr, text.length, c, &out)) {
    // Empty after a panic, which is logged already.
    if (out.length > 0) CALLBACK(log)(LOG_ERROR, bytes(out_bytes(&out), out.length));
    free(out.large);
    free(c);
    return NULL;
  }
  envoy_bytes labels[MCP_COUNTERS] = {bytes("reason", 6), bytes("server", 6)};
  envoy_bytes phase = bytes("phase", 5);
  CALLBACK(http_filter_config_define_counter)
  (envoy, bytes("mcp_gateway_errors", 18), labels, MCP_COUNTERS, &c->answers);
  CALLBACK(http_filter_config_define_counter)
  (envoy, bytes("mcp_gateway_panics", 18), &phase, 1, &c->panics);
  CALLBACK(http_filter_config_define_gauge)
  (envoy, bytes("mcp_gateway_streams", 19), NULL, 0, &c->streams);
  CALLBACK(http_filter_config_define_gauge)
  (envoy, bytes("mcp_gateway_heap_bytes", 22), NULL, 0, &c->heap);
  CALLBACK(http_filter_config_define_gauge)
  (envoy, bytes("mcp_gateway_cached_sessions", 27), NULL, 0, &c->sessions);
  CALLBACK(http_filter_config_define_gauge)
  (envoy, bytes("mcp_gateway_configurations", 26), NULL, 0, &c->configs);
  c->scheduler = CALLBACK(http_filter_config_scheduler_new)(envoy);
  return c;
}

void ON(http_filter_config_destroy)(const void* config) {
  mcp_config* c = (mcp_config*)config;
  CALLBACK(http_filter_config_scheduler_delete)(c->scheduler);
  mcpConfigClose(c->handle);
  for (int i = 0; i < MCP_WORDS; i++) free(c->words[i].text);
  for (int i = 0; i < MCP_SECRETS; i++) free(c->secrets[i]);
  free(c->cluster);
  free(c->question);
  free(c);
}

void ON(http_filter_config_scheduled)(void* envoy, const void* config, uint64_t event) {
  mcp_config* c = (mcp_config*)config;
  mcp_question* q = __atomic_exchange_n(&c->question, NULL, __ATOMIC_ACQ_REL);
  if (q == NULL) return;
  mcp_out out = {.data = q->records, .length = q->length};
  envoy_header headers[MAX_EDITS];
  envoy_bytes body;
  size_t n = question(&out, headers, &body);
  uint64_t id;
  if (CALLBACK(http_filter_config_http_callout)(envoy, &id, bytes(c->cluster, c->cluster_length),
                                                headers, n, body,
                                                c->ask_timeout_ms) == CALLOUT_SUCCESS)
    c->asked[id % MCP_ASKED] = (mcp_asked){id, q->mark};
  free(q);
}

// The broker has no newer table. Streams tell Go so when they enter it.
static void confirmed(mcp_config* c, mcp_mark mark) {
  if (mark.at <= c->current.at) return;
  __atomic_store_n(&c->current.table, mark.table, __ATOMIC_RELAXED);
  __atomic_store_n(&c->current.at, mark.at, __ATOMIC_RELEASE);
}

void ON(http_filter_config_http_callout_done)(void* envoy, const void* config, uint64_t id,
                                              envoy_enum result, envoy_header* headers, size_t n,
                                              envoy_bytes* chunks, size_t chunk_count) {
  mcp_config* c = (mcp_config*)config;
  if (result != CALLOUT_SUCCESS) return;
  const mcp_asked* a = &c->asked[id % MCP_ASKED];
  mcp_mark asked = a->id == id ? a->mark : (mcp_mark){0};
  uint32_t status = status_of(headers, n);
  if (status == 304) {
    confirmed(c, asked);
    return;
  }
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  whole w = join_chunks(chunks, chunk_count);
  if (!mcpTable(c->handle, status, (char*)w.ptr, w.length, asked.at, &out)) {
    if (out.length > 0) CALLBACK(log)(LOG_WARN, bytes(out_bytes(&out), out.length));
    free(out.large);
  }
}

// ---- hooks that the ABI demands and the gateway has no use for -----------------

const void* ON(http_filter_per_route_config_new)(envoy_bytes name, envoy_bytes config) {
  return NULL;  // refused: there is nothing to configure per route
}
void ON(http_filter_per_route_config_destroy)(const void* config) {}
void ON(http_filter_stream_complete)(void* envoy, const void* module) {}
void ON(http_filter_scheduled)(void* envoy, const void* module, uint64_t event) {}
void ON(http_filter_http_stream_headers)(void* envoy, const void* module, uint64_t id,
                                         envoy_header* headers, size_t n, bool end) {}
void ON(http_filter_http_stream_data)(void* envoy, const void* module, uint64_t id,
                                      const envoy_bytes* data, size_t n, bool end) {}
void ON(http_filter_http_stream_trailers)(void* envoy, const void* module, uint64_t id,
                                          envoy_header* trailers, size_t n) {}
void ON(http_filter_http_stream_complete)(void* envoy, const void* module, uint64_t id) {}
void ON(http_filter_http_stream_reset)(void* envoy, const void* module, uint64_t id,
                                       envoy_enum reason) {}
void ON(http_filter_downstream_above_write_buffer_high_watermark)(void* envoy,
                                                                  const void* module) {}
void ON(http_filter_downstream_below_write_buffer_low_watermark)(void* envoy, const void* module) {
}
void ON(http_filter_config_http_stream_headers)(void* envoy, const void* config, uint64_t id,
                                                envoy_header* headers, size_t n, bool end) {}
void ON(http_filter_config_http_stream_data)(void* envoy, const void* config, uint64_t id,
                                             const envoy_bytes* data, size_t n, bool end) {}
void ON(http_filter_config_http_stream_trailers)(void* envoy, const void* config, uint64_t id,
                                                 envoy_header* trailers, size_t n) {}
void ON(http_filter_config_http_stream_complete)(void* envoy, const void* config, uint64_t id) {}
void ON(http_filter_config_http_stream_reset)(void* envoy, const void* config, uint64_t id,
                                              envoy_enum reason) {}
