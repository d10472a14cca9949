// Headers and trailers as Go reads and changes them.
#include <string.h>

#include "check.h"

typedef TYPE(envoy_http_header) envoy_header;

static TYPE(http_header_type) type_of(const side* s, bool trailers) {
  if (is_decoding(s)) return trailers ? TYPE(http_header_type_RequestTrailer) : TYPE(http_header_type_RequestHeader);
  return trailers ? TYPE(http_header_type_ResponseTrailer) : TYPE(http_header_type_ResponseHeader);
}

// Good until the next call on this thread.
static __thread bytes scratch;

size_t fields(side* s, bool trailers, envoy_header** list) {
  scratch.n = 0;
  *list = NULL;
  if (s->own != NULL) {
    if (trailers) return 0;
    for (size_t i = 0; i < s->own->n; i++) {
      const field* f = &s->own->list[i];
      envoy_header h = {.key_ptr = f->key.p, .key_length = f->key.n, .value_ptr = f->value.p, .value_length = f->value.n};
      bytes_add(&scratch, &h, sizeof h);
    }
    *list = (envoy_header*)scratch.p;
    return s->own->n;
  }
  void* envoy = owner(s)->envoy;
  size_t n = ENVOY(http_get_headers_size)(envoy, type_of(s, trailers));
  static const envoy_header none;
  for (size_t i = 0; i < n; i++) bytes_add(&scratch, &none, sizeof none);
  *list = (envoy_header*)scratch.p;
  if (n > 0) ENVOY(http_get_headers)(envoy, type_of(s, trailers), *list);
  return n;
}

size_t field_bytes(const envoy_header* list, size_t n) {
  size_t all = 0;
  for (size_t i = 0; i < n; i++) all += list[i].key_length + list[i].value_length;
  return all;
}

void field_remove(side* s, bool trailers, view key) {
  if (s->own != NULL) {
    message_remove(s->own, key);
    return;
  }
  ENVOY(http_set_header)(owner(s)->envoy, type_of(s, trailers), key, view_of(NULL, 0));
}

void field_set(side* s, bool trailers, view key, view value, headerAction action) {
  if (s->own != NULL) {
    if (action == HeaderSet) message_set(s->own, key, value);
    else message_add(s->own, key, value);
    return;
  }
  void* envoy = owner(s)->envoy;
  if (action == HeaderSet && value.length > 0) {
    ENVOY(http_set_header)(envoy, type_of(s, trailers), key, value);
    return;
  }
  // To set an empty value means to remove the header, in this ABI.
  if (action == HeaderSet) field_remove(s, trailers, key);
  ENVOY(http_add_header)(envoy, type_of(s, trailers), key, value.length > 0 ? value : view_of("", 0));
}

static const envoy_header* find(side* s, view key) {
  envoy_header* list;
  size_t n = fields(s, false, &list);
  for (size_t i = 0; i < n; i++)
    if (list[i].key_length == key.length && strncasecmp(list[i].key_ptr, key.ptr, key.length) == 0) return &list[i];
  return NULL;
}

CAPIStatus envoyGoFilterHttpGetHeader(void* state, void* key, int key_length, uint64_t* value, int* value_length) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  pthread_mutex_lock(&r->lock);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (!s->headers) violation(__func__, "the headers have been passed on");
    const envoy_header* h = find(s, view_of(key, (size_t)key_length));
    if (h != NULL) {
      *value = (uint64_t)(uintptr_t)h->value_ptr;
      *value_length = (int)h->value_length;
    }
  }
  pthread_mutex_unlock(&r->lock);
  release(r);
  return status;
}

// Go has made room for as many as it was told of.
static CAPIStatus copy(const char* call, void* state, bool trailers, void* strings, void* buffer) {
  side* s = check_side(call, state);
  request* r = owner(s);
  pthread_mutex_lock(&r->lock);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (!(trailers ? s->trailers : s->headers)) violation(call, "the headers or trailers have been passed on");
    envoy_header* list;
    size_t n = fields(s, trailers, &list);
    go_string* out = strings;
    char* room = buffer;
    for (size_t i = 0; i < n; i++) {
      *out++ = (go_string){room, (ptrdiff_t)list[i].key_length};
      memcpy(room, list[i].key_ptr, list[i].key_length);
      room += list[i].key_length;
      out->n = (ptrdiff_t)list[i].value_length;
      if (list[i].value_length > 0) {
        out->p = room;
        memcpy(room, list[i].value_ptr, list[i].value_length);
        room += list[i].value_length;
      }
      out++;
    }
  }
  pthread_mutex_unlock(&r->lock);
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpCopyHeaders(void* s, void* strings, void* buffer) {
  return copy(__func__, s, false, strings, buffer);
}

CAPIStatus envoyGoFilterHttpCopyTrailers(void* s, void* strings, void* buffer) {
  return copy(__func__, s, true, strings, buffer);
}

static void set_now(task* t) {
  bool trailers = t->number & 1;
  field_set(t->side, trailers, view_of(t->a.p, t->a.n), view_of(t->b.p, t->b.n), (headerAction)(t->number >> 1));
}

static void remove_now(task* t) { field_remove(t->side, t->number & 1, view_of(t->a.p, t->a.n)); }

// A change takes effect at once on the worker's thread, else when it comes to it.
static CAPIStatus change(const char* call, void* state, bool trailers, view key, view value, int action) {
  side* s = check_side(call, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    check_field(call, key, value);
    if (!(trailers ? s->trailers : s->headers)) violation(call, "the headers or trailers have been passed on");
    bool remove = action < 0;
    if (on_worker(r)) {
      if (remove) field_remove(s, trailers, key);
      else field_set(s, trailers, key, value, (headerAction)action);
    } else {
      task* t = new_task(r, s, remove ? remove_now : set_now);
      t->number = (remove ? 0 : action << 1) | trailers;
      bytes_add(&t->a, key.ptr, key.length);
      bytes_add(&t->b, value.ptr, value.length);
      post(t);
    }
  }
  release(r);
  return status;
}

enum { REMOVE = -1 };

CAPIStatus envoyGoFilterHttpSetHeaderHelper(void* s, void* key, int key_length, void* value, int value_length,
                                            headerAction action) {
  return change(__func__, s, false, view_of(key, (size_t)key_length), view_of(value, (size_t)value_length), (int)action);
}

CAPIStatus envoyGoFilterHttpRemoveHeader(void* s, void* key, int key_length) {
  return change(__func__, s, false, view_of(key, (size_t)key_length), view_of(NULL, 0), REMOVE);
}

CAPIStatus envoyGoFilterHttpSetTrailer(void* s, void* key, int key_length, void* value, int value_length,
                                       headerAction action) {
  return change(__func__, s, true, view_of(key, (size_t)key_length), view_of(value, (size_t)value_length), (int)action);
}

CAPIStatus envoyGoFilterHttpRemoveTrailer(void* s, void* key, int key_length) {
  return change(__func__, s, true, view_of(key, (size_t)key_length), view_of(NULL, 0), REMOVE);
}
