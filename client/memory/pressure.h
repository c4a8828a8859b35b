// How short of memory this process is, as far as /proc and /sys tell.  A file that is missing, unreadable or absurd
// says nothing, and is no error.  See the essay in pressure.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct pressure_state {
    uint64_t room; // bytes that may still be dirtied under the tightest limit; 0: none; UINT64_MAX: there is no limit
    uint64_t most; // bytes: room, if nothing were dirty
    bool stalling; // since the last look, tasks have waited for memory a tenth of the time or more
};

// Keeps no descriptor (opening is 1 to 2 µs a file) and no thread, so that neither a fork nor a program that closes
// what it does not know breaks it.  One thread at a time.
struct pressure {
    const char *root;            // before each path that is read: "" in a program
    char *group;                 // owned: the directory of the tightest limit over this process; NULL: there is none
    uint64_t limit;              // of group, in bytes
    bool unified;                // group is of cgroup v2
    char *stalls;                // owned: the file with pressure stall information; NULL: there is none
    uint64_t stalled, looked_at; // µs at the last look: stalled in all, and the time; looked_at 0: there was none
    unsigned n_looks;
};

// ROOT: NULL, or in tests a made-up tree, which must outlive P.  Looks at nothing yet and cannot fail.
void pressure_init(struct pressure *p, const char *root);
void pressure_deinit(struct pressure *p); // idempotent

// The bytes that pages of files may take, of this process's groups or of the machine.  *RET_FULL: they take nearly all
// of that.
uint64_t pressure_memory(struct pressure *p, bool *ret_full);
// True if this is pressure: dirty pages take an eighth of the room of the tightest group, or tasks stall for memory.
bool pressure_is_high(const struct pressure *p, const struct pressure_state *state);
// Cheap, for once per 32 MiB or so; each 64th also finds the process's control group and its limits again.
void pressure_look(struct pressure *p, struct pressure_state *ret);
