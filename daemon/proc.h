// Facts about this process and this kernel, from /proc.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The number in a file of /proc; 0: there is none.
unsigned long long proc_number(const char *path);
// When the process began, in ticks of the clock since the machine's start.  0: not known.  A later process with the
// same number began later.  Quick: the kernel answers from memory.
uint64_t proc_start_time(pid_t pid);
// The control group of the process PID, as a path from the root of this control group namespace: of cgroup v2, else of
// systemd's hierarchy; of a path longer than RET, the groups above that fit.  False: the kernel does not tell.
bool proc_cgroup(pid_t pid, char *ret, size_t n);
// Whether the process PID has ended, but for threads that hang in the kernel, or for its parent's wait.
bool proc_is_zombie(pid_t pid);
// Whether the thread TID of this process has a processor, or waits for one: it is not held up by anything else.
bool proc_thread_runs(pid_t tid);
struct proc_thread_use {
    long n_preemptions; // how often another thread took the processor from this one
    uint64_t cpu_us;    // the time that it had a processor
};
struct proc_thread_use proc_thread_use(void); // the calling thread's, since it began
// The uid that the kernel shows for users who have no number in this user namespace.
uid_t proc_overflow_uid(void);
gid_t proc_overflow_gid(void); // the same for groups
