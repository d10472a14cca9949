#include "filter.h"

#include <stdlib.h>

#include "_cgo_export.h"

static __thread uint64_t spent[SPENT];
static __thread size_t spent_count;

void spend(mcp_filter* f) {
  if (spent_count == SPENT) {
    mcpClose(spent, spent_count);
    spent_count = 0;
  }
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

static void count(mcp_filter* f, envoy_bytes reason, envoy_bytes server) {
  envoy_bytes values[MCP_COUNTERS] = {reason, server.length ? server : bytes("-", 1)};
  CALLBACK(http_filter_increment_counter)(f->envoy, f->config->answers, values, MCP_COUNTERS, 1);
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
    }
  }
}

static void reply(mcp_filter* f, const mcp_out* out) {
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
    } else if (r.kind == MCP_COUNT) {
      reason = key;
      count(f, key, value);
    }
  }
  f->replied = true;
  CALLBACK(http_send_response)(f->envoy, out->status, headers, n, body, reason);
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

static void finish(mcp_filter* f, int verdict, mcp_out* out) {
  if (verdict & MCP_REVALIDATE) {
    CALLBACK(http_filter_config_scheduler_commit)(f->config->scheduler, 1);
  }
  if (verdict & MCP_PLAIN) f->plain = true;
  if (verdict & MCP_PLAIN_JSON) f->plain_json = true;
  if ((verdict & MCP_DONE) && f->handle != 0) spend(f);
  free(out->large);
}

// Makes room for a body that is held back, so that our own limit is the one
// that is met and not Envoy's, whose answers are not in the protocol's form.
static void raise_limit(mcp_filter* f, uint64_t limit) {
  uint64_t have = CALLBACK(http_get_buffer_limit)(f->envoy);
  if (have != 0 && have < limit + SLACK) CALLBACK(http_set_buffer_limit)(f->envoy, limit + SLACK);
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
        reply(f, out);
        finish(f, verdict, out);
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
    if (f->replaying) return HOLD;
    out_init(out, room);
    verdict = mcpReplayed(f->handle, NULL, 0, NULL, 0, out);
  }
  switch (verdict & MCP_ACTION_MASK) {
    case MCP_REPLY:
      reply(f, out);
      finish(f, verdict, out);
      return ENDED;
    case MCP_NEED_BODY: {
      finish(f, verdict, out);
      f->need_response = true;
      raise_limit(f, f->config->response_limit);
      return HOLD;
    }
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
          rewrite(f->envoy, BUFFERED_RESPONSE, RECEIVED_RESPONSE, both, &body, 1);
        }
      }
      finish(f, verdict, out);
      return GO_ON;
    }
  }
}
