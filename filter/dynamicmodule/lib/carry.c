#include "filter.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

static __thread uint64_t spent[SPENT];
static __thread size_t spent_count;
static __thread size_t filters;  // on this thread

// The streams that Go holds have changed by n.
static void count_streams(const mcp_filter* f, int64_t n) {
  if (n > 0)
    CALLBACK(http_filter_increment_gauge)(f->envoy, f->config->streams, NULL, 0, (uint64_t)n);
  if (n < 0)
    CALLBACK(http_filter_decrement_gauge)(f->envoy, f->config->streams, NULL, 0, (uint64_t)-n);
}

static void close_spent(mcp_filter* f) {
  if (spent_count == 0) return;
  mcpClose(spent, spent_count);
  count_streams(f, -(int64_t)spent_count);
  spent_count = 0;
}

void spend(mcp_filter* f) {
  if (spent_count == SPENT) close_spent(f);
  spent[spent_count++] = f->handle;
  f->handle = 0;
}

// The list is good until the next call of spend on this thread.
size_t take_spent(const uint64_t** list) {
  size_t n = spent_count;
  *list = spent;
  spent_count = 0;
  return n;
}

void entered(const mcp_filter* f, size_t closed) {
  count_streams(f, (f->handle != 0) - (int64_t)closed);
}

void filter_opened(void) { filters++; }

void filter_closed(mcp_filter* f) {
  if (f->handle != 0) spend(f);
  // The last one: there may be no next entry into Go for long.
  if (--filters == 0) close_spent(f);
}

static void count(mcp_filter* f, envoy_bytes reason, envoy_bytes server) {
  envoy_bytes values[MCP_COUNTERS] = {reason, server.length ? server : bytes("-", 1)};
  CALLBACK(http_filter_increment_counter)(f->envoy, f->config->answers, values, MCP_COUNTERS, 1);
}

static void recovered(mcp_filter* f, envoy_bytes phase) {
  CALLBACK(http_filter_increment_counter)(f->envoy, f->config->panics, &phase, 1, 1);
}

static void note(mcp_filter* f, envoy_bytes key, envoy_bytes value) {
  CALLBACK(http_set_dynamic_metadata_string)(f->envoy, bytes("mcp", 3), key, value);
}

// Applies header edits, notes and counters; returns the cut and the body.
static void apply(mcp_filter* f, const mcp_out* out, envoy_enum which, mcp_record* cut,
                  uint32_t range[2], envoy_bytes* with, envoy_bytes* body) {
  mcp_record r;
  envoy_bytes key, value;
  cut->kind = 0;
  *body = bytes(NULL, 0);
  for (size_t at = 0; next_record(out, &at, &r, &key, &value);) {
    switch (r.kind) {
      case MCP_SET:
        CALLBACK(http_set_header)(f->envoy, which, key, value);
        break;
      case MCP_REMOVE:
        CALLBACK(http_set_header)(f->envoy, which, key, bytes(NULL, 0));
        break;
      case MCP_SPLICE:
        *cut = r;
        memcpy(range, key.ptr, 2 * sizeof(uint32_t));
        *with = value;
        break;
      case MCP_BODY:
        *body = value;
        break;
      case MCP_NOTE:
        note(f, key, value);
        break;
      case MCP_COUNT:
        count(f, key, value);
        break;
      case MCP_PANIC:
        recovered(f, key);
        break;
    }
  }
}

// Makes room for a body that is held back, so that our own limit is the one
// that is met and not Envoy's, whose answers are not in the protocol's form.
static void raise_limit(mcp_filter* f, uint64_t limit) {
  uint64_t have = CALLBACK(http_get_buffer_limit)(f->envoy);
  if (have != 0 && have < limit + SLACK) CALLBACK(http_set_buffer_limit)(f->envoy, limit + SLACK);
}

void hold_response(mcp_filter* f, uint64_t limit) {
  f->need_response = f->held = true;
  raise_limit(f, limit);
}

void release_response(mcp_filter* f) { f->held = false; }

// Where a response is held back and its server goes away, Envoy answers by itself
// and lets no filter change that. What it is to say is put into the stream's
// metadata: the listener's local replies are made of it.
void broken_off(mcp_filter* f) {
  if (!f->held || f->handle == 0) return;
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  mcpPending(f->handle, &out);
  if (out.length == 0) return;
  f->held = f->replaying = f->searching = false;
  f->replied = true;
  mcp_record r;
  envoy_bytes key, value;
  for (size_t at = 0; next_record(&out, &at, &r, &key, &value);) {
    if (r.kind == MCP_BODY) note(f, bytes("held", 4), value);
    if (r.kind == MCP_COUNT) count(f, key, value);
  }
  free(out.large);
}

static bool ask(mcp_filter* f, const mcp_out* out) {
  envoy_header headers[MAX_EDITS];
  envoy_bytes body;
  size_t n = question(out, headers, &body);
  uint64_t id;
  return CALLBACK(http_filter_http_callout)(
             f->envoy, &id, bytes(f->config->cluster, f->config->cluster_length), headers, n, body,
             out->timeout_ms ? out->timeout_ms : f->config->ask_timeout_ms) == CALLOUT_SUCCESS;
}

// Tells what the module uses, and of panics that no stream has counted.
static void tell_stats(mcp_filter* f) {
  mcp_stats stats = {0};
  char room[OUT_ROOM];
  mcp_out out;
  out_init(&out, room);
  mcpStats(f->config->handle, &stats, &out);
  CALLBACK(http_filter_set_gauge)(f->envoy, f->config->heap, NULL, 0, stats.heap);
  CALLBACK(http_filter_set_gauge)(f->envoy, f->config->sessions, NULL, 0, stats.sessions);
  CALLBACK(http_filter_set_gauge)(f->envoy, f->config->configs, NULL, 0, stats.configs);
  mcp_record r;
  envoy_bytes key, value;
  for (size_t at = 0; next_record(&out, &at, &r, &key, &value);) {
    if (r.kind == MCP_PANIC) recovered(f, key);
  }
  free(out.large);
}

// Has the main thread ask the broker for a newer table, on behalf of a stream that
// does not wait for it.
static void revalidate(mcp_filter* f, const mcp_out* out) {
  mcp_record r;
  envoy_bytes key, value;
  for (size_t at = 0; next_record(out, &at, &r, &key, &value);) {
    if (r.kind != MCP_TABLE) continue;
    mcp_question* q = malloc(sizeof *q + value.length);
    memcpy(&q->mark, key.ptr, sizeof q->mark);
    memcpy(q->records, value.ptr, value.length);
    q->length = value.length;
    free(__atomic_exchange_n(&f->config->question, q, __ATOMIC_ACQ_REL));
    CALLBACK(http_filter_config_scheduler_commit)(f->config->scheduler, 1);
  }
  tell_stats(f);
}

// What is to be done whatever the action is.
static void settle(mcp_filter* f, int verdict, const mcp_out* out) {
  if (verdict & MCP_REVALIDATE) revalidate(f, out);
  if (verdict & MCP_PLAIN) f->plain = true;
  if (verdict & MCP_PLAIN_JSON) f->plain_json = true;
  f->unless |= (uint32_t)verdict >> MCP_UNLESS_SHIFT;
  if ((verdict & MCP_DONE) && f->handle != 0) spend(f);
}

static void finish(mcp_filter* f, int verdict, mcp_out* out) {
  settle(f, verdict, out);
  free(out->large);
}

// Ends the stream. Envoy may destroy the filter, f, before the call that sends
// the reply returns: that comes last.
static void reply(mcp_filter* f, int verdict, mcp_out* out) {
  envoy_header headers[MAX_EDITS];
  size_t n = 0;
  envoy_bytes key, value, body = bytes(NULL, 0), reason = bytes("mcp", 3);
  mcp_record r;
  for (size_t at = 0; next_record(out, &at, &r, &key, &value);) {
    if (r.kind == MCP_SET && n < MAX_EDITS) {
      headers[n++] = (envoy_header){key.ptr, key.length, value.ptr, value.length};
    } else if (r.kind == MCP_BODY) {
      body = value;
    } else if (r.kind == MCP_NOTE) {
      note(f, key, value);
    } else if (r.kind == MCP_PANIC) {
      recovered(f, key);
    } else if (r.kind == MCP_COUNT) {
      reason = key;
      count(f, key, value);
    }
  }
  f->replied = true;
  settle(f, verdict, out);
  release_response(f);
  CALLBACK(http_send_response)(f->envoy, out->status, headers, n, body, reason);
  free(out->large);
}

void hold_request(mcp_filter* f) {
  f->need_request = true;
  raise_limit(f, f->config->body_limit);
}

enum outcome request_verdict(mcp_filter* f, int verdict, mcp_out* out, whole* w, bool both) {
  char room[OUT_ROOM];
  for (;;) {
    switch (verdict & MCP_ACTION_MASK) {
      case MCP_REPLY:
        reply(f, verdict, out);
        return ENDED;
      case MCP_NEED_BODY:
        finish(f, verdict, out);
        hold_request(f);
        return HOLD;
      case MCP_ASK: {
        bool sent = ask(f, out);
        finish(f, verdict, out);
        if (sent) {
          f->asking = true;
          return HOLD;
        }
        out_init(out, room);
        verdict = mcpAnswer(f->handle, 0, NULL, 0, now(), out);
        continue;
      }
      default: {
        mcp_record cut;
        uint32_t range[2];
        envoy_bytes with, ignored;
        apply(f, out, REQUEST_HEADERS, &cut, range, &with, &ignored);
        if (cut.kind == MCP_SPLICE && w != NULL) {
          raise_limit(f, w->length + with.length);
          replace_bytes(f->envoy, w, both, range[0], range[1], with);
        }
        if (verdict & MCP_REROUTE) CALLBACK(http_clear_route_cache)(f->envoy);
        finish(f, verdict, out);
        return GO_ON;
      }
    }
  }
}

enum outcome response_verdict(mcp_filter* f, int verdict, mcp_out* out, bool streaming,
                                     bool both) {
  char room[OUT_ROOM];
  if ((verdict & MCP_ACTION_MASK) == MCP_ASK) {
    f->replaying = ask(f, out);
    finish(f, verdict, out);
    if (f->replaying) {
      f->held = true;
      return HOLD;
    }
    out_init(out, room);
    verdict = mcpReplayed(f->handle, NULL, 0, NULL, 0, out);
  }
  switch (verdict & MCP_ACTION_MASK) {
    case MCP_REPLY:
      reply(f, verdict, out);
      return ENDED;
    case MCP_NEED_BODY:
      finish(f, verdict, out);
      hold_response(f, f->config->response_limit);
      return HOLD;
    default: {
      mcp_record cut;
      uint32_t range[2];
      envoy_bytes with, body;
      apply(f, out, RESPONSE_HEADERS, &cut, range, &with, &body);
      if (verdict & MCP_REPLACE) {
        if (streaming) {
          size_t old = CALLBACK(http_get_body_size)(f->envoy, RECEIVED_RESPONSE);
          if (body.length > 0) CALLBACK(http_append_body)(f->envoy, RECEIVED_RESPONSE, body);
          if (old > 0) CALLBACK(http_drain_body)(f->envoy, RECEIVED_RESPONSE, old);
        } else {
          raise_limit(f, body.length);  // over it Envoy destroys the stream from within
          rewrite(f->envoy, BUFFERED_RESPONSE, RECEIVED_RESPONSE, both, &body, 1);
        }
      }
      finish(f, verdict, out);
      return GO_ON;
    }
  }
}
