// Who turns the event loop: one thread at a time, which may run brief work itself.  See the essay in loop.c.
#pragma once
#include <stdbool.h>

struct event_base;
struct loop;
struct worker_pool;

// POOL's instant work is offered to it from here on.  0 or -ENOMEM.
int loop_new(struct event_base *base, struct worker_pool *pool, struct loop **ret);
// Between turns SERVE is called, some times, as long as it returns true: there is more.
void loop_on_turn(struct loop *l, bool (*serve)(void *data), void *data);
// Turns BASE on threads of its own until somebody calls event_base_loopbreak; the caller's thread takes the signals.  0, or -errno.
int loop_run(struct loop *l);
// After loop_run: waits up to TIMEOUT_MS for a thread that is held up by a disk; false: it still is, and the process should end by _exit.
bool loop_stop(struct loop *l, unsigned timeout_ms);
void loop_free(struct loop *l); // after a stop that returned true
