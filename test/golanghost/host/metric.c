// Metrics. Go may change one at any time and on any thread; Envoy takes a change
// with a filter at hand, so each event of a stream shows what has changed.
#include <string.h>

#include "check.h"

enum { COUNTER, GAUGE, HISTOGRAM };

static bool make(plugin* p, uint32_t type, view name, view* labels, size_t n, size_t* id) {
  TYPE(metrics_result) result = type == COUNTER ? ENVOY(http_filter_config_define_counter)(p->envoy, name, labels, n, id)
                                                : ENVOY(http_filter_config_define_gauge)(p->envoy, name, labels, n, id);
  return result == TYPE(metrics_result_Success);
}

static uint32_t define(plugin* p, uint32_t type, view name) {
  uint32_t n = atomic_load(&p->metric_count);
  if (n == MAX_METRICS) violation("envoyGoFilterHttpDefineMetric", "more metrics than this host has room for");
  metric* m = &p->metrics[n];
  m->type = type;
  if (p->frozen) {
    m->id = p->late[type];
    bytes_add(&m->name, name.ptr, name.length);
  } else if (!make(p, type, name, NULL, 0, &m->id)) {
    violation("envoyGoFilterHttpDefineMetric", "Envoy does not take it");
  }
  atomic_store(&p->metric_count, n + 1);
  return n;
}

// The first metric is contrib's own, and not one that Go has a number of.
void define_own(plugin* p) {
  define(p, COUNTER, view_of("panic_error", 11));
  view label = view_of("name", 4);
  make(p, COUNTER, view_of("late", 4), &label, 1, &p->late[COUNTER]);
  make(p, GAUGE, view_of("late_gauge", 10), &label, 1, &p->late[GAUGE]);
}

// As in Envoy, a name that is known is the same metric.
static uint32_t known(const plugin* p, uint32_t type, view name) {
  for (uint32_t i = 1; i < atomic_load(&p->metric_count); i++) {
    const bytes* n = &p->metrics[i].name;
    if (p->metrics[i].type == type && n->n == name.length && n->n > 0 && memcmp(n->p, name.ptr, n->n) == 0) return i;
  }
  return 0;
}

CAPIStatus envoyGoFilterHttpDefineMetric(void* config, uint32_t type, void* name, int length, uint32_t* id) {
  plugin* p = lock_plugin(__func__, config);
  if (p == NULL) return CAPIFilterIsGone;
  if (type > HISTOGRAM) violation(__func__, "a type that is none");
  if (type == HISTOGRAM) violation(__func__, "histograms cannot be had here");
  view v = view_of(name, (size_t)length);
  *id = known(p, type, v);
  if (*id == 0) *id = define(p, type, v);
  unlock_plugin();
  return CAPIOK;
}

static metric* find(const char* call, plugin* p, uint32_t id) {
  if (id == 0 || id >= atomic_load(&p->metric_count)) violation(call, "no such metric");
  return &p->metrics[id];
}

static void add(metric* m, int64_t by) {
  atomic_fetch_add(&m->value, by);
  atomic_fetch_add(&m->pending, by);
}

void count_panic(plugin* p) { add(&p->metrics[0], 1); }

CAPIStatus envoyGoFilterHttpIncrementMetric(void* config, uint32_t id, int64_t by) {
  plugin* p = lock_plugin(__func__, config);
  if (p == NULL) return CAPIFilterIsGone;
  metric* m = find(__func__, p, id);
  // A counter does not go back.
  if (m->type == GAUGE || by > 0) add(m, by);
  unlock_plugin();
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpRecordMetric(void* config, uint32_t id, uint64_t value) {
  plugin* p = lock_plugin(__func__, config);
  if (p == NULL) return CAPIFilterIsGone;
  metric* m = find(__func__, p, id);
  add(m, (int64_t)value - (m->type == GAUGE ? atomic_load(&m->value) : 0));
  unlock_plugin();
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpGetMetric(void* config, uint32_t id, uint64_t* value) {
  plugin* p = lock_plugin(__func__, config);
  if (p == NULL) return CAPIFilterIsGone;
  *value = (uint64_t)atomic_load(&find(__func__, p, id)->value);
  unlock_plugin();
  return CAPIOK;
}

void show_metrics(plugin* p, void* envoy) {
  uint32_t n = atomic_load(&p->metric_count);
  for (uint32_t i = 0; i < n; i++) {
    metric* m = &p->metrics[i];
    if (atomic_load_explicit(&m->pending, memory_order_relaxed) == 0) continue;
    int64_t by = atomic_exchange(&m->pending, 0);
    view name = view_of(m->name.p, m->name.n);
    size_t labels = m->name.n > 0;
    if (m->type == COUNTER) {
      ENVOY(http_filter_increment_counter)(envoy, m->id, &name, labels, (uint64_t)by);
    } else if (by > 0) {
      ENVOY(http_filter_increment_gauge)(envoy, m->id, &name, labels, (uint64_t)by);
    } else if (by < 0) {
      ENVOY(http_filter_decrement_gauge)(envoy, m->id, &name, labels, (uint64_t)-by);
    }
  }
}
