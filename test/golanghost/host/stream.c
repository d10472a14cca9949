// Envoy's hooks of a stream, and the life of what the plugin knows of it.
#include <stdlib.h>
#include <string.h>

#include "check.h"

// Requests that are freed are kept for a while, so that a call with one is found.
enum { KEPT = 256 };
static request* kept[KEPT];
static size_t next_kept;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

void keep(request* r) { atomic_fetch_add(&r->refs, 1); }

void release(request* r) {
  if (atomic_fetch_sub(&r->refs, 1) != 1) return;
  r->alive = 0;
  side* sides[] = {&r->decoding, &r->encoding};
  for (int i = 0; i < 2; i++) {
    take_pieces(sides[i], NULL);
    bytes_free(&sides[i]->held);
    if (sides[i]->own != NULL) message_free(sides[i]->own);
  }
  bytes_free(&r->string);
  pthread_mutex_destroy(&r->lock);
  pthread_mutex_lock(&kept_lock);
  request* oldest = kept[next_kept];
  kept[next_kept] = r;
  next_kept = (next_kept + 1) % KEPT;
  pthread_mutex_unlock(&kept_lock);
  free(oldest);
}

const void* ON(http_filter_new)(const void* config, void* envoy) {
  request* r = calloc(1, sizeof *r);
  if (r == NULL) abort();
  r->alive = REQUEST_ALIVE;
  r->refs = 1;
  r->envoy = envoy;
  r->plugin = (plugin*)config;
  r->worker = pthread_self();
  r->go.plugin_name = (Cstring){r->plugin->name, r->plugin->name_length};
  r->go.worker_id = ENVOY(http_filter_get_worker_index)(envoy);
  r->decoding.go.req = r->encoding.go.req = &r->go;
  r->encoding.go.is_encoding = 1;
  pthread_mutex_init(&r->lock, NULL);
  r->last_task = &r->tasks;
  return r;
}

void introduce(request* r) {
  if (r->go.configId != 0) return;
  keep(r);  // for Go, until it finalizes the request
  count_requests(1);
  r->go.configId = merged_config(r->plugin, r->envoy);
  r->scheduler = ENVOY(http_filter_scheduler_new)(r->envoy);
}

static request* enter(const void* module) {
  request* r = (request*)module;
  keep(r);
  return r;
}

// Whether the plugin's own reply is on its way: a response that comes meanwhile is
// held, and the reply takes its place.
static bool replying(const request* r) { return r->encoding.own != NULL; }

// Takes what Envoy has received of a body.
static bytes take(request* r, TYPE(http_body_type) which) {
  bytes all = {0};
  size_t n = ENVOY(http_get_body_chunks_size)(r->envoy, which);
  if (n == 0) return all;
  TYPE(envoy_buffer)* chunks = calloc(n, sizeof *chunks);
  if (chunks == NULL) abort();
  ENVOY(http_get_body_chunks)(r->envoy, which, chunks);
  for (size_t i = 0; i < n; i++) bytes_add(&all, chunks[i].ptr, chunks[i].length);
  free(chunks);
  ENVOY(http_drain_body)(r->envoy, which, all.n);
  return all;
}

// Shows the plugin a piece of a body; true if Envoy may go on with what came of it.
static bool body(request* r, side* s, TYPE(http_body_type) which, bool end) {
  bytes data = take(r, which);
  if (!do_data(s, &data, end)) return false;
  bytes all = {0};
  take_pieces(s, &all);
  if (all.n > 0) ENVOY(http_append_body)(r->envoy, which, view_of(all.p, all.n));
  bytes_free(&all);
  return true;
}

envoy_dynamic_module_type_on_http_filter_request_headers_status ON(http_filter_request_headers)(void* envoy,
                                                                                                const void* module,
                                                                                                bool end) {
  request* r = enter(module);
  bool done = do_headers(&r->decoding, end);
  release(r);
  return done ? STATUS(request_headers, Continue) : STATUS(request_headers, StopIteration);
}

envoy_dynamic_module_type_on_http_filter_request_body_status ON(http_filter_request_body)(void* envoy,
                                                                                          const void* module, bool end) {
  request* r = enter(module);
  bool done = body(r, &r->decoding, TYPE(http_body_type_ReceivedRequestBody), end);
  release(r);
  return done ? STATUS(request_body, Continue) : STATUS(request_body, StopIterationNoBuffer);
}

envoy_dynamic_module_type_on_http_filter_request_trailers_status ON(http_filter_request_trailers)(void* envoy,
                                                                                                  const void* module) {
  request* r = enter(module);
  bool done = do_trailers(&r->decoding);
  release(r);
  return done ? STATUS(request_trailers, Continue) : STATUS(request_trailers, StopIteration);
}

envoy_dynamic_module_type_on_http_filter_response_headers_status ON(http_filter_response_headers)(void* envoy,
                                                                                                  const void* module,
                                                                                                  bool end) {
  request* r = enter(module);
  bool done = !replying(r) && do_headers(&r->encoding, end);
  release(r);
  return done ? STATUS(response_headers, Continue) : STATUS(response_headers, StopIteration);
}

envoy_dynamic_module_type_on_http_filter_response_body_status ON(http_filter_response_body)(void* envoy,
                                                                                            const void* module,
                                                                                            bool end) {
  request* r = enter(module);
  bool done = !replying(r) && body(r, &r->encoding, TYPE(http_body_type_ReceivedResponseBody), end);
  release(r);
  return done ? STATUS(response_body, Continue) : STATUS(response_body, StopIterationNoBuffer);
}

envoy_dynamic_module_type_on_http_filter_response_trailers_status ON(http_filter_response_trailers)(void* envoy,
                                                                                                    const void* module) {
  request* r = enter(module);
  bool done = !replying(r) && do_trailers(&r->encoding);
  release(r);
  return done ? STATUS(response_trailers, Continue) : STATUS(response_trailers, StopIteration);
}

void ON(http_filter_scheduled)(void* envoy, const void* module, uint64_t event) {
  request* r = enter(module);
  run_one(r);
  release(r);
}

// Shows the plugin the headers of a side for its access log.
static void logged(side* s, uint64_t* figures) {
  for (int trailers = 0; trailers < 2; trailers++) {
    TYPE(envoy_http_header) * list;
    size_t n = fields(s, trailers, &list);
    *figures++ = n;
    *figures++ = field_bytes(list, n);
    if (n > 0) *(trailers ? &s->trailers : &s->headers) = true;
  }
}

// api.AccessLogDownstreamEnd.
enum { DOWNSTREAM_END = 6 };

// Envoy writes its access logs right after this event.
void ON(http_filter_stream_complete)(void* envoy, const void* module) {
  request* r = enter(module);
  introduce(r);
  r->go.is_golang_processing_log = 1;
  envoyGoFilterOnHttpStreamComplete(&r->go);
  uint64_t of[8];
  logged(&r->decoding, of);
  logged(&r->encoding, of + 4);
  envoyGoFilterOnHttpLog(&r->go, DOWNSTREAM_END, &r->decoding.go, &r->encoding.go, of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7]);
  r->go.is_golang_processing_log = 0;
  release(r);
}

void ON(http_filter_destroy)(const void* module) {
  request* r = (request*)module;
  if (r->go.configId != 0) {
    // The lock makes a thread that reads of the stream finish first.
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->destroying, true);
    drop_tasks(r);
    ENVOY(http_filter_scheduler_delete)(r->scheduler);
    pthread_mutex_unlock(&r->lock);
    bool busy = in_go(&r->decoding) || in_go(&r->encoding);
    envoyGoFilterOnHttpDestroy(&r->go, busy);
    atomic_store(&r->destroyed, true);
  }
  release(r);
}

void envoyGoFilterHttpFinalize(void* p, int reason) {
  request* r = p;
  if (r == NULL || r->alive != REQUEST_ALIVE) violation(__func__, "no such request: finalized twice");
  if (r->finalized) violation(__func__, "finalized twice");
  if (!atomic_load(&r->destroying)) violation(__func__, "the stream still lives");
  r->finalized = true;
  count_requests(-1);
  release(r);
}

// ---- hooks that the ABI demands and contrib has no use for ---------------------

envoy_dynamic_module_type_on_http_filter_local_reply_status ON(http_filter_local_reply)(
    void* envoy, const void* module, uint32_t status, TYPE(envoy_buffer) details, bool reset) {
  return STATUS(local_reply, Continue);
}
void ON(http_filter_http_callout_done)(void* envoy, const void* module, uint64_t id, TYPE(http_callout_result) result,
                                       TYPE(envoy_http_header) * headers, size_t n, TYPE(envoy_buffer) * chunks,
                                       size_t chunk_count) {}
void ON(http_filter_http_stream_headers)(void* envoy, const void* module, uint64_t id, TYPE(envoy_http_header) * headers,
                                         size_t n, bool end) {}
void ON(http_filter_http_stream_data)(void* envoy, const void* module, uint64_t id, const TYPE(envoy_buffer) * data,
                                      size_t n, bool end) {}
void ON(http_filter_http_stream_trailers)(void* envoy, const void* module, uint64_t id,
                                          TYPE(envoy_http_header) * trailers, size_t n) {}
void ON(http_filter_http_stream_complete)(void* envoy, const void* module, uint64_t id) {}
void ON(http_filter_http_stream_reset)(void* envoy, const void* module, uint64_t id, TYPE(http_stream_reset_reason) reason) {}
void ON(http_filter_downstream_above_write_buffer_high_watermark)(void* envoy, const void* module) {}
void ON(http_filter_downstream_below_write_buffer_low_watermark)(void* envoy, const void* module) {}
