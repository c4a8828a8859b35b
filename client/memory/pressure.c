// Dirty pages are free until somebody has to write them.  That is when
// - a control group's limit is full and what is left to reclaim there is dirty (cgroup v1 has no other measure, and the one that
//   faults writes or waits);
// - more than vm.dirty_background_* of the memory that can be dirty is dirty (mm/page-writeback.c: the flusher threads start), or
//   with what is being written, more than half way from there to vm.dirty_* (writers wait).  Both count for the machine, and
//   with cgroup v2 for each group with a limit, in proportion;
// - the machine's memory is full.
// The least room counts.  Of nested groups only the tightest is looked at each time: what this process dirties counts in all of
// them alike, so that it stays the tightest unless others do much, and they are compared now and then.
// Not seen: limits above what a namespace shows (cgroup v1 tells of those), ratios of single devices (bdi min_ratio, max_ratio).
#include "client/memory/pressure.h"

#include <stdio.h>
#include <string.h>

#include "client/memory/cgroup.h"
#include "client/memory/proctext.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { LOOKS_PER_SEARCH = 64, STALLED_PERCENT = 10 };

// cgroup v1 says that there is no limit by a number a page under 2^63.
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

static uint64_t threshold_of(const struct pressure_threshold *t, uint64_t can_be_dirty)
{
    return t->bytes ? t->bytes : can_be_dirty / 100 * t->percent;
}

static bool threshold_known(const struct pressure_threshold *t)
{
    return t->bytes || t->percent <= 100;
}

struct dirt {
    uint64_t dirty, writeback;
};

// As domain_dirty_limits() and dirty_freerun_ceiling() of mm/page-writeback.c reckon.
static void consider_thresholds(const struct pressure *p, struct pressure_state *s, uint64_t can_be_dirty,
                                struct dirt d)
{
    uint64_t background, dirty;

    if (!threshold_known(&p->background) || !threshold_known(&p->dirty))
        return;
    background = threshold_of(&p->background, can_be_dirty);
    dirty = threshold_of(&p->dirty, can_be_dirty);
    if (background >= dirty)
        background = dirty / 2;
    consider(s, background, d.dirty);
    consider(s, background / 2 + dirty / 2, plus(d.dirty, d.writeback));
}

// Returns how much of the machine's memory can be dirty at all: what is free and what caches files; 0: not known.
static uint64_t consider_machine(const struct pressure *p, struct pressure_state *s)
{
    uint64_t available, can_be_dirty = 0, inactive = 0, active = 0;
    struct dirt d = {0};
    char text[PROCTEXT_MAX];

    if (!proctext_read(text, p->root, "/proc/meminfo") || !proctext_kib(text, "Dirty:", &d.dirty))
        return 0;
    proctext_kib(text, "Writeback:", &d.writeback);
    if (proctext_kib(text, "MemAvailable:", &available))
        consider(s, available, plus(d.dirty, d.writeback));
    if (!proctext_kib(text, "MemFree:", &can_be_dirty) || !proctext_kib(text, "Active(file):", &active) ||
        !proctext_kib(text, "Inactive(file):", &inactive))
        return 0;
    can_be_dirty = plus(can_be_dirty, plus(active, inactive));
    consider_thresholds(p, s, can_be_dirty, d);
    return can_be_dirty;
}

struct group_usage {
    uint64_t all, file, slab, limit_above;
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

// As the kernel reckons: so many bytes are a part of what can be dirty on the machine, and the same part counts in each group.
static struct pressure_threshold scale(struct pressure_threshold t, uint64_t group, uint64_t machine)
{
    double part = machine && t.bytes < machine ? (double)t.bytes / (double)machine : 1;

    if (t.bytes && machine)
        t.bytes = 1 + (uint64_t)(part * (double)u64_min(group, no_limit));
    return t;
}

// False: the group cannot be read.
static bool consider_group(const struct pressure *p, struct pressure_state *s, uint64_t machine)
{
    struct pressure scaled = *p;
    struct group_usage u;
    uint64_t limit, can_be_dirty;

    if (!read_usage(p->group, p->unified, &u))
        return false;
    limit = u64_min(p->limit, u.limit_above);
    if (limit >= no_limit)
        return true;
    can_be_dirty = less(limit, less(u.all, plus(u.file, u.slab)));
    consider(s, can_be_dirty, plus(u.d.dirty, u.d.writeback));
    if (p->unified) {
        scaled.background = scale(p->background, can_be_dirty, machine);
        scaled.dirty = scale(p->dirty, can_be_dirty, machine);
        consider_thresholds(&scaled, s, can_be_dirty, u.d);
    }
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

static void find_group(struct pressure *p, uint64_t machine)
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
        consider_group(&level, &best, machine);
        if (best.room == before)
            continue;
        free(p->group);
        p->group = strdup(c.dir);
        p->limit = level.limit;
        p->unified = level.unified;
    } while (cgroup_up(&c));
    free(c.dir);
}

static void read_threshold(const char *root, const char *bytes_name, const char *percent_name,
                           struct pressure_threshold *ret)
{
    *ret = (struct pressure_threshold){.percent = UINT64_MAX};
    proctext_read_number(root, bytes_name, &ret->bytes);
    proctext_read_number(root, percent_name, &ret->percent);
}

static const char stalls_of_machine[] = "/proc/pressure/memory", stalls_of_group[] = "/memory.pressure";

// That of the process's group, whether cgroup v2 has the memory controller or not; else that of the machine.
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
    bool search = p->n_looks++ % LOOKS_PER_SEARCH == 0;
    uint64_t machine;

    *ret = (struct pressure_state){.room = UINT64_MAX, .most = UINT64_MAX};
    if (search) {
        read_threshold(p->root, "/proc/sys/vm/dirty_background_bytes", "/proc/sys/vm/dirty_background_ratio",
                       &p->background);
        read_threshold(p->root, "/proc/sys/vm/dirty_bytes", "/proc/sys/vm/dirty_ratio", &p->dirty);
        find_stalls(p);
    }
    machine = consider_machine(p, ret);
    if (search)
        find_group(p, machine);
    // It is gone, or the process has moved.
    if (p->group && !consider_group(p, ret, machine))
        p->n_looks = 0;
    ret->stalling = look_at_stalls(p);
}
