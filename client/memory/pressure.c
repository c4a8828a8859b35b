// Two inputs tell that memory is short: the room in the tightest control group with a limit over this process, and
// stalls.
//
// - The group.  Its limit, less what can't be reclaimed, is what its cached pages may take; of that, dirty and written
//   pages are not free until they are on the disk.  cgroup v1 and v2 are read, and of nested groups the tightest
//   counts: what this process dirties counts in all of them alike, so the tightest stays the tightest unless others do
//   much.  All are compared again now and then.
// - Stalls (PSI, Documentation/accounting/psi.rst): the time in which tasks waited for memory, of the process's group
//   or else of the machine.  Where no group has a limit, this is the only input: a vector larger than the machine's
//   memory shows here.
//
// Measured: pushing and scanning 4 GiB in a group of 512 MiB, seconds, medians of 3 alternating rounds (Linux 6.18,
// ext4, cgroup v1, one vector of a directory): with both inputs 2.38; with the group alone 2.47; with stalls alone
// 2.51; with neither, so that nothing is written behind, 2.61.  Reading the kernel's thresholds of dirty pages
// (vm.dirty_*) and the machine's free memory as well changed nothing (3 GiB: 1.66 with them, 1.58 without), and is
// not done.
//
// Not seen: limits of groups above the namespace of the process (cgroup v1 tells of those).
#include "client/memory/pressure.h"

#include <stdio.h>
#include <string.h>

#include "client/memory/cgroup.h"
#include "client/memory/proctext.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { LOOKS_PER_SEARCH = 64, STALLED_PERCENT = 10, FULL_SHARE = 16 };

// cgroup v1 writes a number just under 2^63 for no limit.
static const uint64_t no_limit = (uint64_t)1 << 60;

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void consider(struct pressure_state *s, uint64_t most, uint64_t used)
{
    if (less(most, used) >= s->room)
        return;
    s->room = less(most, used);
    s->most = most;
}

struct dirt {
    uint64_t dirty, writeback;
};

struct group_usage {
    uint64_t all, file, slab, limit_above; // bytes
    struct dirt d;
};

static bool read_usage(const char *dir, bool unified, struct group_usage *u)
{
    static const char *const keys[2][5] = {
        {"total_inactive_file ", "total_active_file ", "-", "total_dirty ", "total_writeback "},
        {"inactive_file ", "active_file ", "slab_reclaimable ", "file_dirty ", "file_writeback "}};
    const char *const *key = keys[unified];
    uint64_t active = 0;
    char text[PROCTEXT_MAX];

    *u = (struct group_usage){.limit_above = UINT64_MAX};
    if (!proctext_read_number(dir, unified ? "/memory.current" : "/memory.usage_in_bytes", &u->all) ||
        !proctext_read(text, dir, "/memory.stat") || !proctext_number(text, key[0], &u->file) ||
        !proctext_number(text, key[1], &active))
        return false;
    u->file = plus(u->file, active);
    proctext_number(text, key[2], &u->slab);
    proctext_number(text, key[3], &u->d.dirty);
    proctext_number(text, key[4], &u->d.writeback);
    if (!unified)
        proctext_number(text, "hierarchical_memory_limit ", &u->limit_above);
    return true;
}

// False: the group cannot be read.
static bool consider_group(const struct pressure *p, struct pressure_state *s)
{
    struct group_usage u;
    uint64_t limit, can_be_dirty;

    if (!read_usage(p->group, p->unified, &u))
        return false;
    limit = u64_min(p->limit, u.limit_above);
    if (limit >= no_limit)
        return true;
    can_be_dirty = less(limit, less(u.all, plus(u.file, u.slab)));
    consider(s, can_be_dirty, plus(u.d.dirty, u.d.writeback));
    return true;
}

static uint64_t read_limit(const char *dir, bool unified)
{
    uint64_t most = UINT64_MAX, high = UINT64_MAX;

    if (!unified) {
        proctext_read_number(dir, "/memory.limit_in_bytes", &most);
        return most;
    }
    proctext_read_number(dir, "/memory.max", &most);
    proctext_read_number(dir, "/memory.high", &high);
    return u64_min(most, high);
}

static void find_group(struct pressure *p)
{
    struct pressure_state best = {.room = UINT64_MAX};
    struct pressure level = *p;
    struct cgroup c = {0};

    free(p->group);
    p->group = NULL;
    level.unified = false;
    if (!cgroup_find(p->root, "memory", &c)) {
        level.unified = true;
        if (!cgroup_find(p->root, NULL, &c))
            return;
    }
    do {
        uint64_t before = best.room;

        level.group = c.dir;
        level.limit = read_limit(c.dir, level.unified);
        consider_group(&level, &best);
        if (best.room == before)
            continue;
        free(p->group);
        p->group = strdup(c.dir);
        p->limit = level.limit;
        p->unified = level.unified;
    } while (cgroup_up(&c));
    free(c.dir);
}

static const char stalls_of_machine[] = "/proc/pressure/memory", stalls_of_group[] = "/memory.pressure";

// The stalls of the process's group, which cgroup v2 counts whether it has the memory controller or not; else those
// of the machine.
static void find_stalls(struct pressure *p)
{
    struct cgroup c = {0};
    char text[PROCTEXT_MAX];

    free(p->stalls);
    p->stalls = NULL;
    if (cgroup_find(p->root, NULL, &c) &&
        (asprintf(&p->stalls, "%s%s", c.dir, stalls_of_group) < 0 || !proctext_read(text, p->stalls, NULL))) {
        free(p->stalls);
        p->stalls = NULL;
    }
    free(c.dir);
    if (!p->stalls && asprintf(&p->stalls, "%s%s", p->root, stalls_of_machine) < 0)
        p->stalls = NULL;
}

// The line is `some avg10=0.00 avg60=0.00 avg300=0.00 total=12`: percent, and µs in all.
static bool look_at_stalls(struct pressure *p)
{
    uint64_t now = clock_now_us(), passed = p->looked_at ? less(now, p->looked_at) : 0, before = p->stalled,
             percent = 0;
    char text[PROCTEXT_MAX];
    const char *total;

    if (!p->stalls || !proctext_read(text, p->stalls, NULL) || !(total = strstr(text, " total=")) ||
        !proctext_number(text, "some avg10=", &percent) || !proctext_number(total, " total=", &p->stalled))
        return false;
    p->looked_at = now;
    return passed ? less(p->stalled, before) >= passed / 100 * STALLED_PERCENT + 1 : percent >= STALLED_PERCENT;
}

void pressure_init(struct pressure *p, const char *root)
{
    *p = (struct pressure){.root = root ? root : ""};
}

void pressure_deinit(struct pressure *p)
{
    free(p->group);
    free(p->stalls);
    pressure_init(p, p->root);
}

void pressure_look(struct pressure *p, struct pressure_state *ret)
{
    *ret = (struct pressure_state){.room = UINT64_MAX, .most = UINT64_MAX};
    if (p->n_looks++ % LOOKS_PER_SEARCH == 0) {
        find_group(p);
        find_stalls(p);
    }
    // The group can't be read: it was removed, or the process has moved.
    if (p->group && !consider_group(p, ret))
        p->n_looks = 0;
    ret->stalling = look_at_stalls(p);
}

bool pressure_is_high(const struct pressure *p, const struct pressure_state *state)
{
    return state->stalling || (p->group && state->room < state->most - state->most / 8);
}

static uint64_t look_at_machine(const struct pressure *p, bool *ret_full)
{
    uint64_t total = 0, available = UINT64_MAX, unused = 0;
    char text[PROCTEXT_MAX];

    if (!proctext_read(text, p->root, "/proc/meminfo") || !proctext_number(text, "MemTotal:", &total) ||
        !proctext_number(text, "MemAvailable:", &available) || !proctext_number(text, "MemFree:", &unused))
        return UINT64_MAX;
    *ret_full = unused < total / FULL_SHARE;
    return checked_mul(available, 1024, &available) ? available : UINT64_MAX;
}

uint64_t pressure_memory(struct pressure *p, bool *ret_full)
{
    struct pressure_state state;
    uint64_t machine, all = 0;

    *ret_full = false;
    pressure_look(p, &state);
    machine = look_at_machine(p, ret_full);
    if (!p->group || state.most >= machine)
        return machine;
    if (proctext_read_number(p->group, p->unified ? "/memory.current" : "/memory.usage_in_bytes", &all))
        *ret_full = all > p->limit - p->limit / FULL_SHARE;
    return state.most;
}
