#include "body.h"

#include <stdlib.h>
#include <string.h>

static __thread char* scratch;
static __thread size_t scratch_size;

static char* room_for(size_t length) {
  if (length > scratch_size) {
    free(scratch);
    scratch_size = length + length / 2;
    scratch = malloc(scratch_size);
  }
  return scratch;
}

whole join_chunks(const envoy_bytes* list, size_t n) {
  whole w = {.ptr = ""};
  size_t filled = 0;
  const envoy_bytes* only = NULL;
  for (size_t i = 0; i < n; i++) {
    w.length += list[i].length;
    if (list[i].length > 0) {
      if (filled++ == 0) {
        w.head = list[i].ptr;
        w.head_length = list[i].length;
      }
      only = &list[i];
    }
  }
  if (filled == 0) return w;
  if (filled == 1) {
    w.ptr = only->ptr;
    return w;
  }
  char* p = room_for(w.length);
  for (size_t i = 0; i < n; i++) {
    memcpy(p, list[i].ptr, list[i].length);
    p += list[i].length;
  }
  w.ptr = scratch;
  return w;
}

whole gather(void* envoy, envoy_enum one, envoy_enum other, bool both) {
  size_t first = CALLBACK(http_get_body_chunks_size)(envoy, one);
  size_t more = both ? CALLBACK(http_get_body_chunks_size)(envoy, other) : 0;
  envoy_bytes small[64];
  envoy_bytes* list = first + more <= 64 ? small : malloc((first + more) * sizeof *list);
  if (first > 0) CALLBACK(http_get_body_chunks)(envoy, one, list);
  if (more > 0) CALLBACK(http_get_body_chunks)(envoy, other, list + first);
  whole w = join_chunks(list, first + more);
  w.head_first = first > 0;
  if (list != small) free(list);
  return w;
}

enum { SHORT = 4096 };

// Looks for the rare byte of a word in a short answer, for which memmem takes longer
// to begin than to search.
static bool has_word(const whole* w, const mcp_word* word) {
  if (w->length < word->length) return false;
  if (w->length > SHORT) return memmem(w->ptr, w->length, word->text, word->length) != NULL;
  const char *at = w->ptr + word->rare, *end = w->ptr + w->length - word->length + word->rare + 1;
  while ((at = memchr(at, word->text[word->rare], (size_t)(end - at))) != NULL) {
    if (memcmp(at - word->rare, word->text, word->length) == 0) return true;
    if (++at == end) return false;
  }
  return false;
}

bool contains(const whole* w, const mcp_word words[MCP_WORDS], uint32_t set) {
  for (int i = 0; i < MCP_WORDS; i++) {
    if (set & (1u << i) && has_word(w, &words[i])) return true;
  }
  return false;
}

void replace_bytes(void* envoy, const whole* w, bool both, size_t start, size_t end, envoy_bytes with) {
  if (with.length <= end - start && end <= w->head_length) {
    // The memory is this request's alone and Envoy reads it only after the
    // filter: to write there spares a copy of the whole body.
    char* head = (char*)w->head;
    size_t free_bytes = end - start - with.length;
    memmove(head + free_bytes, head, start);
    memcpy(head + free_bytes + start, with.ptr, with.length);
    if (free_bytes > 0) {
      CALLBACK(http_drain_body)
      (envoy, w->head_first ? BUFFERED_REQUEST : RECEIVED_REQUEST, free_bytes);
    }
    return;
  }
  const char* all = w->ptr;
  if (!both && all != scratch) {
    // It is drained before it is written again, see rewrite.
    all = memcpy(room_for(w->length), all, w->length);
  }
  envoy_bytes parts[3] = {bytes(all, start), with, bytes(all + end, w->length - end)};
  rewrite(envoy, BUFFERED_REQUEST, RECEIVED_REQUEST, both, parts, 3);
}

void rewrite(void* envoy, envoy_enum buffered, envoy_enum received, bool both,
                    const envoy_bytes* parts, int n) {
  envoy_enum target = both ? received : buffered;
  size_t old = CALLBACK(http_get_body_size)(envoy, target);
  if (!both && old > 0) {
    // Old and new together may be over the limit of what is buffered: Envoy would
    // answer 413 from within and destroy the stream.
    CALLBACK(http_drain_body)(envoy, target, old);
    old = 0;
  }
  for (int i = 0; i < n; i++) {
    if (parts[i].length > 0) CALLBACK(http_append_body)(envoy, target, parts[i]);
  }
  if (old > 0) CALLBACK(http_drain_body)(envoy, target, old);
  if (both) {
    size_t before = CALLBACK(http_get_body_size)(envoy, buffered);
    if (before > 0) CALLBACK(http_drain_body)(envoy, buffered, before);
  }
}
