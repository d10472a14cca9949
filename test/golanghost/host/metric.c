// Metrics. A plugin may define one and change it at any time and on any thread. A
// filter of Envoy's modules defines its metrics as it is configured, and changes
// them with a stream at hand; so this is an extension of the server as well, which
// has one counter and one gauge with the plugin's name of a metric as their label,
// and follows changes on Envoy's main thread.
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { COUNTER, GAUGE, HISTOGRAM };
enum { MAX_METRICS = 1024 };

typedef struct {
  uint32_t type;
  bytes name;
  _Atomic(int64_t) value;    // as the plugin reads it
  _Atomic(int64_t) pending;  // what Envoy has not been shown of it
  atomic_bool used;          // as in Envoy, one that was never set is not shown
  bool shown;                // to Envoy; main thread only
} metric;

// Number 0 is contrib's own.
static metric metrics[MAX_METRICS];
static _Atomic(uint32_t) count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  // of what follows, and of new metrics
static void* scheduler;                                   // to the main thread; NULL without the extension
static size_t labelled[2];
static atomic_bool following;  // the main thread is to look

// The number of a metric, which is made if need be. As in Envoy a name that is
// known is the same metric.
static uint32_t metric_of(uint32_t type, view name) {
  pthread_mutex_lock(&lock);
  uint32_t n = atomic_load(&count), i = 0;
  while (i < n && !(metrics[i].type == type && metrics[i].name.n == name.length && memcmp(metrics[i].name.p, name.ptr, name.length) == 0)) i++;
  if (i == n) {
    if (n == MAX_METRICS) violation("envoyGoFilterHttpDefineMetric", "more metrics than this host has room for");
    metrics[n].type = type;
    bytes_add(&metrics[n].name, name.ptr, name.length);
    atomic_store(&count, n + 1);
  }
  pthread_mutex_unlock(&lock);
  return i;
}

// Has Envoy follow a change of a value.
static void changed(uint32_t id, int64_t by) {
  atomic_fetch_add(&metrics[id].pending, by);
  atomic_store(&metrics[id].used, true);
  if (atomic_exchange(&following, true)) return;
  pthread_mutex_lock(&lock);
  if (scheduler != NULL) ENVOY(bootstrap_extension_config_scheduler_commit)(scheduler, 0);
  pthread_mutex_unlock(&lock);
}

static void add(uint32_t id, int64_t by) {
  atomic_fetch_add(&metrics[id].value, by);
  changed(id, by);
}

void count_requests(int by) {
  static _Atomic(uint32_t) id;  // and 1
  if (atomic_load(&id) == 0) atomic_store(&id, metric_of(GAUGE, view_of("requests", 8)) + 1);
  add(atomic_load(&id) - 1, by);
}

void count_panic(void) { add(metric_of(COUNTER, view_of("panic_error", 11)), 1); }

CAPIStatus envoyGoFilterHttpDefineMetric(void* config, uint32_t type, void* name, int length, uint32_t* id) {
  if (!has_plugin(__func__, config)) return CAPIFilterIsGone;
  if (type > HISTOGRAM) violation(__func__, "a type that is none");
  if (type == HISTOGRAM) violation(__func__, "histograms cannot be had here");
  *id = metric_of(type, view_of(name, (size_t)length)) + 1;
  return CAPIOK;
}

// A plugin's numbers begin with 1, so that one that was not set is found.
static uint32_t known(const char* call, uint32_t id) {
  if (id == 0 || id > atomic_load(&count)) violation(call, "no such metric");
  return id - 1;
}

CAPIStatus envoyGoFilterHttpIncrementMetric(void* config, uint32_t id, int64_t by) {
  if (!has_plugin(__func__, config)) return CAPIFilterIsGone;
  id = known(__func__, id);
  // A counter does not go back.
  if (metrics[id].type == GAUGE || by > 0) add(id, by);
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpRecordMetric(void* config, uint32_t id, uint64_t value) {
  if (!has_plugin(__func__, config)) return CAPIFilterIsGone;
  id = known(__func__, id);
  // In one step: two that set a gauge at the same time must not both take its old value away.
  if (metrics[id].type == GAUGE) changed(id, (int64_t)value - atomic_exchange(&metrics[id].value, (int64_t)value));
  else add(id, (int64_t)value);
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpGetMetric(void* config, uint32_t id, uint64_t* value) {
  if (!has_plugin(__func__, config)) return CAPIFilterIsGone;
  *value = (uint64_t)atomic_load(&metrics[known(__func__, id)].value);
  return CAPIOK;
}

// ---- the extension of the server -------------------------------------------------

const void* ON(bootstrap_extension_config_new)(void* envoy, TYPE(envoy_buffer) name, TYPE(envoy_buffer) config) {
  view label = view_of("name", 4);
  ENVOY(bootstrap_extension_config_define_counter)(envoy, view_of("counter", 7), &label, 1, &labelled[COUNTER]);
  ENVOY(bootstrap_extension_config_define_gauge)(envoy, view_of("gauge", 5), &label, 1, &labelled[GAUGE]);
  pthread_mutex_lock(&lock);
  scheduler = ENVOY(bootstrap_extension_config_scheduler_new)(envoy);
  pthread_mutex_unlock(&lock);
  ENVOY(bootstrap_extension_config_signal_init_complete)(envoy);  // the server waits for it
  return envoy;
}

void ON(bootstrap_extension_config_destroy)(const void* module) {
  pthread_mutex_lock(&lock);
  ENVOY(bootstrap_extension_config_scheduler_delete)(scheduler);
  scheduler = NULL;
  pthread_mutex_unlock(&lock);
}

void ON(bootstrap_extension_config_scheduled)(void* envoy, const void* module, uint64_t event) {
  atomic_store(&following, false);
  uint32_t n = atomic_load(&count);
  for (uint32_t i = 0; i < n; i++) {
    metric* m = &metrics[i];
    bool used = atomic_load(&m->used);
    int64_t by = atomic_exchange(&m->pending, 0);
    view name = view_of(m->name.p, m->name.n);
    size_t id = labelled[m->type];
    if (by == 0 && (m->shown || !used)) continue;  // the first value may be 0
    m->shown = true;
    if (m->type == COUNTER) ENVOY(bootstrap_extension_config_increment_counter)(envoy, id, &name, 1, (uint64_t)by);
    else if (by >= 0) ENVOY(bootstrap_extension_config_increment_gauge)(envoy, id, &name, 1, (uint64_t)by);
    else ENVOY(bootstrap_extension_config_decrement_gauge)(envoy, id, &name, 1, (uint64_t)-by);
  }
}

const void* ON(bootstrap_extension_new)(const void* config, void* envoy) { return config; }
void ON(bootstrap_extension_shutdown)(void* envoy, const void* module, TYPE(event_cb) done, void* context) { done(context); }
void ON(bootstrap_extension_server_initialized)(void* envoy, const void* module) {}
void ON(bootstrap_extension_worker_thread_initialized)(void* envoy, const void* module) {}
void ON(bootstrap_extension_drain_started)(void* envoy, const void* module) {}
void ON(bootstrap_extension_destroy)(const void* module) {}
void ON(bootstrap_extension_timer_fired)(void* envoy, const void* module, void* timer) {}
void ON(bootstrap_extension_file_changed)(void* envoy, const void* module, TYPE(envoy_buffer) path, uint32_t events) {}
void ON(bootstrap_extension_cluster_add_or_update)(void* envoy, const void* module, TYPE(envoy_buffer) name) {}
void ON(bootstrap_extension_cluster_removal)(void* envoy, const void* module, TYPE(envoy_buffer) name) {}
void ON(bootstrap_extension_listener_add_or_update)(void* envoy, const void* module, TYPE(envoy_buffer) name) {}
void ON(bootstrap_extension_listener_removal)(void* envoy, const void* module, TYPE(envoy_buffer) name) {}
void ON(bootstrap_extension_http_callout_done)(void* envoy, const void* module, uint64_t id, TYPE(http_callout_result) result,
                                               TYPE(envoy_http_header) * headers, size_t n, TYPE(envoy_buffer) * chunks,
                                               size_t chunk_count) {}
uint32_t ON(bootstrap_extension_admin_request)(void* envoy, const void* module, TYPE(envoy_buffer) method,
                                               TYPE(envoy_buffer) path, TYPE(envoy_buffer) body) {
  return 404;
}
