// Priorities: see priority.h.
//
// Linux shares the processors by deadlines (EEVDF: I. Stoica, H. Abdel-Wahab: Earliest Eligible Virtual Deadline First,
// 1995).  A thread that wakes up takes the processor from another one only if that one has had its slice, some 3 ms, or
// has asked for longer slices than the one that wakes up (Linux 6.12).  A niceness does not change that: beside workers
// that remove files, with one processor for all, the loop woke up 0.5 to 2 ms after a packet had come.  So the threads
// of the loop ask for the shortest slices.  Older kernels do not look at this.
#include "daemon/work/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum {
    SHORTEST_NS = 100 * 1000,
    LOWER = 10, // than the loop's; on Linux a thread has a niceness of its own
};

static id_t self(void)
{
    return (id_t)syscall(SYS_gettid);
}

// NS 0: slices as usual.
static void ask_for_slices(uint64_t ns)
{
    // As linux/sched/types.h has it, which can't be included beside sched.h.
    const struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } wish = {.size = sizeof wish, .policy = SCHED_OTHER, .nice = getpriority(PRIO_PROCESS, self()), .runtime = ns};

    if (sched_getscheduler(0) == SCHED_OTHER) // an administrator may have chosen another one
        syscall(SYS_sched_setattr, 0, &wish, 0U);
}

void priority_quick(void)
{
    ask_for_slices(SHORTEST_NS);
}

void priority_normal(void)
{
    ask_for_slices(0);
}

void priority_low(void)
{
    priority_normal();
    setpriority(PRIO_PROCESS, self(), getpriority(PRIO_PROCESS, self()) + LOWER);
}
