// Local replies. Envoy sends the replies of its filters back through them, so a
// plugin sees its own reply as a response; for a dynamic module Envoy leaves that
// out. So the reply is shown to the plugin first and made when it has let go of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

message* new_message(uint32_t status) {
  message* m = calloc(1, sizeof *m);
  if (m == NULL) abort();
  m->status = status;
  return m;
}

void message_free(message* m) {
  for (size_t i = 0; i < m->n; i++) {
    bytes_free(&m->list[i].key);
    bytes_free(&m->list[i].value);
  }
  free(m->list);
  bytes_free(&m->body);
  bytes_free(&m->details);
  free(m);
}

static bool named(const field* f, view key) {
  return f->key.n == key.length && strncasecmp(f->key.p, key.ptr, key.length) == 0;
}

void message_add(message* m, view key, view value) {
  m->list = realloc(m->list, (m->n + 1) * sizeof *m->list);
  if (m->list == NULL) abort();
  field* f = &m->list[m->n++];
  *f = (field){0};
  bytes_add(&f->key, key.ptr, key.length);
  bytes_add(&f->value, value.ptr, value.length);
  for (size_t i = 0; i < f->key.n; i++)
    if (f->key.p[i] >= 'A' && f->key.p[i] <= 'Z') f->key.p[i] += 'a' - 'A';
}

void message_remove(message* m, view key) {
  size_t left = 0;
  for (size_t i = 0; i < m->n; i++) {
    if (named(&m->list[i], key)) {
      bytes_free(&m->list[i].key);
      bytes_free(&m->list[i].value);
    } else {
      m->list[left++] = m->list[i];
    }
  }
  m->n = left;
}

void message_set(message* m, view key, view value) {
  message_remove(m, key);
  message_add(m, key, value);
}

static bool has(const message* m, const char* name) {
  for (size_t i = 0; i < m->n; i++)
    if (named(&m->list[i], view_of(name, strlen(name)))) return true;
  return false;
}

// Has Envoy reply, and frees the message. The stream may be gone after.
static void send(request* r, message* m) {
  TYPE(module_http_header)* headers = calloc(m->n + 1, sizeof *headers);
  if (headers == NULL) abort();
  size_t n = 0;
  for (size_t i = 0; i < m->n; i++) {
    const field* f = &m->list[i];
    // Envoy makes these itself.
    if (f->key.p[0] == ':' || named(f, view_of("content-length", 14))) continue;
    headers[n++] = (TYPE(module_http_header)){
        .key_ptr = f->key.p, .key_length = f->key.n, .value_ptr = f->value.p ? f->value.p : "", .value_length = f->value.n};
  }
  ENVOY(http_send_response)
  (r->envoy, m->status, headers, n, view_of(m->body.p, m->body.n), view_of(m->details.p, m->details.n));
  free(headers);
  message_free(m);
}

static void take_status(message* m) {
  for (size_t i = 0; i < m->n; i++)
    if (named(&m->list[i], view_of(":status", 7))) {
      char text[8] = {0};
      memcpy(text, m->list[i].value.p, m->list[i].value.n < 7 ? m->list[i].value.n : 7);
      m->status = (uint32_t)atoi(text);
    }
}

void send_own(side* s) {
  message* m = s->own;
  s->own = NULL;
  s->headers = false;
  take_status(m);
  send(owner(s), m);
}

static void show(side* s, message* m) {
  char number[24];
  int n = snprintf(number, sizeof number, "%u", m->status);
  bytes body = m->body;
  m->body = (bytes){0};
  message_set(m, view_of(":status", 7), view_of(number, (size_t)n));
  if (body.n > 0) {
    n = snprintf(number, sizeof number, "%zu", body.n);
    message_set(m, view_of("content-length", 14), view_of(number, (size_t)n));
    if (!has(m, "content-type")) message_add(m, view_of("content-type", 12), view_of("text/plain", 10));
  }
  bool more = body.n > 0;
  s->own = m;
  bool done = do_headers(s, !more);
  if (more && !atomic_load(&owner(s)->destroying)) {
    done = do_data(s, &body, true);
    if (done) take_pieces(s, &m->body);
  }
  bytes_free(&body);
  if (done && state_of(s) == DONE) send_own(s);
}

void local_reply(side* s, message* m) {
  request* r = owner(s);
  take_pieces(s, NULL);
  bytes_free(&s->held);
  side* response = &r->encoding;
  if (response->own != NULL) {
    // The plugin replies in place of its own reply.
    message_free(response->own);
    response->own = NULL;
    send(r, m);
  } else if (ENVOY(http_get_headers_size)(r->envoy, TYPE(http_header_type_ResponseHeader)) > 0) {
    // The response has begun: Envoy replies past the filters, or resets.
    send(r, m);
  } else {
    show(response, m);
  }
}
