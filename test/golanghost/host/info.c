// What a plugin asks about a stream, and sets on it, apart from its messages.
#include <string.h>

#include "check.h"
#include "wire.h"

void envoyGoFilterLog(uint32_t level, void* text, int length) {
  if (level > TYPE(log_level_Critical)) violation(__func__, "a level that is none");
  ENVOY(log)((TYPE(log_level))level, view_of(text, (size_t)length));
}

uint32_t envoyGoFilterLogLevel(void) {
  uint32_t level = TYPE(log_level_Trace);
  while (level < TYPE(log_level_Off) && !ENVOY(log_enabled)((TYPE(log_level))level)) level++;
  return level;
}

// ---- route ---------------------------------------------------------------------

// Envoy finds the route again when someone asks for it, at once if refresh is set.
static void clear_route(request* r, bool refresh) {
  ENVOY(http_clear_route_cache)(r->envoy);
  TYPE(envoy_buffer) name;
  if (refresh) ENVOY(http_filter_get_attribute_string)(r->envoy, TYPE(attribute_id_XdsRouteName), &name);
}

static void clear_route_now(task* t) { clear_route(t->request, t->number); }

CAPIStatus envoyGoFilterHttpClearRouteCache(void* p, bool refresh) {
  request* r = check_request(__func__, p);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (on_worker(r)) {
      clear_route(r, refresh);
    } else {
      task* t = new_task(r, NULL, clear_route_now);
      t->number = refresh;
      post(t);
    }
  }
  release(r);
  return status;
}

static void override_now(task* t) {
  ENVOY(http_set_upstream_override_host)(t->request->envoy, view_of(t->a.p, t->a.n), t->number);
}

CAPIStatus envoyGoFilterHttpSetUpstreamOverrideHost(void* state, void* host, int length, bool strict) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (!is_decoding(s)) violation(__func__, "the request is sent already");
    if (on_worker(r)) {
      if (!ENVOY(http_set_upstream_override_host)(r->envoy, view_of(host, (size_t)length), strict)) status = CAPIInvalidIPAddress;
    } else {
      task* t = new_task(r, s, override_now);
      bytes_add(&t->a, host, (size_t)length);
      t->number = strict;
      post(t);
    }
  }
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpSetDrainConnectionUponCompletion(void* p) {
  check_request(__func__, p);
  violation(__func__, "cannot be had here");
}

// ---- values --------------------------------------------------------------------

// Envoy's attribute of a value's number, as in capi_impl.go; -1 for none.
static int attribute(int id) {
  switch (id) {
    case 1: return TYPE(attribute_id_XdsRouteName);
    case 2: return TYPE(attribute_id_XdsFilterChainName);
    case 3: return TYPE(attribute_id_RequestProtocol);
    case 4: return TYPE(attribute_id_ResponseCode);
    case 5: return TYPE(attribute_id_ResponseCodeDetails);
    case 6: return TYPE(attribute_id_UpstreamRequestAttemptCount);
    case 7: return TYPE(attribute_id_DestinationAddress);
    case 8: return TYPE(attribute_id_SourceAddress);
    case 9: return TYPE(attribute_id_UpstreamLocalAddress);
    case 10: return TYPE(attribute_id_UpstreamAddress);
    case 11: return TYPE(attribute_id_XdsClusterName);
    case 106: return TYPE(attribute_id_ConnectionSha256PeerCertificateDigest);
    case 108: return TYPE(attribute_id_ConnectionSubjectPeerCertificate);
    case 110: return TYPE(attribute_id_ConnectionSubjectLocalCertificate);
    case 111: return TYPE(attribute_id_ConnectionTlsVersion);
  }
  return -1;
}

// Keeps a string for Go, which copies it before it asks again.
static void say(request* r, const void* p, size_t n, uint64_t* data, int* length) {
  r->string.n = 0;
  bytes_add(&r->string, p, n);
  *data = (uint64_t)(uintptr_t)r->string.p;
  *length = (int)n;
}

CAPIStatus envoyGoFilterHttpGetStringValue(void* p, int id, uint64_t* data, int* length) {
  request* r = check_request(__func__, p);
  pthread_mutex_lock(&r->lock);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    TYPE(envoy_buffer) value;
    int which = attribute(id);
    if (which >= 0 && ENVOY(http_filter_get_attribute_string)(r->envoy, (TYPE(attribute_id))which, &value)) {
      say(r, value.ptr, value.length, data, length);
    } else {
      status = CAPIValueNotFound;
    }
  }
  pthread_mutex_unlock(&r->lock);
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpGetIntegerValue(void* p, int id, uint64_t* value) {
  request* r = check_request(__func__, p);
  pthread_mutex_lock(&r->lock);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    status = CAPIValueNotFound;
    TYPE(envoy_buffer) text;
    bool mtls;
    if (id == 3) {  // Envoy's numbers of the versions of HTTP
      static const char* const names[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"};
      if (ENVOY(http_filter_get_attribute_string)(r->envoy, TYPE(attribute_id_RequestProtocol), &text))
        for (uint64_t i = 0; i < 4; i++)
          if (text.length == strlen(names[i]) && memcmp(text.ptr, names[i], text.length) == 0) *value = i, status = CAPIOK;
    } else if (id == 4 || id == 6) {
      if (ENVOY(http_filter_get_attribute_int)(r->envoy, (TYPE(attribute_id))attribute(id), value)) status = CAPIOK;
    } else if (id == 100) {
      *value = ENVOY(http_filter_get_attribute_string)(r->envoy, TYPE(attribute_id_ConnectionTlsVersion), &text) && text.length > 0;
      status = CAPIOK;
    } else if (id == 101 && ENVOY(http_filter_get_attribute_bool)(r->envoy, TYPE(attribute_id_ConnectionMtls), &mtls)) {
      *value = mtls;
      status = CAPIOK;
    }
  }
  pthread_mutex_unlock(&r->lock);
  release(r);
  return status;
}

// ---- what may have to wait for the stream's thread ------------------------------

// Finds a value of a name and says it; the result is what the plugin is told.
typedef CAPIStatus (*finder)(request* r, view name, uint64_t* data, int* length);

static void ask_now(task* t) {
  finder find = *(finder*)t->b.p;
  CAPIStatus status = find(t->request, view_of(t->a.p, t->a.n), t->data_out, t->length_out);
  if (t->status_out != NULL) *t->status_out = status;
  envoyGoRequestSemaDec(&t->request->go);
}

static CAPIStatus ask(const char* call, void* p, view name, uint64_t* data, int* length, int* rc, finder find) {
  request* r = check_request(call, p);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (on_worker(r)) {
      status = find(r, name, data, length);
    } else {
      task* t = new_task(r, NULL, ask_now);
      bytes_add(&t->a, name.ptr, name.length);
      bytes_add(&t->b, &find, sizeof find);
      t->data_out = data;
      t->length_out = length;
      t->status_out = rc;
      post(t);
      status = CAPIYield;
    }
  }
  release(r);
  return status;
}

// A name space of the dynamic metadata as a google.protobuf.Struct.
static CAPIStatus find_metadata(request* r, view space, uint64_t* data, int* length) {
  const TYPE(metadata_source) dynamic = TYPE(metadata_source_Dynamic);
  size_t n = ENVOY(http_get_metadata_keys_count)(r->envoy, dynamic, space);
  if (n == 0) return CAPIOK;
  TYPE(envoy_buffer) keys[n];
  if (!ENVOY(http_get_metadata_keys)(r->envoy, dynamic, space, keys)) return CAPIOK;
  bytes all = {0};
  for (size_t i = 0; i < n; i++) {
    view key = view_of(keys[i].ptr, keys[i].length);
    bytes value = {0}, entry = {0};
    TYPE(envoy_buffer) text;
    double number;
    bool truth;
    if (ENVOY(http_get_metadata_string)(r->envoy, dynamic, space, key, &text)) {
      wire_add_bytes(&value, 3, view_of(text.ptr, text.length));
    } else if (ENVOY(http_get_metadata_number)(r->envoy, dynamic, space, key, &number)) {
      uint64_t raw;
      memcpy(&raw, &number, 8);
      wire_add_fixed64(&value, 2, raw);
    } else if (ENVOY(http_get_metadata_bool)(r->envoy, dynamic, space, key, &truth)) {
      wire_add_varint(&value, 4, truth);
    }
    wire_add_bytes(&entry, 1, key);
    wire_add_bytes(&entry, 2, view_of(value.p, value.n));
    wire_add_bytes(&all, 1, view_of(entry.p, entry.n));
    bytes_free(&value);
    bytes_free(&entry);
  }
  say(r, all.p, all.n, data, length);
  bytes_free(&all);
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpGetDynamicMetadata(void* p, void* name, int name_length, uint64_t* data, int* length) {
  return ask(__func__, p, view_of(name, (size_t)name_length), data, length, NULL, find_metadata);
}

static CAPIStatus find_filter_state(request* r, view key, uint64_t* data, int* length) {
  TYPE(envoy_buffer) value;
  if (ENVOY(http_get_filter_state_bytes)(r->envoy, key, &value)) say(r, value.ptr, value.length, data, length);
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpGetStringFilterState(void* p, void* key, int key_length, uint64_t* data, int* length) {
  return ask(__func__, p, view_of(key, (size_t)key_length), data, length, NULL, find_filter_state);
}

// The attributes that have a string, by the names that contrib knows them by.
static CAPIStatus find_property(request* r, view path, uint64_t* data, int* length) {
  static const struct {
    const char* name;
    TYPE(attribute_id) id;
  } known[] = {
      {"request.path", TYPE(attribute_id_RequestPath)},       {"request.url_path", TYPE(attribute_id_RequestUrlPath)},
      {"request.host", TYPE(attribute_id_RequestHost)},       {"request.scheme", TYPE(attribute_id_RequestScheme)},
      {"request.method", TYPE(attribute_id_RequestMethod)},   {"request.id", TYPE(attribute_id_RequestId)},
      {"request.protocol", TYPE(attribute_id_RequestProtocol)}, {"request.query", TYPE(attribute_id_RequestQuery)},
      {"source.address", TYPE(attribute_id_SourceAddress)},   {"destination.address", TYPE(attribute_id_DestinationAddress)},
      {"upstream.address", TYPE(attribute_id_UpstreamAddress)}, {"xds.route_name", TYPE(attribute_id_XdsRouteName)},
      {"xds.cluster_name", TYPE(attribute_id_XdsClusterName)},
  };
  TYPE(envoy_buffer) value;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (path.length != strlen(known[i].name) || memcmp(path.ptr, known[i].name, path.length) != 0) continue;
    if (!ENVOY(http_filter_get_attribute_string)(r->envoy, known[i].id, &value)) return CAPIValueNotFound;
    say(r, value.ptr, value.length, data, length);
    return CAPIOK;
  }
  return CAPIValueNotFound;
}

CAPIStatus envoyGoFilterHttpGetStringProperty(void* p, void* key, int key_length, uint64_t* data, int* length, int* rc) {
  return ask(__func__, p, view_of(key, (size_t)key_length), data, length, rc, find_property);
}

// A configuration with secrets is refused, so there is none.
static CAPIStatus find_secret(request* r, view name, uint64_t* data, int* length) {
  *length = -1;
  return CAPIOK;
}

CAPIStatus envoyGoFilterHttpGetStringSecret(void* p, void* key, int key_length, uint64_t* data, int* length) {
  return ask(__func__, p, view_of(key, (size_t)key_length), data, length, NULL, find_secret);
}

// ---- what is set ---------------------------------------------------------------

// Sets a google.protobuf.Value.
static void set_metadata(request* r, view space, view key, view value) {
  wire_field f;
  if (!wire_next(&value, &f)) violation("envoyGoFilterHttpSetDynamicMetadata", "no value");
  double number;
  switch (f.field) {
    case 2:
      memcpy(&number, &f.number, 8);
      ENVOY(http_set_dynamic_metadata_number)(r->envoy, space, key, number);
      return;
    case 3:
      ENVOY(http_set_dynamic_metadata_string)(r->envoy, space, key, f.bytes.length > 0 ? f.bytes : view_of("", 0));
      return;
    case 4:
      ENVOY(http_set_dynamic_metadata_bool)(r->envoy, space, key, f.number != 0);
      return;
  }
  violation("envoyGoFilterHttpSetDynamicMetadata", "lists, objects and null cannot be had here");
}

static void set_metadata_now(task* t) {
  set_metadata(t->request, view_of(t->a.p, t->a.n), view_of(t->b.p, t->b.n), view_of(t->c.p, t->c.n));
}

CAPIStatus envoyGoFilterHttpSetDynamicMetadata(void* p, void* space, int space_length, void* key, int key_length,
                                               void* value, int length) {
  request* r = check_request(__func__, p);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (on_worker(r)) {
      set_metadata(r, view_of(space, (size_t)space_length), view_of(key, (size_t)key_length), view_of(value, (size_t)length));
    } else {
      task* t = new_task(r, NULL, set_metadata_now);
      bytes_add(&t->a, space, (size_t)space_length);
      bytes_add(&t->b, key, (size_t)key_length);
      bytes_add(&t->c, value, (size_t)length);
      post(t);
    }
  }
  release(r);
  return status;
}

static void set_filter_state_now(task* t) {
  ENVOY(http_set_filter_state_bytes)(t->request->envoy, view_of(t->a.p, t->a.n), view_of(t->b.p, t->b.n));
}

CAPIStatus envoyGoFilterHttpSetStringFilterState(void* p, void* key, int key_length, void* value, int length,
                                                 int type, int span, int sharing) {
  request* r = check_request(__func__, p);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (on_worker(r)) {
      ENVOY(http_set_filter_state_bytes)(r->envoy, view_of(key, (size_t)key_length), view_of(value, (size_t)length));
    } else {
      task* t = new_task(r, NULL, set_filter_state_now);
      bytes_add(&t->a, key, (size_t)key_length);
      bytes_add(&t->b, value, (size_t)length);
      post(t);
    }
  }
  release(r);
  return status;
}
