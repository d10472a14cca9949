#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void violation(const char* call, const char* what) {
  char text[400];
  int n = snprintf(text, sizeof text, "golanghost: violation: %s: %s", call, what);
  fprintf(stderr, "%s\n", text);
  fflush(stderr);
  ENVOY(log)(TYPE(log_level_Critical), view_of(text, (size_t)n));
  abort();
}

request* check_request(const char* call, void* p) {
  request* r = p;
  if (r == NULL || r->alive != REQUEST_ALIVE) violation(call, "no such request: it was finalized");
  if (atomic_load(&r->destroyed)) violation(call, "the stream is destroyed, as OnDestroy has told");
  if (r->go.configId == 0) violation(call, "the plugin does not know this request");
  if (!in_go(&r->decoding) && !in_go(&r->encoding) && !atomic_load(&r->destroying))
    violation(call, "nothing of the stream is in the plugin's hands");
  keep(r);
  return r;
}

side* check_side(const char* call, void* p) {
  side* s = p;
  if (s == NULL) violation(call, "no side of a stream");
  request* r = check_request(call, owner(s));
  if (s != &r->decoding && s != &r->encoding) violation(call, "not a side of the stream");
  if (!in_go(s) && !atomic_load(&r->destroying)) violation(call, "this side of the stream is not in the plugin's hands");
  return s;
}

CAPIStatus check_live(request* r) { return atomic_load(&r->destroying) ? CAPIFilterIsDestroy : CAPIOK; }

void check_field(const char* call, view key, view value) {
  if (key.length == 0) violation(call, "a header without a name");
  for (size_t i = 0; i < key.length; i++) {
    unsigned char c = (unsigned char)key.ptr[i];
    if (!isalnum(c) && !(c == ':' && i == 0) && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
      violation(call, "a character in a header's name that HTTP does not have there");
  }
  for (size_t i = 0; i < value.length; i++) {
    char c = value.ptr[i];
    if (c == 0 || c == '\r' || c == '\n') violation(call, "a line break or NUL in a header's value");
  }
}
