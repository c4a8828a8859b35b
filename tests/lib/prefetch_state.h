// For the tests of prefetch: which pages exist, whether the thread is at work, and whether there can be a thread.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/proc_self.h"

#include <pthread.h>
#include <sched.h>

#include "client/diskalloc.h"
#include "client/region/region.h"

uint64_t align_up(uint64_t n, uint64_t to);
bool is_idle(void *data);
size_t present(const struct u64s *v, uint64_t from, uint64_t to);
// Some call for more than one processor, all for Linux 5.14.
bool cannot_help(void);
