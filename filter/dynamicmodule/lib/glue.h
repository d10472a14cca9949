// Between Envoy's callbacks and the Go core: the verdicts that Go writes and C
// carries out. Go writes only into memory that C owns, and C passes only
// memory that Envoy or C owns, so no pointer of Go ever reaches C.
#pragma once

#include "envoy.h"

// A verdict of the core (filter.Action) with flags.
enum {
  MCP_PASS = 0,
  MCP_NEED_BODY = 1,
  MCP_REPLY = 2,
  MCP_ASK = 3,
  MCP_ACTION_MASK = 0xff,
  MCP_REROUTE = 1 << 8,
  MCP_REPLACE = 1 << 9,
  MCP_REVALIDATE = 1 << 10,
  MCP_DONE = 1 << 11,
  MCP_PLAIN = 1 << 12,
  MCP_PLAIN_JSON = 1 << 13,
  // From here: the words that an answer of JSON has none of if it is plain.
  MCP_UNLESS_SHIFT = 16,
};

// Where Go writes the records of a verdict: data if they fit into room bytes,
// else large, which C frees.
typedef struct {
  char* data;
  size_t room;
  char* large;
  size_t length;
  uint32_t status;
  uint32_t timeout_ms;  // of a question, if not the configured one
} mcp_out;

// A record: this head, then key and value without padding.
typedef struct {
  uint32_t kind;
  uint32_t key_length;
  uint32_t value_length;
} mcp_record;

enum {
  MCP_SET = 1,     // header, of the message at hand, the reply or the question
  MCP_REMOVE = 2,  // header
  MCP_SPLICE = 3,  // key: start and end as uint32; value: the new bytes
  MCP_BODY = 4,    // value: new body, or body of the reply or the question
  MCP_NOTE = 5,    // dynamic metadata
  MCP_COUNT = 6,   // key: reason; value: server
  MCP_PANIC = 7,   // key: the phase in which one was recovered
  MCP_TABLE = 8,   // key: mcp_mark; value: records of the question for a newer table
};

enum { MCP_COUNTERS = 2, MCP_WORDS = 7, MCP_SECRETS = 3, MCP_ASKED = 128 };

// Which table the broker is asked for a newer one of, and when (filter.Mark).
typedef struct {
  uint64_t table;
  int64_t at;
} mcp_mark;

typedef struct {
  uint64_t id;  // of the callout
  mcp_mark mark;
} mcp_asked;

// The first entry of a request into Go.
typedef struct {
  const envoy_header* headers;
  size_t header_count;
  const char* body;  // NULL if it is still to come, or there is none (end)
  size_t body_length;
  bool end;
  int64_t now;
  const uint64_t* spent;  // streams that C is done with
  size_t spent_count;
  mcp_mark current;  // the table that the broker has last found to be the newest
} mcp_entry;

// A word that answers are searched for.
typedef struct {
  char* text;
  size_t length;
  size_t rare;  // the place of its byte that texts have least of
} mcp_word;

// What the module uses.
typedef struct {
  uint64_t heap;      // bytes that the last garbage collection left
  uint64_t sessions;  // client sessions that the filter knows
  uint64_t configs;   // configurations, those of listeners that drain included
} mcp_stats;

// Logs through Envoy.
void mcp_log(envoy_enum level, char* text, size_t length);

typedef struct {
  uint64_t handle;      // of the Go configuration
  void* envoy;
  void* scheduler;      // to the main thread
  size_t answers;       // counter of errors by reason and server
  size_t panics;        // counter of recovered panics by phase
  size_t streams, heap, sessions, configs;  // gauges
  uint64_t body_limit;
  uint64_t response_limit;
  uint64_t ask_timeout_ms;
  bool policies;        // filters of the operator's stand behind this one
  mcp_word words[MCP_WORDS];  // that MCP_UNLESS_SHIFT is about, by bit
  char* secrets[MCP_SECRETS];  // headers of a server's answer that no client gets
  char* cluster;        // of the broker's internal API
  size_t cluster_length;
  // The main thread asks for newer tables and enters Go only if there is one: after
  // an entry Go's monitor looks for the thread fifty times in a row.
  struct mcp_question* question;  // to be asked; taken by exchange
  mcp_asked asked[MCP_ASKED];     // the main thread's own, by id
  mcp_mark current;               // for all threads, the time last
} mcp_config;

typedef struct mcp_question {
  mcp_mark mark;
  size_t length;
  char records[];
} mcp_question;
