// Protocol buffers, as much as the configuration and metadata of a filter need.
#pragma once

#include "host.h"

#pragma GCC visibility push(hidden)

// One field of a message. The number of a varint or a fixed64 is in number, what
// has a length is in bytes.
typedef struct {
  uint32_t field, type;
  uint64_t number;
  view bytes;
} wire_field;

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

// Walks the fields of a message: takes the next one from the front. False at the
// end and for what is no message; then message->length is 0 only at the end.
bool wire_next(view* message, wire_field* f);

void wire_add_bytes(bytes* out, uint32_t field, view value);
void wire_add_varint(bytes* out, uint32_t field, uint64_t value);
void wire_add_fixed64(bytes* out, uint32_t field, uint64_t value);

#pragma GCC visibility pop
