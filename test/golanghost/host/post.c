// What another thread wants of a stream is done by the stream's own, in order.
#include <stdlib.h>

#include "check.h"

task* new_task(request* r, side* s, void (*run)(task*)) {
  task* t = calloc(1, sizeof *t);
  if (t == NULL) abort();
  t->request = r;
  t->side = s;
  t->run = run;
  return t;
}

static void free_task(task* t) {
  bytes_free(&t->a);
  bytes_free(&t->b);
  bytes_free(&t->c);
  if (t->message != NULL) message_free(t->message);
  free(t);
}

void post(task* t) {
  request* r = t->request;
  pthread_mutex_lock(&r->lock);
  if (atomic_load(&r->destroying)) {
    pthread_mutex_unlock(&r->lock);
    free_task(t);
    return;
  }
  *r->last_task = t;
  r->last_task = &t->next;
  // Envoy takes hold of the filter meanwhile. The stream cannot be destroyed
  // before this thread lets go of the lock, so it is never the last to hold it.
  ENVOY(http_filter_scheduler_commit)(r->scheduler, 0);
  pthread_mutex_unlock(&r->lock);
}

void run_one(request* r) {
  pthread_mutex_lock(&r->lock);
  task* t = r->tasks;
  if (t != NULL) {
    r->tasks = t->next;
    if (r->tasks == NULL) r->last_task = &r->tasks;
  }
  pthread_mutex_unlock(&r->lock);
  if (t == NULL) return;
  if (!atomic_load(&r->destroying)) t->run(t);
  free_task(t);
}

void drop_tasks(request* r) {
  for (task* t = r->tasks; t != NULL;) {
    task* next = t->next;
    free_task(t);
    t = next;
  }
  r->tasks = NULL;
  r->last_task = &r->tasks;
}
