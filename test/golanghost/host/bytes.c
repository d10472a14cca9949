#include <stdlib.h>
#include <string.h>

#include "host.h"

view view_of(const void* p, size_t n) {
  view v = {.ptr = p, .length = n};
  return v;
}

static void reserve(bytes* b, size_t n) {
  if (b->n + n <= b->room) return;
  b->room = (b->n + n) * 3 / 2 + 64;
  b->p = realloc(b->p, b->room);
  if (b->p == NULL) abort();
}

void bytes_add(bytes* b, const void* p, size_t n) {
  reserve(b, n);
  if (n > 0) memcpy(b->p + b->n, p, n);
  b->n += n;
}

void bytes_prepend(bytes* b, const void* p, size_t n) {
  reserve(b, n);
  memmove(b->p + n, b->p, b->n);
  if (n > 0) memcpy(b->p, p, n);
  b->n += n;
}

void bytes_drain(bytes* b, size_t n) {
  if (n >= b->n) {
    b->n = 0;
    return;
  }
  memmove(b->p, b->p + n, b->n - n);
  b->n -= n;
}

void bytes_free(bytes* b) {
  free(b->p);
  memset(b, 0, sizeof *b);
}
