// The contrib golang filter of Envoy, as far as a plugin can see it, built on the
// ABI of dynamic modules: a stock Envoy loads this library as a dynamic module, it
// loads the plugin's shared library and drives it as contrib's C++ does (Envoy
// v1.39, contrib/golang/filters/http/source). Names, values and the order of calls
// are Envoy's; both headers below are Envoy's own, so the compiler checks them.
//
// It is stricter than Envoy in one thing: what a plugin must not do ends the
// process with one line that says what it was, see check.h.
//
// Where it cannot do as Envoy does, for want of a callback in the ABI:
//  - It has no way to hand data to the filters behind it but the one by which it
//    goes on. What a plugin lets go of while it works on the next piece in a
//    goroutine leaves together with that piece, not before.
//  - A local reply is shown to the plugin as headers and body of the response, as
//    in Envoy, but before Envoy makes it: a local_reply_config is applied after.
//  - A metric has its name as a label, and labels that Envoy is to find in the name
//    (stats_tags) stay there.
//  - It does not push back: what a plugin holds with StopAndBufferWatermark grows
//    without bound.
//  - Access logs are shown at a stream's end only.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "api.h"

#define ENVOY(name) envoy_dynamic_module_callback_##name
#define ON(name) envoy_dynamic_module_on_##name
#define TYPE(name) envoy_dynamic_module_type_##name
// A value of one of the ABI's enumerations, as STATUS(request_headers, Continue).
#define STATUS(hook, value) envoy_dynamic_module_type_on_http_filter_##hook##_status_##value

typedef TYPE(module_buffer) view;

#pragma GCC visibility push(hidden)

// ---- bytes.c ----

// Bytes that grow.
typedef struct {
  char* p;
  size_t n, room;
} bytes;

view view_of(const void* p, size_t n);
void bytes_add(bytes* b, const void* p, size_t n);
void bytes_prepend(bytes* b, const void* p, size_t n);
void bytes_drain(bytes* b, size_t n);
void bytes_free(bytes* b);

// ---- Go's types, as cgo lays them out ----

typedef struct {
  const char* p;
  ptrdiff_t n;
} go_string;

// api.StatusType.
enum { RUNNING, LOCAL_REPLY, CONTINUE, STOP_AND_BUFFER, STOP_AND_BUFFER_WATERMARK, STOP_NO_BUFFER };

// What one direction of a stream is about; Go reads it as processState.state.
enum {
  WAITING_HEADER,
  PROCESSING_HEADER,
  WAITING_DATA,
  WAITING_ALL_DATA,
  PROCESSING_DATA,
  WAITING_TRAILER,
  PROCESSING_TRAILER,
  DONE,
};

// ---- plugin.c: the library, and one configuration of the filter ----

// The plugin's exported functions.
#define EXPORTS(X)                                                                                 \
  X(uint64_t, envoyGoFilterNewHttpPluginConfig, (httpConfig*))                                     \
  X(void, envoyGoFilterDestroyHttpPluginConfig, (uint64_t, int))                                   \
  X(uint64_t, envoyGoFilterMergeHttpPluginConfig, (uint64_t, uint64_t, uint64_t, uint64_t))        \
  X(uint64_t, envoyGoFilterOnHttpHeader, (processState*, uint64_t, uint64_t, uint64_t))            \
  X(uint64_t, envoyGoFilterOnHttpData, (processState*, uint64_t, uint64_t, uint64_t))              \
  X(void, envoyGoFilterOnHttpLog,                                                                  \
    (httpRequest*, uint64_t, processState*, processState*, uint64_t, uint64_t, uint64_t, uint64_t, \
     uint64_t, uint64_t, uint64_t, uint64_t))                                                      \
  X(void, envoyGoFilterOnHttpStreamComplete, (httpRequest*))                                       \
  X(void, envoyGoFilterOnHttpDestroy, (httpRequest*, uint64_t))                                    \
  X(void, envoyGoRequestSemaDec, (httpRequest*))                                                   \
  X(void, envoyGoFilterCleanUp, (void))
#define DECLARE(result, name, parameters) extern result(*name) parameters;
EXPORTS(DECLARE)
#undef DECLARE

typedef struct plugin plugin;

// What Go keeps of a configuration until its collector has found it unused.
typedef struct {
  httpConfig go;  // first: Go knows it by this address
  unsigned alive;
  plugin* plugin;  // NULL when Envoy's side is gone; under the lock of plugins
  bool finalized;
} go_config;

struct plugin {
  void* envoy;
  char* name;
  size_t name_length;
  uint64_t id;  // Go's
  go_config* config;
};

// The configuration that holds for a stream, with that of its route.
uint64_t merged_config(const plugin* p, void* envoy);

// Whether Envoy still has a configuration of Go's.
bool has_plugin(const char* call, void* config);

// ---- metric.c ----

// Counts a panic of the plugin that was answered for it.
void count_panic(void);

// Counts the requests that Go has and has not finalized, in a gauge of the host's own.
void count_requests(int by);

// ---- stream.c, side.c, reply.c: one stream ----

typedef struct request request;

// A piece of a body that Go was given and knows by its number. Contrib has its
// address there, which the next piece may have as well.
typedef struct piece {
  struct piece* next;
  uint64_t number;
  bytes data;
} piece;

// A header list of our own: of a local reply on its way through the plugin.
typedef struct {
  bytes key, value;
} field;

typedef struct {
  field* list;
  size_t n;
  bytes body, details;
  uint32_t status;
} message;

// One direction of a stream.
typedef struct {
  processState go;  // first: Go knows it by this address
  piece* pieces;    // given to Go and not passed on
  bytes held;       // arrived and not given to Go
  bool end_stream;  // Envoy has shown the end
  bool last;        // what Go has now is the end
  bool headers, trailers;  // Go may touch them
  bool to_go_on;    // Envoy has yet to be told to go on
  bool posted;      // Go has said how it goes on, or has replied
  message* own;     // the local reply in place of Envoy's response
} side;

typedef struct task task;

struct request {
  httpRequest go;  // first: Go knows it by this address
  unsigned alive;
  atomic_int refs;  // Envoy's, Go's, and one for each call under way
  void* envoy;
  plugin* plugin;
  pthread_t worker;
  side decoding, encoding;
  bytes string;  // what Go was last told as a string, until it has copied it

  pthread_mutex_t lock;  // of what follows; never held while in Go
  void* scheduler;
  task *tasks, **last_task;
  atomic_bool destroying;  // Go is being told, or has been
  atomic_bool destroyed;   // Go has been told
  bool finalized;
};

static inline side* side_of(void* s) { return (side*)s; }
static inline request* owner(const side* s) { return (request*)s->go.req; }
static inline bool is_decoding(const side* s) { return s->go.is_encoding == 0; }
static inline int state_of(const side* s) { return __atomic_load_n(&s->go.state, __ATOMIC_ACQUIRE); }
static inline void set_state(side* s, int state) { __atomic_store_n(&s->go.state, state, __ATOMIC_RELEASE); }
static inline bool in_go(const side* s) {
  int state = state_of(s);
  return state == PROCESSING_HEADER || state == PROCESSING_DATA || state == PROCESSING_TRAILER ||
         owner(s)->go.is_golang_processing_log;
}
static inline bool on_worker(const request* r) { return pthread_equal(r->worker, pthread_self()); }

// Makes the request known to Go, which will keep it.
void introduce(request* r);
void keep(request* r);
void release(request* r);

// What Envoy shows; true if it may go on with it. The data is taken.
bool do_headers(side* s, bool end);
bool do_data(side* s, bytes* data, bool end);
bool do_trailers(side* s);

// Continues after Go has worked in a goroutine.
void continue_status(side* s, int status);

// Appends all pieces to out, or only forgets them.
void take_pieces(side* s, bytes* out);

// Tells Envoy to go on with a side, if it is to.
void go_on(side* s);

// The plugin's reply in place of the response. All is taken.
void local_reply(side* s, message* m);
message* new_message(uint32_t status);
void message_add(message* m, view key, view value);
void message_set(message* m, view key, view value);
void message_remove(message* m, view key);
void message_free(message* m);
void send_own(side* s);

// ---- headers.c ----

// The headers or trailers that Go sees now, and their size in bytes.
size_t fields(side* s, bool trailers, TYPE(envoy_http_header) * *list);
size_t field_bytes(const TYPE(envoy_http_header) * list, size_t n);
void field_set(side* s, bool trailers, view key, view value, headerAction action);
void field_remove(side* s, bool trailers, view key);

// ---- post.c: from any thread to the stream's ----

struct task {
  task* next;
  void (*run)(task*);
  request* request;
  side* side;
  int number;
  bytes a, b, c;
  message* message;
  uint64_t* data_out;
  int *length_out, *status_out;
};

task* new_task(request* r, side* s, void (*run)(task*));
// Hands it over; it does not run if the stream is destroyed before.
void post(task* t);
void run_one(request* r);
void drop_tasks(request* r);

#pragma GCC visibility pop
