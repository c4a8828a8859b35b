// The threads that turn the event loop: one at a time, which also runs instant work.  See the essay in loop.c.
#pragma once
#include <stdbool.h>

struct event_base;
struct loop;
struct worker_pool;

// From now on POOL offers its instant work to the loop.  0 or -ENOMEM.
int loop_new(struct event_base *base, struct worker_pool *pool, struct loop **ret);
// After each turn, the loop calls SERVE(DATA) for some 50 us, as long as it returns true: there is more to do.
void loop_on_turn(struct loop *l, bool (*serve)(void *data), void *data);
// Turns BASE on threads of its own from now on.  0 or -errno: no thread can be had.
int loop_start(struct loop *l);
// Waits until event_base_loopbreak was called.  The caller's thread takes the signals meanwhile.  0 or -errno.
int loop_wait(struct loop *l);
int loop_run(struct loop *l); // both
// After loop_run: waits up to TIMEOUT_MS for the loop's threads.  False: the disk still holds up one of them, and the
// process should end by _exit.
bool loop_stop(struct loop *l, unsigned timeout_ms);
void loop_free(struct loop *l); // after a stop that returned true
