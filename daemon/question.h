// A question to the user database, whose answer is awaited for a bounded time.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// The number of a user (or group), as nss_find_user and nss_find_group say.  Blocks, however long the database takes.
int question_look_up(bool is_user, const char *name, uint32_t *ret);
// The same until DEADLINE (ms, monotonic): asks on a thread of its own, which is left alone when the time is up.  The
// answer to a question that was asked before, and had no answer yet, counts too.  The number of threads is bounded:
// see the essay in question.c.  -ETIMEDOUT: there was no answer in time, or no thread to ask.
int question_ask(bool is_user, const char *name, uint64_t deadline, uint32_t *ret);
