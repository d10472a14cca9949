// host MODULE CONFIG TABLE SEED STREAMS: runs so many streams on each of four
// threads, each ended in a phase that chance chooses.
#include <dlfcn.h>
#include <time.h>

#include "host.h"

#define DEFINE(result, name, parameters) result(*name) parameters;
HOOKS(DEFINE)

enum { WORKERS = 4, OPEN = 16 };

static str config_text, table_text;
static int streams_each;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static config* current;
static atomic_int working;
static atomic_long answers, continued, resets, questions, whole_answers, typed;

static const char* const places[] = {"acquire", "request", "request_body", "route", "sessions", "sessions*2", "encode",
                                     "answer", "response", "response_body", "replayed", "event", "release",
                                     "response,panicked", "table"};

static config* use(void) {
  pthread_mutex_lock(&lock);
  config* c = current;
  atomic_fetch_add(&c->refs, 1);
  pthread_mutex_unlock(&lock);
  return c;
}

static config* new_config(void) {
  config* c = calloc(1, sizeof *c);
  atomic_store(&c->refs, 1);
  envoy_bytes text = {config_text.p, config_text.n};
  c->module = http_filter_config_new(c, (envoy_bytes){"mcp", 3}, text);
  REQUIRE(c->module != NULL);
  return c;
}

static void set(stream* s, int side, const char* key, const char* value) { put(s, side, key, value, strlen(value)); }

// The whole body of a request; its length is returned.
static int body_of(const stream* s, char* text, size_t room) {
  return snprintf(text, room,
                  "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":{\"arguments\":{\"x\":\"%*s\"},\"name\":\"%c_tool\"}}",
                  s->id, s->id % 3 == 0 ? 9000 : 10, "", s->id % 7 == 0 ? 'x' : 'a' + s->id % 2);
}

static void open_stream(stream* s, unsigned* seed) {
  memset(s, 0, sizeof *s);
  s->alive = ALIVE;
  s->seed = seed;
  s->limit = 4096;
  s->config = use();
  s->id = chance(seed, 1000000);
  s->module = http_filter_new(s->config->module, s);
  REQUIRE(s->module != NULL);
  char session[32];
  snprintf(session, sizeof session, "session-%d", chance(seed, 24));
  int kind = chance(seed, 20);
  set(s, 0, ":method", kind == 0 ? "GET" : kind == 1 ? "DELETE" : "POST");
  set(s, 0, ":path", "/mcp");
  set(s, 0, ":authority", "localhost");
  set(s, 0, "content-type", "application/json");
  set(s, 0, "mcp-session-id", session);
  if (chance(seed, 10) == 0) set(s, 0, "panic-at", places[chance(seed, sizeof places / sizeof *places)]);
  s->ended = kind < 2;
  if (!s->ended && chance(seed, 2)) {
    char length[16];
    snprintf(length, sizeof length, "%d", body_of(s, NULL, 0));
    set(s, 0, "content-length", length);
  }
  enter(s);
  s->continued = http_filter_request_headers(s, s->module, s->ended) == HEADERS_CONTINUE;
  leave(s);
  REQUIRE(!(s->continued && s->answered));
}

// One more piece of the body, or the trailers behind it.
static void more_body(stream* s) {
  char text[12000];
  int n = body_of(s, text, sizeof text);
  int left = n - s->sent, size = chance(s->seed, 3) == 0 ? left : 1 + chance(s->seed, left < 400 ? left : left / 3);
  enter(s);
  if (left == 0) {
    s->ended = true;
    envoy_enum status = http_filter_request_trailers(s, s->module);
    if (!s->gone && status == TRAILERS_CONTINUE) s->continued = true;
  } else {
    s->sent += size;
    s->ended = s->sent == n && chance(s->seed, 4);
    add(s, RECEIVED_REQUEST, text + s->sent - size, (size_t)size);
    envoy_enum status = http_filter_request_body(s, s->module, s->ended);
    if (!s->gone && status == BODY_STOP_AND_BUFFER) {
      str* all = s->body[BUFFERED_REQUEST];
      for (size_t i = 0; i < s->chunks[RECEIVED_REQUEST]; i++) {
        if (s->chunks[BUFFERED_REQUEST] == MAX_CHUNKS / 2) {  // few chunks, as the arrays are short
          str* last = &all[MAX_CHUNKS / 2 - 1];
          str* next = &s->body[RECEIVED_REQUEST][i];
          last->p = realloc(last->p, last->n + next->n);
          memcpy(last->p + last->n, next->p, next->n);
          last->n += next->n;
        } else {
          add(s, BUFFERED_REQUEST, s->body[RECEIVED_REQUEST][i].p, s->body[RECEIVED_REQUEST][i].n);
        }
      }
    } else if (!s->gone && status == BODY_CONTINUE) {
      REQUIRE(!s->answered);
      s->continued = true;
      clear_body(s, BUFFERED_REQUEST);
    }
    clear_body(s, RECEIVED_REQUEST);
  }
  leave(s);
}

static void answer_question(stream* s) {
  atomic_fetch_add(&questions, 1);
  const char *status = "200", *type = "application/json", *body = "{\"session\":\"b\",\"version\":\"2025-11-25\",\"ttlMs\":3}";
  char replayed[100];
  int result = 0;
  if (strstr(s->path, "table")) {
    body = table_text.p;
  } else if (strstr(s->path, "replay")) {
    snprintf(replayed, sizeof replayed, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"uri\":\"test://x\"}}", s->id);
    body = replayed;
  }
  switch (chance(s->seed, 8)) {
    case 0: status = "404"; break;
    case 1: status = "502"; break;
    case 2: if (body != replayed) body = "{"; break;
    case 3: result = 1; break;
  }
  // Memory of the answer, too, is the module's for this hook only.
  str list[] = {dup(":status", 7), dup(status, 3), dup("content-type", 12), dup(type, strlen(type)), dup(body, strlen(body))};
  size_t half = list[4].n / 2;
  envoy_header h[] = {{list[0].p, 7, list[1].p, 3}, {list[2].p, 12, list[3].p, list[3].n}};
  envoy_bytes chunks[] = {{list[4].p, half}, {list[4].p + half, list[4].n - half}};
  free(s->path);
  s->path = NULL;
  enter(s);
  http_filter_http_callout_done(s, s->module, 1, (envoy_enum)result, result ? NULL : h, result ? 0 : 2, result ? NULL : chunks, result ? 0 : 2);
  leave(s);
  for (int i = 0; i < 5; i++) free(list[i].p);
}

static void begin_response(stream* s) {
  static const char* const statuses[] = {"200", "200", "200", "404", "500", "400", "202"};
  static const char* const types[] = {"application/json", "text/event-stream", "application/json; charset=utf-8",
                                      "application/json;x=text/event-stream"};
  s->responding = true;
  s->type = types[chance(s->seed, 4)];
  set(s, 1, ":status", statuses[chance(s->seed, 7)]);
  set(s, 1, "content-type", s->type);
  bool end = chance(s->seed, 10) == 0;
  enter(s);
  envoy_enum status = http_filter_response_headers(s, s->module, end);
  if (!s->gone && !s->answered && status == HEADERS_CONTINUE) s->left = true;
  leave(s);
  s->sent = end ? -1 : 0;
}

static void more_response(stream* s) {
  char text[400];
  const char* content = s->id % 5 < 2 ? "" : "{\"type\":\"resource_link\",\"uri\":\"test://x\"}";  // nothing to be read in some
  int n = snprintf(text, sizeof text, "%s{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"content\":[%s]}}%s",
                   s->type[0] == 't' ? "data: " : "", s->id, content, s->type[0] == 't' ? "\n\n" : "");
  int left = n - s->sent, size = 1 + (left > 1 ? chance(s->seed, left) : 0);
  envoy_enum status;
  bool end;
  enter(s);
  if (left == 0) {
    end = true;
    status = http_filter_response_trailers(s, s->module) == TRAILERS_CONTINUE ? BODY_CONTINUE : BODY_STOP_NO_BUFFER;
  } else {
    s->sent += size;
    end = s->sent == n && chance(s->seed, 4);
    add(s, RECEIVED_RESPONSE, text + s->sent - size, (size_t)size);
    status = http_filter_response_body(s, s->module, end);
  }
  if (!s->gone && !s->answered && status == BODY_STOP_AND_BUFFER) {
    for (size_t i = 0; i < s->chunks[RECEIVED_RESPONSE]; i++) {
      str all = s->chunks[BUFFERED_RESPONSE] ? s->body[BUFFERED_RESPONSE][0] : dup("", 0);
      all.p = realloc(all.p, all.n + s->body[RECEIVED_RESPONSE][i].n);
      memcpy(all.p + all.n, s->body[RECEIVED_RESPONSE][i].p, s->body[RECEIVED_RESPONSE][i].n);
      all.n += s->body[RECEIVED_RESPONSE][i].n;
      s->body[BUFFERED_RESPONSE][0] = all;
      s->chunks[BUFFERED_RESPONSE] = 1;
    }
  } else if (!s->gone && !s->answered && status == BODY_CONTINUE) {
    s->left = true;
    for (int b = BUFFERED_RESPONSE; b >= RECEIVED_RESPONSE; b--) {
      for (size_t i = 0; i < s->chunks[b]; i++) {
        s->out.p = realloc(s->out.p, s->out.n + s->body[b][i].n + 1);
        memcpy(s->out.p + s->out.n, s->body[b][i].p, s->body[b][i].n);
        s->out.n += s->body[b][i].n;
        s->out.p[s->out.n] = 0;
      }
      clear_body(s, b);
    }
    if (end && s->out.n > 0) {
      atomic_fetch_add(&whole_answers, 1);
      REQUIRE(!(strstr(s->out.p, "\"result\"") && strstr(s->out.p, "\"error\"")));
      REQUIRE(s->out.p[s->out.n - 1] == (s->type[0] == 't' ? '\n' : '}'));
    }
  }
  clear_body(s, RECEIVED_RESPONSE);
  leave(s);
  if (end) s->sent = -1;
}

// Envoy answers by itself: past the filter if it holds a response, else through it.
static void local_reply(stream* s) {
  enter(s);
  http_filter_local_reply(s, s->module, 504, (envoy_bytes){"timeout", 7}, false);
  if (!s->responding) {
    s->responding = true;
    set(s, 1, ":status", "504");
    set(s, 1, "content-type", "text/plain");
    http_filter_response_headers(s, s->module, false);
    if (!s->gone && !s->answered) {
      add(s, RECEIVED_RESPONSE, "timeout", 7);
      http_filter_response_body(s, s->module, true);
    }
  }
  leave(s);
  // A question that is still under way may be answered before the stream is
  // destroyed.
  bool answered = s->answered;
  s->answered = true;
  if (!s->gone && s->path && !answered && chance(s->seed, 2)) answer_question(s);
  if (!s->gone) destroy(s);
}

static bool is(const str* s, const char* text) { return s->n == strlen(text) && memcmp(s->p, text, s->n) == 0; }

// The value of a header; an empty one without it.
static str value_of(const stream* s, int side, const char* key) {
  for (size_t i = 0; i < s->headers[side]; i++)
    if (is(&s->key[side][i], key)) return s->value[side][i];
  return (str){NULL, 0};
}

static void close_stream(stream* s) {
  if (!s->gone) destroy(s);
  if (s->answered) atomic_fetch_add(&answers, 1);
  if (s->continued) atomic_fetch_add(&continued, 1);
  str cluster = value_of(s, 0, "x-mcp-cluster"), type = value_of(s, 1, "content-type");
  if (s->left && cluster.n > 0 && !is(&cluster, "mcp-broker")) {
    atomic_fetch_add(&typed, 1);
    REQUIRE(is(&type, s->type[0] == 't' ? "text/event-stream" : "application/json"));
  }
  drop(s->config);
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < s->headers[side]; i++) free(s->key[side][i].p), free(s->value[side][i].p);
  for (int b = 0; b < 4; b++) clear_body(s, b);
  free(s->out.p);
  memset(s, 0xdd, sizeof *s);
  s->alive = 0;
}

static void step(stream* s) {
  if (s->gone || s->answered) {
    close_stream(s);
  } else if (chance(s->seed, 40) == 0) {
    atomic_fetch_add(&resets, 1);
    destroy(s);
  } else if (chance(s->seed, 60) == 0 && !s->left) {
    local_reply(s);
  } else if (s->path && chance(s->seed, 3)) {
    answer_question(s);
  } else if (s->responding && s->sent >= 0) {
    more_response(s);
  } else if (s->responding && !s->path) {
    close_stream(s);
  } else if (!s->responding && !s->ended) {
    more_body(s);
  } else if (s->continued && !s->responding) {
    begin_response(s);
  } else if (!s->path) {
    REQUIRE(!"a stream that waits for nothing");
  }
}

static void* work(void* arg) {
  unsigned seed = (unsigned)(size_t)arg;
  stream* open = calloc(OPEN, sizeof *open);
  int begun = 0;
  for (int left = 1; left;) {
    left = 0;
    for (int i = 0; i < OPEN; i++) {
      if (open[i].alive) {
        step(&open[i]);
      } else if (begun < streams_each) {
        begun++;
        open_stream(&open[i], &seed);
      }
      left |= open[i].alive != 0;
    }
  }
  free(open);
  atomic_fetch_sub(&working, 1);
  return NULL;
}

// The main thread: fetches tables in the background and replaces the configuration.
static void* manage(void* arg) {
  unsigned seed = (unsigned)(size_t)arg;
  for (int round = 1; atomic_load(&working) > 0; round++) {
    config* c = use();
    if (atomic_exchange(&c->scheduled, 0)) {
      http_filter_config_scheduled(c, c->module, 1);
      if (c->asked) {
        c->asked = false;
        str body = dup(table_text.p, table_text.n - (size_t)(chance(&seed, 3) == 0));
        envoy_header h = {":status", 7, "200", 3};
        envoy_bytes chunk = {body.p, body.n};
        http_filter_config_http_callout_done(c, c->module, c->callouts, chance(&seed, 4) == 0, &h, 1, &chunk, 1);
        free(body.p);
      }
    }
    drop(c);
    if (round % 20 == 0) {
      config* next = new_config();
      pthread_mutex_lock(&lock);
      config* old = current;
      current = next;
      pthread_mutex_unlock(&lock);
      drop(old);
    }
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return NULL;
}

static str read_file(const char* path) {
  FILE* f = fopen(path, "r");
  REQUIRE(f != NULL);
  str s = {calloc(1, 1 << 20), 0};
  s.n = fread(s.p, 1, (1 << 20) - 1, f);
  fclose(f);
  return s;
}

int main(int argc, char** argv) {
  REQUIRE(argc == 6);
  void* module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (module == NULL) fprintf(stderr, "%s\n", dlerror());
  REQUIRE(module != NULL);
#define FIND(result, name, parameters)                               \
  name = (result(*) parameters)dlsym(module, "envoy_dynamic_module_on_" #name); \
  REQUIRE(name != NULL);
  HOOKS(FIND)
  REQUIRE(program_init() != NULL);
  config_text = read_file(argv[2]);
  table_text = read_file(argv[3]);
  unsigned seed = (unsigned)atoi(argv[4]);
  streams_each = atoi(argv[5]);
  current = new_config();
  atomic_store(&working, WORKERS);
  pthread_t threads[WORKERS];
  for (size_t i = 0; i < WORKERS; i++) pthread_create(&threads[i], NULL, work, (void*)(seed * 100 + i));
  manage((void*)(size_t)seed);
  for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  REQUIRE(atomic_load(&current->refs) == 1);
  drop(current);
  REQUIRE(atomic_load(&live_streams) == 0);
  printf("streams=%d answered=%ld continued=%ld whole=%ld typed=%ld resets=%ld questions=%ld panics=%ld\n", WORKERS * streams_each,
         answers, continued, whole_answers, typed, resets, questions, panics);
  fflush(stdout);
  _Exit(0);  // the Go runtime in the module does not end
}
