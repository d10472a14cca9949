// What a plugin calls to go on, to reply and to read and change a body.
#include <string.h>

#include "check.h"

// In the posted task contrib grows the state first, so that what comes later of
// the request is not the plugin's.
static void reply_now(task* t) {
  side* s = t->side;
  message* m = t->message;
  t->message = NULL;
  if (is_decoding(s)) set_state(s, WAITING_HEADER);
  local_reply(s, m);
}

static void continue_now(task* t) { continue_status(t->side, t->number); }

static void once(const char* call, side* s) {
  if (__atomic_exchange_n(&s->posted, true, __ATOMIC_ACQ_REL))
    violation(call, "the plugin has gone on or replied already");
}

CAPIStatus envoyGoFilterHttpContinue(void* state, int status) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus live = check_live(r);
  if (live == CAPIOK) {
    once(__func__, s);
    task* t = new_task(r, s, continue_now);
    t->number = status;
    post(t);
  }
  release(r);
  return live;
}

static CAPIStatus reply(const char* call, side* s, message* m) {
  request* r = owner(s);
  CAPIStatus live = check_live(r);
  if (live == CAPIOK) {
    once(call, s);
    task* t = new_task(r, s, reply_now);
    t->message = m;
    post(t);
  } else {
    message_free(m);
  }
  release(r);
  return live;
}

CAPIStatus envoyGoFilterHttpSendLocalReply(void* state, int code, void* body, int body_length, void* headers,
                                           int strings, long long int grpc_status, void* details, int details_length) {
  side* s = check_side(__func__, state);
  if (code < 200 || code > 599) violation(__func__, "a status that no response has");
  message* m = new_message((uint32_t)code);
  const go_string* list = headers;
  for (int i = 0; i + 1 < strings; i += 2) {
    view key = view_of(list[i].p, (size_t)list[i].n), value = view_of(list[i + 1].p, (size_t)list[i + 1].n);
    check_field(__func__, key, value);
    if (value.length > 0) message_add(m, key, value);
  }
  bytes_add(&m->body, body, (size_t)body_length);
  bytes_add(&m->details, details, (size_t)details_length);
  return reply(__func__, s, m);
}

CAPIStatus envoyGoFilterHttpSendPanicReply(void* state, void* details, int details_length) {
  side* s = check_side(__func__, state);
  envoyGoFilterLog(TYPE(log_level_Error), details, details_length);
  count_panic();
  message* m = new_message(500);
  bytes_add(&m->body, "error happened in filter\r\n", 26);
  return reply(__func__, s, m);
}

static void append(side* s, view data) {
  if (s->own != NULL) {
    bytes_add(&s->own->body, data.ptr, data.length);
    return;
  }
  ENVOY(http_append_body)
  (owner(s)->envoy, is_decoding(s) ? TYPE(http_body_type_BufferedRequestBody) : TYPE(http_body_type_BufferedResponseBody),
   data);
}

static void add_now(task* t) { append(t->side, view_of(t->a.p, t->a.n)); }

static void inject_now(task* t) {
  add_now(t);
  t->side->to_go_on = true;
  go_on(t->side);
}

CAPIStatus envoyGoFilterHttpAddData(void* state, void* data, int length, bool streaming) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (state_of(s) == PROCESSING_DATA) violation(__func__, "data is added to what is at hand by its buffer");
    if (on_worker(r)) {
      append(s, view_of(data, (size_t)length));
    } else {
      task* t = new_task(r, s, add_now);
      bytes_add(&t->a, data, (size_t)length);
      post(t);
      status = CAPIYield;
    }
  }
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpInjectData(void* state, void* data, int length) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    if (state_of(s) != PROCESSING_DATA) violation(__func__, "data is injected while there is some at hand");
    if (on_worker(r)) violation(__func__, "data is injected from a goroutine");
    task* t = new_task(r, s, inject_now);
    bytes_add(&t->a, data, (size_t)length);
    post(t);
  }
  release(r);
  return status;
}

// The piece of that number, if Go still has it.
static piece* find_piece(const char* call, side* s, uint64_t number) {
  for (piece* p = s->pieces; p != NULL; p = p->next)
    if (p->number == number) return p;
  violation(call, "the buffer has been passed on");
}

CAPIStatus envoyGoFilterHttpGetBuffer(void* state, uint64_t buffer, void* out) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    const piece* p = find_piece(__func__, s, buffer);
    if (p->data.n > 0) memcpy(out, p->data.p, p->data.n);
  }
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpDrainBuffer(void* state, uint64_t buffer, uint64_t length) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    bytes_drain(&find_piece(__func__, s, buffer)->data, length);
  }
  release(r);
  return status;
}

CAPIStatus envoyGoFilterHttpSetBufferHelper(void* state, uint64_t buffer, void* data, int length, bufferAction action) {
  side* s = check_side(__func__, state);
  request* r = owner(s);
  CAPIStatus status = check_live(r);
  if (status == CAPIOK) {
    piece* p = find_piece(__func__, s, buffer);
    if (action == Prepend) {
      bytes_prepend(&p->data, data, (size_t)length);
    } else {
      if (action == Set) bytes_drain(&p->data, p->data.n);
      bytes_add(&p->data, data, (size_t)length);
    }
  }
  release(r);
  return status;
}
