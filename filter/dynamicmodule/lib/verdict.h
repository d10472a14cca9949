// Reading a verdict of the core, and small things that every file here needs.
#pragma once

#include <string.h>

#include "glue.h"

enum {
  OUT_ROOM = 2048,  // of a verdict on the stack; larger ones are allocated
  MAX_EDITS = 64,   // header edits of one verdict
};

static inline envoy_bytes bytes(const char* ptr, size_t length) {
  envoy_bytes b = {ptr, length};
  return b;
}

static inline void out_init(mcp_out* out, char* room) {
  memset(out, 0, sizeof *out);
  out->data = room;
  out->room = OUT_ROOM;
}

static inline const char* out_bytes(const mcp_out* out) { return out->large ? out->large : out->data; }

// Walks the records of a verdict. Start with *at = 0.
static inline bool next_record(const mcp_out* out, size_t* at, mcp_record* r, envoy_bytes* key,
                        envoy_bytes* value) {
  if (*at + sizeof *r > out->length) return false;
  const char* p = out_bytes(out) + *at;
  memcpy(r, p, sizeof *r);
  *key = bytes(p + sizeof *r, r->key_length);
  *value = bytes(p + sizeof *r + r->key_length, r->value_length);
  *at += sizeof *r + r->key_length + r->value_length;
  return true;
}

// The headers and the body of a question, from its records.
static inline size_t question(const mcp_out* out, envoy_header* headers, envoy_bytes* body) {
  size_t n = 0;
  envoy_bytes key, value;
  mcp_record r;
  *body = bytes(NULL, 0);
  for (size_t at = 0; next_record(out, &at, &r, &key, &value);) {
    if (r.kind == MCP_SET && n < MAX_EDITS) {
      headers[n++] = (envoy_header){key.ptr, key.length, value.ptr, value.length};
    } else if (r.kind == MCP_BODY) {
      *body = value;
    }
  }
  return n;
}

// The status of an answer to a question; 0 without one.
static inline uint32_t status_of(const envoy_header* headers, size_t n) {
  uint32_t status = 0;
  for (size_t i = 0; i < n; i++) {
    if (headers[i].key_length != 7 || memcmp(headers[i].key, ":status", 7) != 0) continue;
    for (size_t j = 0; j < headers[i].value_length; j++)
      status = status * 10 + (uint32_t)(headers[i].value[j] - '0');
  }
  return status;
}
