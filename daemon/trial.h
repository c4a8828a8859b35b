// Whether disks answer: a spill directory whose disk hangs must not hold up the others.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// At start: touches each of N directories, all at a time, and waits for MS at most.  RET_ANSWERED[i]: the i-th has
// answered, be it with an error.  A thread that hangs stays until its disk answers.
void trial_run(const char *const *dirs, size_t n, unsigned ms, bool *ret_answered);
