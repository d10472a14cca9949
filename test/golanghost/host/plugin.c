// The plugin's library, and the configurations of the filter and of routes. Each
// comes as the message that contrib's filter is configured with
// (envoy.extensions.filters.http.golang.v3alpha), in a google.protobuf.BytesValue.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "wire.h"

#define DEFINE(result, name, parameters) result(*name) parameters;
EXPORTS(DEFINE)
#undef DEFINE

static uint32_t workers;
static char* loaded;  // path of the library; there is one Go runtime in a process
static pthread_mutex_t plugins_lock = PTHREAD_MUTEX_INITIALIZER;

const char* ON(program_init)(void) {
  workers = ENVOY(get_concurrency)();
  return ENVOY_DYNAMIC_MODULES_ABI_VERSION;
}

static void refuse(const char* what, const char* detail) {
  char text[500];
  int n = snprintf(text, sizeof text, "golanghost: %s: %s", what, detail);
  ENVOY(log)(TYPE(log_level_Error), view_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

static char* text_of(view v) {
  char* s = calloc(1, v.length + 1);
  if (s == NULL) abort();
  memcpy(s, v.ptr, v.length);
  return s;
}

// The library stays for the life of the process: a Go runtime cannot be unloaded.
static bool load(view path) {
  if (loaded != NULL) {
    bool same = strlen(loaded) == path.length && memcmp(loaded, path.ptr, path.length) == 0;
    if (!same) refuse("a second library beside", loaded);
    return same;
  }
  char* name = text_of(path);
  void* library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL) {
    refuse("load the library", dlerror());
    free(name);
    return false;
  }
#define FIND(result, symbol, parameters)                       \
  symbol = (result(*) parameters)dlsym(library, #symbol);      \
  if (symbol == NULL) {                                        \
    refuse("the library does not export", #symbol);            \
    free(name);                                                \
    return false;                                              \
  }
  EXPORTS(FIND)
  loaded = name;
  return true;
}

// Message Config: library_path is 2, plugin_name 3, plugin_config 4.
typedef struct {
  view path, name, config;
} contrib_config;

static bool read_config(view text, contrib_config* c) {
  *c = (contrib_config){0};
  wire_field f;
  while (wire_next(&text, &f)) {
    if (f.type != WIRE_BYTES) continue;
    if (f.field == 2) c->path = f.bytes;
    if (f.field == 3) c->name = f.bytes;
    if (f.field == 4) c->config = f.bytes;
    if (f.field == 6) {
      refuse("configuration", "secrets cannot be had here");
      return false;
    }
  }
  return text.length == 0 && c->path.length > 0 && c->name.length > 0;
}

static void fill(httpConfig* go, view name, view config, int is_route) {
  *go = (httpConfig){
      .plugin_name_ptr = (uint64_t)(uintptr_t)name.ptr,
      .plugin_name_len = name.length,
      .config_ptr = (uint64_t)(uintptr_t)config.ptr,
      .config_len = config.length,
      .is_route_config = is_route,
      .concurrency = workers,
  };
}

// Envoy has the configuration no more. Go may still have its part.
static void forget(plugin* p) {
  go_config* g = p->config;
  pthread_mutex_lock(&plugins_lock);
  g->plugin = NULL;
  bool finalized = g->finalized;
  pthread_mutex_unlock(&plugins_lock);
  if (finalized) free(g);
  free(p->name);
  free(p);
}

const void* ON(http_filter_config_new)(void* envoy, TYPE(envoy_buffer) name, TYPE(envoy_buffer) text) {
  contrib_config c;
  if (!read_config(view_of(text.ptr, text.length), &c)) {
    refuse("configuration", "not a golang.v3alpha.Config with a path and a name");
    return NULL;
  }
  if (!load(c.path)) return NULL;
  plugin* p = calloc(1, sizeof *p);
  go_config* g = calloc(1, sizeof *g);
  if (p == NULL || g == NULL) abort();
  p->envoy = envoy;
  p->name = text_of(c.name);
  p->name_length = c.name.length;
  p->config = g;
  g->alive = CONFIG_ALIVE;
  g->plugin = p;
  fill(&g->go, view_of(p->name, p->name_length), c.config, 0);
  p->id = envoyGoFilterNewHttpPluginConfig(&g->go);
  if (p->id != 0) return p;
  refuse("the plugin refuses its configuration", p->name);
  forget(p);
  return NULL;
}

void ON(http_filter_config_destroy)(const void* config) {
  plugin* p = (plugin*)config;
  envoyGoFilterDestroyHttpPluginConfig(p->id, 0);
  forget(p);
}

bool has_plugin(const char* call, void* config) {
  go_config* g = config;
  if (g == NULL || g->alive != CONFIG_ALIVE) violation(call, "no such configuration: it was finalized");
  pthread_mutex_lock(&plugins_lock);
  bool has = g->plugin != NULL;
  pthread_mutex_unlock(&plugins_lock);
  return has;
}

void envoyGoConfigHttpFinalize(void* config) {
  go_config* g = config;
  if (g == NULL || g->alive != CONFIG_ALIVE) violation(__func__, "finalized twice");
  pthread_mutex_lock(&plugins_lock);
  // A plugin need not keep the callbacks that Parse gave it.
  bool used = g->plugin != NULL;
  g->finalized = true;
  g->alive = 0;
  pthread_mutex_unlock(&plugins_lock);
  if (!used) free(g);
}

// ---- routes --------------------------------------------------------------------

// A configuration of a route, merged with that of the filter when a request needs
// both. As in Envoy the merged one is made anew when that of the filter changes.
typedef struct {
  bytes text;  // name and configuration, which Go may refer to
  view name, config;
  pthread_mutex_t lock;
  uint64_t id, merged, parent;
} route;

// Message ConfigsPerRoute: plugins_config is 1, a map of RouterPlugin, whose
// config is 2. There is one library and one name.
static bool read_route(view text, view* name, view* config) {
  wire_field f, entry, member;
  while (wire_next(&text, &f)) {
    if (f.field != 1 || f.type != WIRE_BYTES) return false;
    while (wire_next(&f.bytes, &entry)) {
      if (entry.field == 1) *name = entry.bytes;
      if (entry.field != 2) continue;
      while (wire_next(&entry.bytes, &member))
        if (member.field == 2 && member.type == WIRE_BYTES) *config = member.bytes;
    }
  }
  return text.length == 0 && name->length > 0;
}

const void* ON(http_filter_per_route_config_new)(TYPE(envoy_buffer) filter, TYPE(envoy_buffer) text) {
  route* r = calloc(1, sizeof *r);
  if (r == NULL) abort();
  bytes_add(&r->text, text.ptr, text.length);
  if (!read_route(view_of(r->text.p, r->text.n), &r->name, &r->config)) {
    refuse("configuration of a route", "not a golang.v3alpha.ConfigsPerRoute of one plugin");
    bytes_free(&r->text);
    free(r);
    return NULL;
  }
  pthread_mutex_init(&r->lock, NULL);
  return r;
}

void ON(http_filter_per_route_config_destroy)(const void* config) {
  route* r = (route*)config;
  if (r->id != 0) envoyGoFilterDestroyHttpPluginConfig(r->id, 0);
  if (r->merged != 0 && r->merged != r->id) envoyGoFilterDestroyHttpPluginConfig(r->merged, 0);
  pthread_mutex_destroy(&r->lock);
  bytes_free(&r->text);
  free(r);
}

uint64_t merged_config(const plugin* p, void* envoy) {
  route* r = (route*)ENVOY(get_most_specific_route_config)(envoy);
  if (r == NULL || r->name.length != p->name_length || memcmp(r->name.ptr, p->name, p->name_length) != 0) return p->id;
  pthread_mutex_lock(&r->lock);
  if (r->merged == 0 || r->parent != p->id) {
    if (r->merged != 0) envoyGoFilterDestroyHttpPluginConfig(r->merged, 1);
    if (r->id == 0) {
      httpConfig go;
      fill(&go, r->name, r->config, 1);
      r->id = envoyGoFilterNewHttpPluginConfig(&go);
      if (r->id == 0) violation("envoyGoFilterNewHttpPluginConfig", "a route's configuration is refused, which ends Envoy as well");
    }
    r->merged = envoyGoFilterMergeHttpPluginConfig((uint64_t)(uintptr_t)p->name, p->name_length, p->id, r->id);
    r->parent = p->id;
  }
  uint64_t id = r->merged;
  pthread_mutex_unlock(&r->lock);
  return id;
}

// ---- hooks that the ABI demands ------------------------------------------------

void ON(http_filter_config_scheduled)(void* envoy, const void* config, uint64_t event) {}
void ON(http_filter_config_http_callout_done)(void* envoy, const void* config, uint64_t id, TYPE(http_callout_result) result,
                                              TYPE(envoy_http_header) * headers, size_t n, TYPE(envoy_buffer) * chunks,
                                              size_t chunk_count) {}
void ON(http_filter_config_http_stream_headers)(void* envoy, const void* config, uint64_t id,
                                                TYPE(envoy_http_header) * headers, size_t n, bool end) {}
void ON(http_filter_config_http_stream_data)(void* envoy, const void* config, uint64_t id,
                                             const TYPE(envoy_buffer) * data, size_t n, bool end) {}
void ON(http_filter_config_http_stream_trailers)(void* envoy, const void* config, uint64_t id,
                                                 TYPE(envoy_http_header) * trailers, size_t n) {}
void ON(http_filter_config_http_stream_complete)(void* envoy, const void* config, uint64_t id) {}
void ON(http_filter_config_http_stream_reset)(void* envoy, const void* config, uint64_t id,
                                              TYPE(http_stream_reset_reason) reason) {}
