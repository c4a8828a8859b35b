// Requests, refusals and deaths in any order: no limit is ever exceeded, and the charges are equal to the bytes on
// disk.
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <sys/mman.h>

enum { CLIENTS = 5, GENERATIONS = SANITIZED ? 2 : 3, STEPS = 200, HELD = 6, LIMIT_MIB = 24, MAX_REGIONS = 20 };

struct shared {
    const char *address;
    uint64_t seed;
    _Atomic uint64_t steps[CLIENTS];
};

struct walk {
    struct diskalloc *da;
    struct diskalloc_region *held[HELD];
    uint64_t state;
    int id;
};

struct client {
    struct shared *shared;
    int id, generation;
};

static uint64_t below(struct walk *w, uint64_t n)
{
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return w->state % n;
}

// A refusal is fine, and names a limit that is really reached; nothing else is.
static bool done_or_refused(int code)
{
    struct diskalloc_error_info info = {0};

    if (code == 0)
        return true;
    NEED(diskalloc_last_error_info(&info, sizeof(info)) == 0);
    if (code != -EDQUOT)
        fprintf(stderr, "%s\n", diskalloc_last_error());
    NEED(code == -EDQUOT && info.code == code);
    NEED(info.limit == LIMIT_MIB * MIB || info.limit == MAX_REGIONS);
    NEED(info.used <= info.limit && info.asked > info.limit - info.used);
    return false;
}

static void take_one(struct walk *w, struct diskalloc_region **slot)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    char name[32];

    o.size = below(w, 2) ? below(w, 2 * MIB) : 0;
    o.flags = DISKALLOC_REGION_CREATE;
    snprintf(name, sizeof(name), "walk-%d-%d", w->id, (int)below(w, 3));
    if (below(w, 4) == 0)
        done_or_refused(diskalloc_region_open(w->da, name, &o, slot));
    else {
        o.flags = 0;
        done_or_refused(diskalloc_region_create(w->da, &o, slot));
    }
    if (*slot)
        memset(diskalloc_region_data(*slot), w->id, diskalloc_region_size(*slot));
}

static void change_one(struct walk *w, struct diskalloc_region *r)
{
    uint64_t before, size = below(w, 4 * MIB);
    int code = diskalloc_region_refresh(r); // this process may hold it twice

    NEED(code >= 0 || code == -ESTALE);
    before = diskalloc_region_size(r);
    code = diskalloc_region_resize(r, size);

    // Unlinked, or held twice.
    if (code == -ESTALE || code == -EBUSY) {
        if (diskalloc_region_size(r) != before)
            fprintf(stderr, "%llu before, asked for %llu, then %llu; %s\n", (unsigned long long)before,
                    (unsigned long long)size, (unsigned long long)diskalloc_region_size(r), diskalloc_last_error());
        NEED(diskalloc_region_size(r) == before);
        return;
    }
    if (done_or_refused(code)) {
        NEED(diskalloc_region_size(r) >= size);
        memset(diskalloc_region_data(r), w->id, diskalloc_region_size(r));
    } else {
        if (diskalloc_region_size(r) != before)
            fprintf(stderr, "%llu before, asked for %llu, then %llu; %s\n", (unsigned long long)before,
                    (unsigned long long)size, (unsigned long long)diskalloc_region_size(r), diskalloc_last_error());
        NEED(diskalloc_region_size(r) == before);
    }
}

static void take_a_step(struct walk *w)
{
    struct diskalloc_region **slot = &w->held[below(w, HELD)];
    char name[32];
    int code;

    if (below(w, 20) == 0) {
        snprintf(name, sizeof(name), "walk-%d-%d", w->id, (int)below(w, 3));
        code = diskalloc_region_unlink(w->da, name);
        NEED(code == 0 || code == -ENOENT);
    } else if (!*slot) {
        take_one(w, slot);
    } else if (below(w, 3) == 0) {
        diskalloc_region_close(*slot);
        *slot = NULL;
    } else {
        change_one(w, *slot);
    }
}

static void walk_until_killed(struct actor *self, void *data)
{
    const struct client *c = data;
    struct walk w = {.id = c->id,
                     .state = c->shared->seed ^ (uint64_t)(c->id * 1000 + c->generation + 1) * 0x9e3779b97f4a7c15};

    NEED(diskalloc_open(c->shared->address, NULL, &w.da) == 0);
    for (int step = 0; step < STEPS; step++) {
        take_a_step(&w);
        c->shared->steps[c->id]++;
    }
    actor_next(self);
}

struct target {
    struct shared *shared;
    struct actor *actor;
    struct diskalloc *da;
    int id;
    uint64_t steps;
};

static bool within_limits(struct diskalloc *da)
{
    struct diskalloc_usage u = usage_of(da);

    assert_true(u.bytes <= LIMIT_MIB * MIB);
    assert_true(u.regions <= MAX_REGIONS);
    assert_true(u.bytes % 4096 == 0);
    return true;
}

static bool has_come_so_far(void *data)
{
    const struct target *t = data;
    siginfo_t info = {0};

    within_limits(t->da);
    assert_return_code(waitid(P_PID, (id_t)t->actor->pid, &info, WEXITED | WNOHANG | WNOWAIT), errno);
    assert_int_equal(info.si_pid, 0); // it says why itself
    return t->shared->steps[t->id] >= t->steps;
}

static bool charge_equals_files(void *data)
{
    struct test_backend *b = data;
    struct diskalloc_usage u = usage_of(b->da);
    char dir[200];

    snprintf(dir, sizeof(dir), "%s/%u", b->daemon.spill, (unsigned)geteuid());
    return u.bytes == test_sum_sizes(dir) && u.regions == test_count_files(dir);
}

static void unlink_all(struct diskalloc *da)
{
    char name[32];

    for (int id = 0; id < CLIENTS; id++)
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof(name), "walk-%d-%d", id, i);
            int code = diskalloc_region_unlink(da, name);

            assert_true(code == 0 || code == -ENOENT);
        }
}

static void check_random_walks(bool restart)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct actor actors[CLIENTS];
    struct client clients[CLIENTS];
    struct test_backend b;
    const char *seed = getenv("DISKALLOC_TEST_SEED");

    assert_true(shared != MAP_FAILED);
    shared->seed = seed ? strtoull(seed, NULL, 0) : 77001;
    print_message("DISKALLOC_TEST_SEED=%llu\n", (unsigned long long)shared->seed);
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 24M\nregions = 20\n", NULL);
    shared->address = b.address;
    for (int generation = 0; generation < GENERATIONS; generation++) {
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = (struct client){shared, i, generation};
            shared->steps[i] = 0;
            actor_start(&actors[i], walk_until_killed, &clients[i], (uid_t)-1);
        }
        // Each is killed somewhere on its way; the last one at its end.
        for (int i = 0; i < CLIENTS; i++) {
            struct target t = {shared, &actors[i], b.da, i, (uint64_t)(STEPS * (i + 1) / CLIENTS)};

            test_wait_until(has_come_so_far, &t, 60, "the client takes its steps");
            if (restart && i == 1) {
                test_daemon_kill(&b.daemon, SIGKILL);
                test_daemon_restart(&b.daemon);
            }
            actor_kill(&actors[i]);
        }
        test_wait_until(charge_equals_files, &b, 30, "the charge is what the files have");
    }
    unlink_all(b.da);
    backend_stop(&b);
    munmap(shared, sizeof(*shared));
}

static void charges_equal_files_after_random_walks_and_kills(void **state)
{
    (void)state;
    check_random_walks(false);
}

static void charges_equal_files_when_the_daemon_is_killed_too(void **state)
{
    (void)state;
    check_random_walks(true);
}

static void keep_free_stays_free_on_a_real_disk(void **state)
{
    static const char config[] = "[daemon]\nkeep_free = 100M\n[quota total]\nbytes = unlimited\n";
    struct diskalloc_region *r;
    struct test_mount m;
    struct test_backend b;
    uint64_t grantable;

    (void)state;
    if (!test_mount(&m, "ext4", 320 * MIB)) {
        skip();
        return;
    }
    backend_start(&b, true, config, m.at);
    grantable = usage_of(b.da).grantable_bytes;
    assert_true(grantable > 50 * MIB && grantable <= 220 * MIB);
    r = make_region(b.da, 0);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, grantable + 16 * MIB));
    assert_int_equal(diskalloc_region_resize(r, grantable - 16 * MIB), 0);
    memset(diskalloc_region_data(r), 1, grantable - 16 * MIB);
    assert_int_equal(diskalloc_region_sync(r), 0);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, grantable + 16 * MIB));
    assert_int_equal(diskalloc_region_size(r), grantable - 16 * MIB);
    diskalloc_region_close(r);
    backend_stop(&b);
    test_unmount(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(charges_equal_files_after_random_walks_and_kills),
        TEST(charges_equal_files_when_the_daemon_is_killed_too),
        TEST(keep_free_stays_free_on_a_real_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
