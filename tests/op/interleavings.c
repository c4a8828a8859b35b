// The promises of the daemon in every order in which clients, workers, timers, failures of the disk and the end of the
// daemon can come, within bounds: an exhaustive search first (explore.c), then random schedules.
//
// DISKALLOC_TEST_SCHEDULES=100 searches so many times longer.  An argument names one test.
#include <fcntl.h>
#include <limits.h>

#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/op/actors.h"
#include "tests/op/explore.h"
#include "tests/op/promises.h"

// How often each may happen in one schedule.
struct bounds {
    unsigned ticks, failures, kills, stuck;
};

struct play {
    const char *name;
    const struct step *scripts[ACTORS];
    bool two_users, in_containers, two_disks;
    unsigned limit; // blocks
    struct bounds bounds;
    unsigned most_schedules, n_random;
};

enum kind { RUN, RUN_AND_FAIL, RUN_AND_DIE, DELIVER, GO_ON, END, WAIT_TIMER, ORPHANS_TIMER, TICK, KILL, STUCK };

struct option {
    enum kind kind;
    unsigned i, of; // RUN_AND_FAIL: the disk_call; RUN_AND_DIE: changes of the disk before
};

struct options {
    struct option list[64];
    unsigned n;
};

static void add(struct options *o, enum kind kind, unsigned i, unsigned of)
{
    assert_true(o->n < 64);
    o->list[o->n++] = (struct option){kind, i, of};
}

static void add_work(struct options *o, unsigned i, const struct bounds *left)
{
    if (machine.work[i].has_ended) {
        add(o, DELIVER, i, 0);
        return;
    }
    add(o, RUN, i, 0);
    for (unsigned call = 0; left->failures > 0 && call < DISK_CALL_N; call++)
        add(o, RUN_AND_FAIL, i, call);
    // The last step of a move changes most.
    for (unsigned n = 1; left->kills > 0 && n <= (machine.has_two_disks ? 6 : 3); n++)
        add(o, RUN_AND_DIE, i, n);
}

static void find_options(struct options *o, const struct bounds *left)
{
    o->n = 0;
    for (unsigned i = 0; i < machine.n_work; i++)
        add_work(o, i, left);
    if (machine.wait_at <= machine.now)
        add(o, WAIT_TIMER, 0, 0);
    if (machine.orphans_at <= machine.now)
        add(o, ORPHANS_TIMER, 0, 0);
    for (unsigned i = 0; i < n_connections; i++)
        if (!connections[i].actor && !connections[i].is_seen_ended)
            add(o, END, i, 0);
    for (unsigned i = 0; i < ACTORS; i++)
        if (actor_can_go_on(&actors[i]))
            add(o, GO_ON, i, 0);
    if (left->ticks > 0 && machine_next_timer() > machine.now && machine_next_timer() != UINT64_MAX)
        add(o, TICK, 0, 0);
    if (left->kills > 0)
        add(o, KILL, 0, 0);
    if (left->stuck > 0 && machine.n_work > 0)
        add(o, STUCK, 0, 0);
}

static bool is_quiet(void)
{
    bool quiet = machine.n_work == 0 && machine_next_timer() > machine.now;

    for (unsigned i = 0; i < n_connections; i++)
        quiet = quiet && (connections[i].actor || connections[i].is_seen_ended);
    return quiet;
}

static void kill_daemon(void)
{
    trace("  the daemon is killed, and another one starts");
    machine.is_dead = true;
    connections_forget();
    machine_kill();
    machine_start();
}

static void run_and_fail(unsigned i, enum disk_call call, struct bounds *left)
{
    static const char *const names[] = {"open", "allocate", "truncate", "link", "unlink", "set_xattr"};

    machine.failing = call;
    machine.has_failed = false;
    machine_run(i);
    machine.failing = DISK_NONE;
    trace("  work %u runs, and %s %s", i, names[call], machine.has_failed ? "fails" : "is not called");
    left->failures -= machine.has_failed;
}

static void run_and_die(unsigned i, unsigned n, struct bounds *left)
{
    machine.calls_left = n;
    machine_run(i);
    trace("  work %u runs for %u changes of the disk at most", i, n);
    if (machine.is_dead) {
        left->kills--;
        kill_daemon();
    }
    machine.calls_left = UINT_MAX;
}

static void hold_up(void)
{
    enum { LONG_MS = 20000 };

    trace("  whatever is at work is stuck");
    machine.now += LONG_MS;
    op_end_stuck(&machine.d.request.op, &machine.disk.disk, machine.now);
}

static void take(const struct option *o, struct bounds *left)
{
    switch (o->kind) {
    case RUN:
        trace("  work %u runs, for region %u", o->i, machine_op(o->i)->region->record.handle.bytes[0] - 1U);
        machine_run(o->i);
        break;
    case RUN_AND_FAIL:
        run_and_fail(o->i, o->of, left);
        break;
    case RUN_AND_DIE:
        run_and_die(o->i, o->of, left);
        break;
    case DELIVER:
        trace("  work %u has ended: %d", o->i, machine_op(o->i)->result);
        promises_deliver(o->i);
        break;
    case GO_ON:
        trace("  %s: %s", actors[o->i].name, actor_go_on(&actors[o->i]));
        break;
    case END:
        trace("  the end of connection %u is seen", o->i);
        connection_end(&connections[o->i]);
        break;
    case WAIT_TIMER:
        trace("  those that wait are tried");
        machine_wait_timer();
        break;
    case ORPHANS_TIMER:
        trace("  orphans are probed");
        machine_orphans_timer();
        break;
    case TICK:
        left->ticks--;
        trace("  %llu ms pass", (unsigned long long)(machine_next_timer() - machine.now));
        machine.now = machine_next_timer();
        break;
    case KILL:
        left->kills--;
        kill_daemon();
        break;
    case STUCK:
        left->stuck--;
        hold_up();
        break;
    }
}

static void forget_op(struct op *op)
{
    (void)op;
}

// Named regions stay when nobody has them.
static void unlink_regions(void)
{
    static struct op ops[ACTOR_REGIONS];

    for (unsigned i = 0; i < ACTOR_REGIONS; i++) {
        struct region *r = actor_region(i);

        if (!r || r->record.name_length == 0 || r->state != REGION_LIVE)
            continue;
        op_init(&ops[i], &machine.d.request.op, &op_unlink, r);
        ops[i].done = forget_op;
        op_submit(&ops[i]);
    }
}

static void finish(void)
{
    for (int n = 0; n < 200 && (machine.n_work > 0 || machine_next_timer() != UINT64_MAX); n++) {
        if (machine.n_work > 0 && machine.work[0].has_ended) {
            promises_deliver(0);
        } else if (machine.n_work > 0) {
            machine_run(0);
        } else {
            if (machine_next_timer() > machine.now)
                machine.now = machine_next_timer();
            if (machine.wait_at <= machine.now)
                machine_wait_timer();
            if (machine.orphans_at <= machine.now)
                machine_orphans_timer();
        }
        promises_check();
    }
}

// All clients go.  The rest needs no choice.
static void end_all(void)
{
    trace("  all clients go");
    for (unsigned i = 0; i < ACTORS; i++) {
        actor_unmap(&actors[i]);
        actor_lose(&actors[i]);
    }
    for (unsigned i = 0; i < n_connections; i++)
        if (!connections[i].is_seen_ended)
            connection_end(&connections[i]);
    finish();
    unlink_regions();
    finish();
    promises_check_nothing_left();
    for (unsigned i = 0; i < ACTOR_REGIONS && machine.may_leave_files; i++) {
        const struct handle h = actor_handle(i);

        machine_remove_files(&h);
    }
}

static uint64_t hash_bounds(uint64_t h, const struct bounds *left)
{
    return explorer_hash(h, left->ticks | left->failures << 8 | left->kills << 16 | (uint64_t)left->stuck << 24);
}

static void run_schedule(struct explorer *e, const struct play *play)
{
    struct bounds left = play->bounds;
    struct options o;

    machine.limit = (uint64_t)play->limit * MACHINE_BLOCK;
    machine.has_two_disks = play->two_disks;
    machine.may_leave_files = false;
    machine.now = 1000000;
    trace_start(play->name);
    machine_start();
    actors_start(play->scripts, play->two_users, play->in_containers);
    for (find_options(&o, &left); o.n > 0; find_options(&o, &left)) {
        unsigned choice = o.n == 1 ? 0 : explorer_choose(e, o.n, hash_bounds(promises_state(), &left));

        take(&o.list[choice], &left);
        promises_check();
        if (is_quiet())
            promises_check_quiet();
        if (!e->branches)
            break;
    }
    end_all();
    machine_kill();
}

// Moves write much: a disk that others use would be the bottleneck.
static void open_machine(const struct play *play)
{
    const char *former = getenv("DISKALLOC_TEST_DIR");

    if (play->two_disks && !former && access("/dev/shm", W_OK) == 0)
        setenv("DISKALLOC_TEST_DIR", "/dev/shm", 1);
    machine_open();
    if (!former)
        unsetenv("DISKALLOC_TEST_DIR");
}

static void run_play(const struct play *play)
{
    struct explorer e;
    bool more = true;

    const char *text = getenv("DISKALLOC_TEST_SCHEDULES");
    unsigned factor = text ? (unsigned)strtoul(text, NULL, 10) : 1, part = SANITIZED ? 8 : 1;

    explorer_init(&e);
    open_machine(play);
    actors_open();
    while (more && e.n_schedules < (uint64_t)play->most_schedules * factor / part) {
        explorer_begin(&e, 0);
        run_schedule(&e, play);
        more = explorer_next(&e);
    }
    print_message("%s: %llu schedules%s, %llu states, %llu choices\n", play->name, (unsigned long long)e.n_schedules,
                  more ? ", not all" : "", (unsigned long long)e.n_states, (unsigned long long)e.n_choices);
    for (unsigned i = 0; i < play->n_random * factor / part; i++) {
        explorer_begin(&e, i + 1);
        run_schedule(&e, play);
    }
    print_message("%s: %u random schedules, %llu states in all\n", play->name, play->n_random * factor / part,
                  (unsigned long long)e.n_states);
    actors_close();
    machine_close();
    explorer_deinit(&e);
}

#define PLAY(n, schedules, random, ...)                                                                      \
    static void n(void **state)                                                                              \
    {                                                                                                        \
        const struct play play = {.name = #n, .most_schedules = schedules, .n_random = random, __VA_ARGS__}; \
                                                                                                             \
        (void)state;                                                                                         \
        run_play(&play);                                                                                     \
    }

#define STEP(k, r, s)                                \
    {                                                \
        .kind = STEP_##k, .region = (r), .size = (s) \
    }
#define PART(k, r, o, s)                                            \
    {                                                               \
        .kind = STEP_##k, .region = (r), .offset = (o), .size = (s) \
    }
#define WAIT(r, s, ms)                                                      \
    {                                                                       \
        .kind = STEP_GROW_WAIT, .region = (r), .size = (s), .wait_ms = (ms) \
    }
#define LAST              \
    {                     \
        .kind = STEP_NONE \
    }
#define SCRIPT(name, ...) static const struct step name[] = {__VA_ARGS__, LAST}

SCRIPT(grows, STEP(CREATE, 0, 1), STEP(GROW, 0, 4), STEP(SHRINK, 0, 2), STEP(DETACH, 0, 0));
SCRIPT(waits, STEP(CREATE, 1, 2), WAIT(1, 5, 100), STEP(CANCEL, 0, 0), STEP(SHRINK, 1, 1));
SCRIPT(shares, STEP(ATTACH, 0, 0), STEP(GROW, 0, 5), STEP(LOSE, 0, 0), STEP(SHRINK, 0, 1));
SCRIPT(owns, STEP(CREATE, 0, 3), STEP(SHRINK, 0, 2), STEP(LOSE, 0, 0), STEP(DETACH, 0, 0));
SCRIPT(shrinks, STEP(CREATE, 0, 3), STEP(SHRINK, 0, 1));
SCRIPT(maps, STEP(ATTACH, 0, 0));
SCRIPT(discards, STEP(CREATE, 0, 8), PART(DISCARD, 0, 2, 2), STEP(SHRINK, 0, 5), PART(RESTORE, 0, 2, 2));
SCRIPT(dies, STEP(ATTACH, 0, 0), WAIT(0, 9, UINT64_MAX), STEP(DIE, 0, 0));
SCRIPT(early, STEP(CREATE, 1, 2), STEP(EARLY, 1, 4), STEP(CANCEL, 0, 0), STEP(GROW, 1, 6), STEP(DETACH, 1, 0));

SCRIPT(moves, STEP(OPEN, 0, 4), STEP(DETACH, 0, 0), STEP(MOVE, 0, 1), STEP(CANCEL, 0, 0), STEP(OPEN, 0, 4),
       STEP(DETACH, 0, 0), STEP(MOVE, 0, 0));
SCRIPT(uses, STEP(OPEN, 0, 2), STEP(GROW, 0, 6), STEP(LOSE, 0, 0), STEP(DETACH, 0, 0));
SCRIPT(removes, STEP(OPEN, 0, 3), STEP(DETACH, 0, 0), STEP(UNLINK, 0, 0));
SCRIPT(copies, STEP(OPEN, 0, 4), PART(CLONE, 1, 0, 0), STEP(DETACH, 0, 0), STEP(CANCEL, 0, 0), STEP(GROW, 1, 6));
SCRIPT(only_moves, STEP(MOVE, 0, 1), STEP(MOVE, 0, 0), STEP(MOVE, 0, 1));

PLAY(a_limit_that_two_want, 3000, 200, .scripts = {grows, waits}, .limit = 3, .bounds = {.ticks = 2})
PLAY(a_limit_that_two_users_want, 3000, 200, .scripts = {grows, waits}, .two_users = true, .limit = 3,
     .bounds = {.ticks = 2})
PLAY(a_region_that_two_share, 4000, 300, .scripts = {owns, shares}, .limit = 4, .bounds = {.ticks = 2})
PLAY(a_disk_that_fails, 4000, 300, .scripts = {grows, waits}, .limit = 3, .bounds = {.ticks = 1, .failures = 1})
PLAY(a_daemon_that_is_killed, 4000, 300, .scripts = {owns, shares}, .limit = 4, .bounds = {.ticks = 1, .kills = 1})
// After a restart, marks tell of all other processes; but what the record says of holders decides alone for these.
PLAY(processes_in_containers, 4000, 300, .scripts = {shrinks, maps}, .in_containers = true, .limit = 4,
     .bounds = {.ticks = 1, .kills = 1})
PLAY(discarded_parts, 500, 60, .scripts = {discards, dies}, .limit = 6, .bounds = {.ticks = 1, .failures = 1})
PLAY(discarded_parts_and_a_killed_daemon, 500, 60, .scripts = {discards, early}, .limit = 6,
     .bounds = {.ticks = 1, .kills = 1})
PLAY(operations_that_are_stuck, 3000, 200, .scripts = {grows, early}, .limit = 4, .bounds = {.ticks = 1, .stuck = 1})
PLAY(a_region_that_moves, 2000, 500, .scripts = {moves, uses}, .two_disks = true, .limit = 7, .bounds = {.ticks = 1})
PLAY(a_region_that_is_removed_while_it_moves, 2000, 500, .scripts = {moves, removes}, .two_disks = true, .limit = 4,
     .bounds = {.ticks = 1})
PLAY(a_move_and_a_killed_daemon, 2000, 500, .scripts = {moves, uses}, .two_disks = true, .limit = 7,
     .bounds = {.ticks = 1, .kills = 1})
PLAY(a_move_and_a_disk_that_fails, 2000, 500, .scripts = {moves, uses}, .two_disks = true, .limit = 7,
     .bounds = {.ticks = 1, .failures = 1})
PLAY(a_region_that_is_cloned_and_is_to_move, 2000, 300, .scripts = {copies, only_moves}, .two_disks = true, .limit = 8,
     .bounds = {.ticks = 1, .kills = 1})

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        TEST(a_limit_that_two_want),
        TEST(a_limit_that_two_users_want),
        TEST(a_region_that_two_share),
        TEST(a_disk_that_fails),
        TEST(a_daemon_that_is_killed),
        TEST(processes_in_containers),
        TEST(discarded_parts),
        TEST(discarded_parts_and_a_killed_daemon),
        TEST(operations_that_are_stuck),
        TEST(a_region_that_moves),
        TEST(a_region_that_is_removed_while_it_moves),
        TEST(a_move_and_a_killed_daemon),
        TEST(a_move_and_a_disk_that_fails),
        TEST(a_region_that_is_cloned_and_is_to_move),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
