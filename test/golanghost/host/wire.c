#include "wire.h"

#include <string.h>

static bool varint(view* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && in->length > 0; shift += 7) {
    unsigned char c = (unsigned char)*in->ptr++;
    in->length--;
    *value |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return true;
  }
  return false;
}

static bool fixed(view* in, size_t n, uint64_t* value) {
  if (in->length < n) return false;
  *value = 0;
  memcpy(value, in->ptr, n);
  in->ptr += n;
  in->length -= n;
  return true;
}

bool wire_next(view* m, wire_field* f) {
  view in = *m;
  uint64_t key;
  if (in.length == 0 || !varint(&in, &key)) return false;
  *f = (wire_field){.field = (uint32_t)(key >> 3), .type = key & 7};
  bool ok = false;
  switch (f->type) {
    case WIRE_VARINT:
      ok = varint(&in, &f->number);
      break;
    case WIRE_FIXED64:
      ok = fixed(&in, 8, &f->number);
      break;
    case WIRE_FIXED32:
      ok = fixed(&in, 4, &f->number);
      break;
    case WIRE_BYTES:
      ok = varint(&in, &f->number) && f->number <= in.length;
      if (ok) {
        f->bytes = view_of(in.ptr, f->number);
        in.ptr += f->number;
        in.length -= f->number;
      }
  }
  if (ok) *m = in;
  return ok;
}

static void add_varint(bytes* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) bytes_add(out, &(char){(char)(v | 0x80)}, 1);
  bytes_add(out, &(char){(char)v}, 1);
}

void wire_add_bytes(bytes* out, uint32_t field, view value) {
  add_varint(out, (uint64_t)field << 3 | WIRE_BYTES);
  add_varint(out, value.length);
  bytes_add(out, value.ptr, value.length);
}

void wire_add_varint(bytes* out, uint32_t field, uint64_t value) {
  add_varint(out, (uint64_t)field << 3 | WIRE_VARINT);
  add_varint(out, value);
}

void wire_add_fixed64(bytes* out, uint32_t field, uint64_t value) {
  add_varint(out, (uint64_t)field << 3 | WIRE_FIXED64);
  bytes_add(out, &value, 8);
}
