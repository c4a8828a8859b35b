// Many processes of one user at a limit: exactly the bytes that fit are granted, and close then create never fails by
// chance.
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

enum { CLIENTS = 8, HELD = 64, ROUNDS = SANITIZED ? 60 : 250, AT_ONCE = 8 };
#define BLOCK ((uint64_t)4096)
#define FULL (256 * MIB)
#define CONFIG "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 256M\n"

struct shared {
    char address[176];
    uint64_t limit;
    _Atomic uint64_t granted[CLIENTS]; // in blocks
};

struct filler {
    struct shared *shared;
    int id;
};

static struct shared *shared;

static uint64_t blocks(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK;
}

static void check_refusal(const struct shared *s, int code, uint64_t asked_at_most)
{
    struct diskalloc_error_info info;

    if (code != -EDQUOT)
        fprintf(stderr, "%s\n", diskalloc_last_error());
    NEED(code == -EDQUOT);
    NEED(diskalloc_last_error_info(&info, sizeof(info)) == 0);
    NEED(strncmp(info.limit_name, "user:", 5) == 0 && strstr(info.limit_name, " bytes"));
    NEED(info.limit == s->limit && info.used <= info.limit);
    NEED(info.asked > info.limit - info.used && info.asked <= asked_at_most);
}

// By steps that become smaller as there is less, down to a block; sizes are no multiples of blocks.
static void fill(struct shared *s, int id, struct diskalloc *da)
{
    struct diskalloc_region *held[HELD] = {0};
    uint64_t step = 3 * MIB - 1000, n = 0, sum = 0;

    for (; step >= BLOCK || n % HELD; n++) {
        struct diskalloc_region **r = &held[n % HELD];
        uint64_t size = (*r ? diskalloc_region_size(*r) : 0) + (step >= BLOCK ? step : BLOCK);
        int code;

        if (!*r)
            NEED(diskalloc_region_create(da, NULL, r) == 0);
        sum -= blocks(diskalloc_region_size(*r));
        code = diskalloc_region_resize(*r, size);
        sum += blocks(diskalloc_region_size(*r));
        if (code != 0) {
            check_refusal(s, code, (step >= BLOCK ? step : BLOCK) + BLOCK);
            step /= 2;
        }
    }
    // The limit is exactly used up now: no process gives anything back.
    check_refusal(s, diskalloc_region_resize(held[0], blocks(diskalloc_region_size(held[0])) * BLOCK + 1), BLOCK);
    for (int i = 0; i < HELD; i++) {
        uint8_t *data = diskalloc_region_data(held[i]);

        for (uint64_t at = 0; at < diskalloc_region_size(held[i]); at += BLOCK)
            data[at] = (uint8_t)id;
    }
    s->granted[id] = sum;
}

static void be_filler(struct actor *self, void *data)
{
    struct filler *f = data;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(f->shared->address, NULL, &da) == 0);
    actor_next(self); // all begin at once
    fill(f->shared, f->id, da);
    actor_next(self); // full, and held until its death
}

static uint64_t granted_blocks(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < CLIENTS; i++)
        sum += shared->granted[i];
    return sum;
}

static void start_fillers(struct actor *a, struct filler *f)
{
    for (int i = 0; i < CLIENTS; i++) {
        f[i] = (struct filler){shared, i};
        shared->granted[i] = 0;
        actor_start(&a[i], be_filler, &f[i], (uid_t)-1);
        actor_await(&a[i]);
    }
    for (int i = 0; i < CLIENTS; i++)
        actor_go(&a[i]);
    for (int i = 0; i < CLIENTS; i++)
        actor_await(&a[i]);
}

static void check_full(const struct test_daemon *d, struct raw *admin, const char *user)
{
    assert_int_equal(granted_blocks() * BLOCK, shared->limit);
    assert_int_equal(USAGE_OF(admin, user, bytes), shared->limit);
    assert_int_equal(USAGE_OF(admin, user, bytes_limit), shared->limit);
    assert_int_equal(USAGE_OF(admin, user, grantable_bytes), 0);
    assert_int_equal(test_sum_sizes(d->spill), shared->limit);
}

// Fills, and has half of them killed, and then the others.
static void check_filling(const struct test_daemon *d, struct raw *admin, const char *user)
{
    struct filler f[CLIENTS];
    struct actor a[CLIENTS];
    uint64_t left = 0;

    start_fillers(a, f);
    check_full(d, admin, user);
    for (int i = 0; i < CLIENTS / 2; i++)
        actor_kill(&a[i]);
    for (int i = CLIENTS / 2; i < CLIENTS; i++)
        left += shared->granted[i] * BLOCK;
    AWAIT_USAGE(admin, user, bytes, left);
    assert_int_equal(test_sum_sizes(d->spill), left);
    for (int i = CLIENTS / 2; i < CLIENTS; i++)
        actor_kill(&a[i]);
    AWAIT_USAGE(admin, user, regions, 0);
    assert_int_equal(USAGE_OF(admin, user, bytes), 0);
    assert_int_equal(test_count_files(d->spill), 0);
}

// The daemon dies and comes back while it is full: nothing is given back, and nothing granted that would not fit.
static void check_restart_while_full(struct test_daemon *d, struct raw *admin, const char *user)
{
    struct filler f[CLIENTS];
    struct actor a[CLIENTS];
    struct raw_handle h = raw_handle_new();

    start_fillers(a, f);
    raw_close(admin);
    test_daemon_kill(d, SIGKILL);
    test_daemon_restart(d);
    assert_int_equal(raw_open(admin, d->socket), RAW_CODE(OK));
    check_full(d, admin, user);
    assert_int_equal(raw_create(admin, &h, 1), RAW_CODE(LIMIT));
    for (int i = 0; i < CLIENTS; i++)
        actor_kill(&a[i]);
    AWAIT_USAGE(admin, user, regions, 0);
    assert_int_equal(USAGE_OF(admin, user, bytes), 0);
}

static void eight_processes_are_granted_exactly_what_fits_before_and_after_a_quota_set_and_a_restart(void **state)
{
    struct test_daemon d;
    struct raw admin;
    char user[40];

    (void)state;
    test_daemon_start(&d, CONFIG, NULL);
    subject_of_uid(geteuid(), user, sizeof(user));
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    snprintf(shared->address, sizeof(shared->address), "%s", d.address);
    shared->limit = FULL;
    check_filling(&d, &admin, user);
    shared->limit = 96 * MIB;
    assert_int_equal(raw_set_quota(&admin, user, "bytes", "96M"), RAW_CODE(OK));
    check_filling(&d, &admin, user);
    check_restart_while_full(&d, &admin, user);
    check_filling(&d, &admin, user);
    shared->limit = FULL;
    assert_int_equal(raw_unset_quota(&admin, user, NULL), RAW_CODE(OK));
    check_filling(&d, &admin, user);
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
}

// ---- Close, then create, at the limit ----

struct churn {
    const char *address;
    uint64_t size;
};

static void close_and_create(struct actor *self, void *data)
{
    const struct churn *c = data;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    struct diskalloc_region *r = NULL;

    NEED(diskalloc_open(c->address, NULL, &da) == 0);
    o.size = c->size;
    actor_next(self);
    for (int i = 0; i < ROUNDS; i++) {
        if (diskalloc_region_create(da, &o, &r) != 0) {
            fprintf(stderr, "round %d: %s\n", i, diskalloc_last_error());
            _exit(1);
        }
        memset(diskalloc_region_data(r), i, c->size);
        diskalloc_region_close(r);
    }
    diskalloc_close(da);
}

static void grow_and_shrink(struct actor *self, void *data)
{
    const struct churn *c = data;
    struct diskalloc *da = NULL;
    struct diskalloc_region *r = NULL;

    NEED(diskalloc_open(c->address, NULL, &da) == 0);
    NEED(diskalloc_region_create(da, NULL, &r) == 0);
    actor_next(self);
    for (int i = 0; i < ROUNDS; i++) {
        int code = i % 3 ? diskalloc_region_resize(r, c->size) : diskalloc_region_resize(r, c->size / 2);

        if (code == 0 && i % 5 == 0)
            code = diskalloc_region_discard(r, 0, c->size / 2);
        if (code == 0)
            code = diskalloc_region_restore(r, 0, diskalloc_region_size(r));
        if (code == 0)
            code = diskalloc_region_resize(r, 0);
        if (code != 0) {
            fprintf(stderr, "round %d: %s\n", i, diskalloc_last_error());
            _exit(1);
        }
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void check_churn(const char *limits, uint64_t size, void (*fn)(struct actor *self, void *data))
{
    struct test_daemon d;
    struct churn c;
    struct actor a[AT_ONCE];
    struct raw admin;
    char config[200];

    snprintf(config, sizeof(config), "[daemon]\nkeep_free = 0\n[quota %s\n", limits);
    test_daemon_start(&d, config, NULL);
    c = (struct churn){d.address, size};
    for (int i = 0; i < AT_ONCE; i++) {
        actor_start(&a[i], fn, &c, (uid_t)-1);
        actor_await(&a[i]);
    }
    for (int i = 0; i < AT_ONCE; i++)
        actor_go(&a[i]);
    for (int i = 0; i < AT_ONCE; i++)
        actor_finish(&a[i]);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    AWAIT_USAGE(&admin, "total", bytes, 0);
    AWAIT_USAGE(&admin, "total", regions, 0);
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
}

static void closing_and_creating_at_the_limit_of_regions_never_fails(void **state)
{
    (void)state;
    check_churn("default]\nregions = 8", 4096, close_and_create);
}

static void closing_and_creating_at_the_limit_of_bytes_never_fails(void **state)
{
    (void)state;
    check_churn("default]\nbytes = 8M", MIB, close_and_create);
}

static void closing_and_creating_at_the_total_limits_never_fails(void **state)
{
    (void)state;
    check_churn("total]\nbytes = 8M\nregions = 8", MIB, close_and_create);
}

static void growing_shrinking_discarding_and_restoring_at_the_limit_never_fails(void **state)
{
    (void)state;
    check_churn("default]\nbytes = 8M", MIB, grow_and_shrink);
}

static int share(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(eight_processes_are_granted_exactly_what_fits_before_and_after_a_quota_set_and_a_restart),
        TEST(closing_and_creating_at_the_limit_of_regions_never_fails),
        TEST(closing_and_creating_at_the_limit_of_bytes_never_fails),
        TEST(closing_and_creating_at_the_total_limits_never_fails),
        TEST(growing_shrinking_discarding_and_restoring_at_the_limit_never_fails),
    };

    return cmocka_run_group_tests(tests, share, NULL);
}
