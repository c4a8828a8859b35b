// Whether disks answer: a spill directory whose disk hangs must not hold up the others.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// From the begin of the trials, in milliseconds: when the log tells of the disks that have not answered yet, and how
// long they are waited for.
struct trial_times {
    unsigned tell_ms, give_up_ms;
};

// At start: touches each of N directories, all at a time, and waits for their disks.  RET_ANSWERED[i]: the i-th has
// answered, be it with an error.  A thread that hangs stays until its disk answers.
void trial_run(const char *const *dirs, size_t n, const struct trial_times *times, bool *ret_answered);
// Whether there is such a thread.
bool trial_hangs(void);
