// The phases of one direction of a stream. Each function that has a name of
// contrib's processor state or filter does what that does, in its order.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

static bool ends(const side* s) { return s->end_stream || s->trailers; }

static void wrong_status(int phase, int status) {
  char text[80];
  snprintf(text, sizeof text, "status %d in phase %d has no meaning", status, phase);
  violation("a callback's result", text);
}

static void more_than_there_is(const side* s) {
  if (s->last) violation("a callback's result", "it wants more of what has ended");
}

static bool header_status(side* s, int status) {
  switch (status) {
    case LOCAL_REPLY:
    case RUNNING:
      return false;
    case CONTINUE:
      set_state(s, s->last ? DONE : WAITING_DATA);
      return true;
    case STOP_AND_BUFFER:
      more_than_there_is(s);
      set_state(s, WAITING_ALL_DATA);
      return false;
    case STOP_AND_BUFFER_WATERMARK:
      more_than_there_is(s);
      set_state(s, WAITING_DATA);
      return false;
  }
  wrong_status(PROCESSING_HEADER, status);
  return false;
}

static void forget_last_piece(side* s) {
  piece** at = &s->pieces;
  while ((*at)->next != NULL) at = &(*at)->next;
  bytes_free(&(*at)->data);
  free(*at);
  *at = NULL;
}

static bool data_status(side* s, int status) {
  bool done = false;
  switch (status) {
    case LOCAL_REPLY:
    case RUNNING:
      return false;
    case CONTINUE:
      set_state(s, s->last ? DONE : WAITING_DATA);
      done = true;
      break;
    case STOP_AND_BUFFER:
      more_than_there_is(s);
      set_state(s, WAITING_ALL_DATA);
      break;
    case STOP_NO_BUFFER:
      forget_last_piece(s);
      // fall through
    case STOP_AND_BUFFER_WATERMARK:
      more_than_there_is(s);
      set_state(s, WAITING_DATA);
      break;
    default:
      wrong_status(PROCESSING_DATA, status);
  }
  if (s->trailers && s->held.n == 0) set_state(s, WAITING_TRAILER);
  return done;
}

static bool trailer_status(side* s, int status) {
  switch (status) {
    case LOCAL_REPLY:
    case RUNNING:
      return false;
    case CONTINUE:
      set_state(s, DONE);
      return true;
  }
  wrong_status(PROCESSING_TRAILER, status);
  return false;
}

// What a callback has returned. A reply is announced by it, not made.
static bool returned(side* s, bool (*handle)(side*, int), uint64_t status) {
  if (atomic_load(&owner(s)->destroying)) return false;
  // Where Envoy has begun to answer by itself it is a way to say that nothing follows.
  bool answered = state_of(&owner(s)->encoding) != WAITING_HEADER && is_decoding(s);
  if (status == LOCAL_REPLY && !s->posted && !answered) violation("a callback's result", "it says that it replied, and did not");
  if (status != LOCAL_REPLY && status != RUNNING && s->posted)
    violation("a callback's result", "it goes on, and has said how to go on by a call as well");
  return handle(s, (int)status);
}

static bool headers_in_go(side* s) {
  request* r = owner(s);
  introduce(r);
  TYPE(envoy_http_header) * list;
  size_t n = fields(s, false, &list);
  s->posted = false;
  return returned(s, header_status, envoyGoFilterOnHttpHeader(&s->go, s->last, n, field_bytes(list, n)));
}

bool do_headers(side* s, bool end) {
  s->headers = true;
  s->end_stream = s->last = end;
  set_state(s, PROCESSING_HEADER);
  bool done = headers_in_go(s);
  if (done) s->headers = false;
  return done;
}

static atomic_uint_fast64_t pieces_made;

static piece* push(side* s, bytes* data) {
  piece* p = calloc(1, sizeof *p);
  if (p == NULL) abort();
  p->number = atomic_fetch_add(&pieces_made, 1) + 1;
  p->data = *data;
  *data = (bytes){0};
  piece** at = &s->pieces;
  while (*at != NULL) at = &(*at)->next;
  *at = p;
  return p;
}

void take_pieces(side* s, bytes* out) {
  while (s->pieces != NULL) {
    piece* p = s->pieces;
    s->pieces = p->next;
    if (out != NULL && out->n == 0) {
      bytes_free(out);
      *out = p->data;
    } else {
      if (out != NULL) bytes_add(out, p->data.p, p->data.n);
      bytes_free(&p->data);
    }
    free(p);
  }
}

static bool data_in_go(side* s, bytes* data, bool end) {
  set_state(s, PROCESSING_DATA);
  s->last = end;
  s->posted = false;
  piece* p = push(s, data);
  return returned(s, data_status, envoyGoFilterOnHttpData(&s->go, end, p->number, p->data.n));
}

// Envoy's own answer to what is too large to be held as a whole.
static void overflow(side* s) {
  if (is_decoding(s)) {
    message* m = new_message(413);
    bytes_add(&m->body, "Payload Too Large", 17);
    bytes_add(&m->details, "request_payload_too_large", 25);
    local_reply(s, m);
  } else {
    message* m = new_message(500);
    bytes_add(&m->body, "Internal Server Error", 21);
    bytes_add(&m->details, "response_payload_too_large", 26);
    local_reply(s, m);
  }
}

static void hold(side* s, bytes* data) {
  uint64_t limit = ENVOY(http_get_buffer_limit)(owner(s)->envoy);
  bool was_over = limit > 0 && s->held.n > limit;
  bytes_add(&s->held, data->p, data->n);
  bytes_free(data);
  if (limit > 0 && s->held.n > limit && !was_over && state_of(s) == WAITING_ALL_DATA) overflow(s);
}

bool do_data(side* s, bytes* data, bool end) {
  s->end_stream = end;
  bool done = false;
  switch (state_of(s)) {
    case WAITING_DATA:
      done = data_in_go(s, data, end);
      break;
    case WAITING_ALL_DATA:
      if (end) {
        if (s->held.n > 0) {
          hold(s, data);
          *data = s->held;
          s->held = (bytes){0};
        }
        if (state_of(s) == WAITING_ALL_DATA && !atomic_load(&owner(s)->destroying)) done = data_in_go(s, data, end);
        break;
      }
      hold(s, data);
      break;
    case PROCESSING_HEADER:
    case PROCESSING_DATA:
      hold(s, data);
      break;
    default:
      break;  // Go has nothing to do with it any more: replied
  }
  bytes_free(data);
  return done;
}

// Hands Envoy what Go has let go of. It leaves when Envoy is told to go on.
static void pass_pieces(side* s) {
  if (!s->end_stream && s->pieces == NULL) return;
  bytes all = {0};
  take_pieces(s, &all);
  s->to_go_on = true;
  if (s->own != NULL) {
    bytes_add(&s->own->body, all.p, all.n);
  } else if (all.n > 0) {
    ENVOY(http_append_body)
    (owner(s)->envoy, is_decoding(s) ? TYPE(http_body_type_BufferedRequestBody) : TYPE(http_body_type_BufferedResponseBody),
     view_of(all.p, all.n));
  }
  bytes_free(&all);
}

void go_on(side* s) {
  request* r = owner(s);
  if (!s->to_go_on || in_go(s) || atomic_load(&r->destroying)) return;
  s->to_go_on = false;
  if (s->own != NULL) {
    if (state_of(s) == DONE) send_own(s);
  } else if (is_decoding(s)) {
    ENVOY(http_filter_continue_decoding)(r->envoy);
  } else {
    ENVOY(http_filter_continue_encoding)(r->envoy);
  }
}

static bool trailers_in_go(side* s) {
  set_state(s, PROCESSING_TRAILER);
  s->last = true;
  s->posted = false;
  TYPE(envoy_http_header) * list;
  size_t n = fields(s, true, &list);
  return returned(s, trailer_status, envoyGoFilterOnHttpHeader(&s->go, 1, n, field_bytes(list, n)));
}

bool do_trailers(side* s) {
  s->trailers = true;
  switch (state_of(s)) {
    case WAITING_TRAILER:
    case WAITING_DATA:
      return trailers_in_go(s);
    case WAITING_ALL_DATA:
      if (s->held.n > 0) {
        data_in_go(s, &s->held, false);
        if (state_of(s) != WAITING_TRAILER) return false;
      }
      pass_pieces(s);
      return trailers_in_go(s);
  }
  return false;
}

void continue_status(side* s, int status) {
  request* r = owner(s);
  int phase = state_of(s);
  bool done = false;
  switch (phase) {
    case PROCESSING_HEADER:
      done = header_status(s, status);
      break;
    case PROCESSING_DATA:
      done = data_status(s, status);
      break;
    case PROCESSING_TRAILER:
      done = trailer_status(s, status);
      break;
    default:
      violation("envoyGoFilterHttpContinue", "the callback has returned a status that goes on, or goes on twice");
  }
  if (done) {
    if (phase != PROCESSING_HEADER) pass_pieces(s);
    // What has ended meanwhile ends for the filters behind with its data.
    if (phase == PROCESSING_TRAILER || (phase == PROCESSING_HEADER && (s->last || !ends(s)))) s->to_go_on = true;
  }
  int state = state_of(s);
  if ((state == WAITING_DATA && (s->held.n > 0 || s->end_stream)) || (state == WAITING_ALL_DATA && ends(s))) {
    if (data_in_go(s, &s->held, s->end_stream)) {
      pass_pieces(s);
    } else {
      go_on(s);
      return;
    }
  }
  if (state_of(s) == WAITING_TRAILER && s->trailers && trailers_in_go(s)) s->to_go_on = true;
  if (!atomic_load(&r->destroying)) go_on(s);
}
