// A user who may only read regions of another one holds the locks of their files, while the owner makes durable
// commits of them, clones them and moves them.  Each of these requests is answered, as each grow is, and not after an
// hour, which is for disks that have very much to write.
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/pin.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>
#include <string.h>

enum { READER = 1, PINNED = 6, ROUNDS = 50 };

struct scene {
    struct test_backend b;
    struct test_mount mount;
    char dirs[2][140];
    struct diskalloc_region *regions[PINNED], *own;
    struct actor actor;
};

static void attack(struct actor *self, void *data)
{
    const struct scene *s = data;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r[PINNED];
    struct diskalloc *da;
    struct pin pin;
    char name[32];

    pin_init(&pin);
    actor_become(READER);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    actor_wait(self);
    NEED(diskalloc_open(s->b.daemon.address, NULL, &da) == 0);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    for (int i = 0; i < PINNED; i++) {
        snprintf(name, sizeof name, "+0/read%d", i);
        NEED(diskalloc_region_open(da, name, &o, &r[i]) == 0);
        pin_hold(&pin, diskalloc_region_fd(r[i]), true);
    }
    actor_next(self);
    for (int i = 0; i < PINNED; i++)
        diskalloc_region_close(r[i]); // the read goes on
    actor_next(self);
    pin_release(&pin);
    actor_next(self);
    diskalloc_close(da);
}

static struct diskalloc_region *make_public(struct scene *s, int i, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    char name[16];

    snprintf(name, sizeof name, "read%d", i);
    o.size = MIB;
    o.mode = 0644;
    o.flags = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE | flags;
    assert_int_equal(diskalloc_region_open(s->b.da, name, &o, &r), 0);
    memset(diskalloc_region_data(r), i + 1, MIB);
    return r;
}

// The actor has the pages of the file read, so that it holds their locks.
static void begin(struct scene *s, const char *config, const char *spill, uint32_t flags)
{
    test_daemon_start(&s->b.daemon, config, spill);
    actor_start(&s->actor, attack, s, (uid_t)-1);
    assert_int_equal(diskalloc_open(s->b.daemon.address, NULL, &s->b.da), 0);
    for (int i = 0; i < PINNED; i++) {
        s->regions[i] = make_public(s, i, flags);
        assert_int_equal(diskalloc_region_sync(s->regions[i]), 0);
    }
    s->own = make_region(s->b.da, 4096);
    actor_go(&s->actor);
    actor_await(&s->actor);
}

// The actor closes its regions, and holds on to the locks.
static void leave(struct scene *s)
{
    actor_go(&s->actor);
    actor_await(&s->actor);
}

static void release(struct scene *s)
{
    actor_go(&s->actor);
    actor_await(&s->actor);
}

static void end(struct scene *s)
{
    actor_go(&s->actor);
    actor_finish(&s->actor);
    for (int i = 0; i < PINNED; i++)
        diskalloc_region_close(s->regions[i]);
    diskalloc_region_close(s->own);
    diskalloc_close(s->b.da);
    test_daemon_stop_and_remove(&s->b.daemon);
}

static void go_on(struct scene *s)
{
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        assert_int_equal(diskalloc_region_resize(s->own, i * 64 * KIB), 0);
        assert_int_equal(diskalloc_region_commit(s->own, i, 1, 0), 0);
    }
    assert_int_equal(diskalloc_region_resize(s->own, 4096), 0);
    assert_int_equal(diskalloc_region_commit(s->own, 0, 1, DISKALLOC_DURABLE), 0);
}

struct asker {
    pthread_t thread;
    struct diskalloc_region *region, *copy;
    int result;
};

static void *commit(void *data)
{
    struct asker *a = data;

    a->result = diskalloc_region_commit(a->region, 1, 1, DISKALLOC_DURABLE);
    return NULL;
}

static void *clone_it(void *data)
{
    struct asker *a = data;

    a->result = diskalloc_region_clone(a->region, NULL, NULL, &a->copy);
    return NULL;
}

// All ask, and are answered; then nobody holds the files, and all ask again.
static void ask(struct scene *s, void *(*fn)(void *data))
{
    struct asker askers[PINNED] = {{0}};

    for (int i = 0; i < PINNED; i++) {
        askers[i].region = s->regions[i];
        assert_int_equal(pthread_create(&askers[i].thread, NULL, fn, &askers[i]), 0);
    }
    go_on(s);
    for (int i = 0; i < PINNED; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].result, -ETIMEDOUT);
    }
    assert_true(test_daemon_logged(&s->b.daemon, "attached: "));
    assert_true(test_daemon_logged(&s->b.daemon, "uid 1 pid"));
    go_on(s);
    leave(s);
    release(s);
    for (int i = 0; i < PINNED; i++) {
        fn(&askers[i]);
        assert_int_equal(askers[i].result, 0);
        if (!askers[i].copy)
            continue;
        assert_memory_equal(diskalloc_region_data(askers[i].copy), diskalloc_region_data(s->regions[i]), MIB);
        diskalloc_region_close(askers[i].copy);
    }
}

static void durable_commits_are_answered(void **state)
{
    struct scene s = {0};

    (void)state;
    if (!pin_is_possible()) {
        skip();
        return;
    }
    begin(&s, "[daemon]\nkeep_free = 0\n", NULL, 0);
    ask(&s, commit);
    end(&s);
}

// xfs shares blocks, which needs the locks of both files.
static void clones_that_share_blocks_are_answered(void **state)
{
    struct scene s = {0};
    char spill[180];

    (void)state;
    if (!pin_is_possible() || !test_mount(&s.mount, "xfs", 400 * MIB)) {
        skip();
        return;
    }
    snprintf(spill, sizeof spill, "%s/spill", s.mount.at);
    assert_return_code(mkdir(spill, 0700), errno);
    begin(&s, "[daemon]\nkeep_free = 0\n", spill, DISKALLOC_REGION_SPARSE);
    ask(&s, clone_it);
    end(&s);
    test_unmount(&s.mount);
}

static int move(struct raw *c, const char *name, const char *dir)
{
    Diskalloc__V1__MoveRegion body = DISKALLOC__V1__MOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.name = raw_text(name);
    body.disk = raw_text(dir);
    q.body_case = RAW_BODY(MOVE_REGION);
    q.move_region = &body;
    return raw_done(c, &q);
}

// Nobody has the regions attached.
static void moves_are_answered(void **state)
{
    char parents[2][128], config[500], name[16];
    struct scene s = {0};
    struct raw c;

    (void)state;
    if (!pin_is_possible()) {
        skip();
        return;
    }
    for (int i = 0; i < 2; i++) {
        scratch_make_dir(parents[i], sizeof parents[i]);
        snprintf(s.dirs[i], sizeof s.dirs[i], "%.100s/spill", parents[i]);
        assert_return_code(mkdir(s.dirs[i], 0700), errno);
    }
    snprintf(config, sizeof config, "[daemon]\nspill_dir = %s\nspill_dir = %s\nkeep_free = 0\n", s.dirs[0], s.dirs[1]);
    begin(&s, config, "", 0);
    leave(&s);
    assert_int_equal(raw_open(&c, s.b.daemon.socket), RAW_CODE(OK));
    for (int i = 0; i < PINNED; i++) {
        diskalloc_region_close(s.regions[i]);
        s.regions[i] = NULL;
        snprintf(name, sizeof name, "read%d", i);
        for (int k = 0; k < 2; k++) // one of them is the disk where it lies
            assert_int_not_equal(move(&c, name, s.dirs[k]), RAW_CODE(OK));
    }
    go_on(&s);
    release(&s);
    for (int i = 0; i < PINNED; i++) {
        int n_moved = 0;

        snprintf(name, sizeof name, "read%d", i);
        for (int k = 0; k < 2; k++)
            n_moved += move(&c, name, s.dirs[k]) == RAW_CODE(OK);
        assert_in_range(n_moved, 1, 2);
    }
    raw_close(&c);
    end(&s);
    for (int i = 0; i < 2; i++)
        scratch_remove_tree(parents[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(durable_commits_are_answered),
        TEST(clones_that_share_blocks_are_answered),
        TEST(moves_are_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
