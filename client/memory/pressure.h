// How much more may be dirtied before the kernel makes a process write, as far as /proc and /sys tell.  What is missing there,
// unreadable or absurd says nothing, and is no error.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct pressure_state {
    // Bytes that may still be dirtied; 0: the kernel writes or reclaims already; UINT64_MAX: no limit known.
    uint64_t room;
    uint64_t most; // what ROOM was if nothing were dirty: room < most / 4 is three quarters used
    bool stalling; // tasks have waited for memory since the last look, a tenth of the time or more
};

// vm.dirty_background_* or vm.dirty_*: BYTES, or when that is 0, PERCENT of what can be dirty at all.
struct pressure_threshold {
    uint64_t bytes, percent; // percent > 100: not known
};

// Keeps no descriptor (opening is 1 to 2 µs a file) and no thread, so that neither a fork nor a program that closes what it
// does not know breaks it.  One thread at a time.
struct pressure {
    const char *root; // "" in a program
    char *group;      // directory of the tightest limit over this process; NULL: there is none
    uint64_t limit;   // of GROUP
    bool unified;     // GROUP is of cgroup v2, where each group has the thresholds for its own
    char *stalls;     // file with pressure stall information; NULL: there is none
    struct pressure_threshold background, dirty;
    uint64_t stalled, looked_at; // µs, at the last look; looked_at 0: there was none
    unsigned n_looks;
};

// ROOT: NULL, or in tests a made-up tree, which must outlive P.  Looks at nothing yet and cannot fail.
void pressure_init(struct pressure *p, const char *root);
void pressure_deinit(struct pressure *p); // idempotent

// Cheap, for once per 32 MiB or so; each 64th also finds the process's control group and its limits again.
void pressure_look(struct pressure *p, struct pressure_state *ret);
