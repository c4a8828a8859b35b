// Requests of which nobody knows whether the daemon carried them out: the bytes concerned are inaccessible until the
// daemon says.
#include "tests/lib/actor.h"
#include "tests/lib/fake_daemon.h"
#include "tests/lib/test_daemon.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

enum { BLOCK = 4096 };

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

// True if the program may store to byte OFFSET of the region.
static bool is_accessible(const struct diskalloc_region *r, uint64_t offset)
{
    uintptr_t at = (uintptr_t)diskalloc_region_data(r) + offset, from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], access[8] = "";
    bool found = false;

    assert_non_null(maps);
    while (!found && fgets(line, sizeof line, maps))
        found = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, access) == 3 && from <= at && at < to;
    fclose(maps);
    assert_true(found);
    return access[1] == 'w';
}

// The first connection goes as FIRST says; the daemon is away until the client has given up; then it is back.
struct fixture {
    struct play p;
    char socket[180], away[190];
    struct diskalloc *da;
    struct diskalloc_region *r;
};

static void start_with(struct fixture *f, const char *first, const char *second, void (*meanwhile)(struct play *p))
{
    f->p = (struct play){.connections = {first, second}, .meanwhile = meanwhile};
    play_start(&f->p);
    f->da = client_of(&f->p, 1);
    snprintf(f->socket, sizeof f->socket, "%s", f->p.at.address + strlen("unix:"));
    snprintf(f->away, sizeof f->away, "%s.away", f->socket);
    f->r = make_region(f->da, 0);
    assert_int_equal(diskalloc_region_resize(f->r, 16 * BLOCK), 0);
    memset(diskalloc_region_data(f->r), 7, 16 * BLOCK);
}

static void start(struct fixture *f, const char *first)
{
    start_with(f, first, "", NULL);
}

// The connection that there is stays.
static void hide_daemon(const struct fixture *f)
{
    if (f->socket[0])
        assert_return_code(rename(f->socket, f->away), errno);
}

static void show_daemon(const struct fixture *f)
{
    if (f->socket[0])
        assert_return_code(rename(f->away, f->socket), errno);
}

static void end(struct fixture *f)
{
    diskalloc_region_close(f->r);
    diskalloc_close(f->da);
    play_end(&f->p);
}

static void expect_bytes(const struct fixture *f, uint64_t from, uint64_t to, int value)
{
    const uint8_t *bytes = diskalloc_region_data(f->r);

    for (uint64_t i = from; i < to; i++)
        assert_int_equal(bytes[i], value);
}

static void lose_a_shrink(struct fixture *f)
{
    hide_daemon(f);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(f->r, 4 * BLOCK));
    show_daemon(f);
    assert_int_equal(diskalloc_region_size(f->r), 4 * BLOCK);
    assert_true(is_accessible(f->r, 4 * BLOCK - 1));
    assert_false(is_accessible(f->r, 4 * BLOCK));
    assert_false(is_accessible(f->r, 16 * BLOCK - 1));
    expect_bytes(f, 0, 4 * BLOCK, 7);
}

static void bytes_that_a_lost_shrink_has_cut_stay_inaccessible(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...d");
    lose_a_shrink(&f);
    assert_int_equal(diskalloc_region_refresh(f.r), 0);
    assert_int_equal(diskalloc_region_size(f.r), 4 * BLOCK);
    assert_false(is_accessible(f.r, 4 * BLOCK));
    assert_int_equal(diskalloc_region_resize(f.r, 16 * BLOCK), 0);
    expect_bytes(&f, 4 * BLOCK, 16 * BLOCK, 0);
    end(&f);
    assert_string_equal(f.p.seen, "HCGSHATGD");
}

static void bytes_that_a_lost_shrink_has_not_cut_come_back(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...x");
    lose_a_shrink(&f);
    assert_int_equal(diskalloc_region_refresh(f.r), 1);
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    end(&f);
    assert_string_equal(f.p.seen, "HCGSHATD");
}

// The daemon comes back at once, and does not know the region: it was unlinked.  Then the mapping tells.
static void a_shrink_of_a_region_that_is_gone_was_not_done(void **state)
{
    struct fixture f;

    (void)state;
    start_with(&f, "...x", ".nun", NULL);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(f.r, 4 * BLOCK));
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    assert_true(is_accessible(f.r, 16 * BLOCK - 1));
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    end(&f);
}

static void a_shrink_of_a_region_that_is_gone_was_done(void **state)
{
    struct fixture f;

    (void)state;
    start_with(&f, "...d", ".nun", NULL);
    assert_int_equal(diskalloc_region_resize(f.r, 4 * BLOCK + 1), 0);
    assert_int_equal(diskalloc_region_size(f.r), 4 * BLOCK + 1);
    assert_false(is_accessible(f.r, 5 * BLOCK));
    expect_bytes(&f, 0, 4 * BLOCK + 1, 7);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(f.r, BLOCK));
    assert_int_equal(diskalloc_region_size(f.r), 4 * BLOCK + 1);
    end(&f);
}

// Each call that has an answer about the region takes the daemon's size over.
static void a_commit_reconciles_too(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...x");
    lose_a_shrink(&f);
    assert_int_equal(diskalloc_region_commit(f.r, 16 * BLOCK, 1, 0), 0);
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    end(&f);
}

static void a_descriptor_reconciles_too(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...x");
    lose_a_shrink(&f);
    assert_true(diskalloc_region_fd(f.r) >= 0);
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    end(&f);
}

static void lose_a_discard(struct fixture *f)
{
    hide_daemon(f);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_discard", diskalloc_region_discard(f->r, 4 * BLOCK, 2 * BLOCK));
    show_daemon(f);
    assert_int_equal(diskalloc_region_size(f->r), 16 * BLOCK);
    assert_false(is_accessible(f->r, 4 * BLOCK));
    assert_false(is_accessible(f->r, 6 * BLOCK - 1));
    expect_bytes(f, 0, 4 * BLOCK, 7);
    expect_bytes(f, 6 * BLOCK, 16 * BLOCK, 7);
}

static void a_lost_discard_that_was_done_stays_inaccessible(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...d");
    lose_a_discard(&f);
    assert_int_equal(diskalloc_region_refresh(f.r), 1);
    assert_false(is_accessible(f.r, 4 * BLOCK));
    assert_int_equal(diskalloc_region_restore(f.r, 4 * BLOCK, BLOCK), 0);
    assert_true(is_accessible(f.r, 4 * BLOCK));
    assert_false(is_accessible(f.r, 5 * BLOCK));
    end(&f);
    assert_string_equal(f.p.seen, "HCGPHATLRD");
}

static void a_lost_discard_that_was_not_done_comes_back(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "...x");
    lose_a_discard(&f);
    assert_int_equal(diskalloc_region_refresh(f.r), 0);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    assert_true(is_accessible(f.r, 4 * BLOCK));
    end(&f);
}

static void restore_as_others_do(struct play *p)
{
    ranges_remove(&p->discarded, 10 * BLOCK, 2 * BLOCK);
}

// The discard is done; another process has restored as many bytes elsewhere: the sums are equal.
static void equal_sums_of_discarded_bytes_prove_nothing(void **state)
{
    struct fixture f;

    (void)state;
    start_with(&f, "....d", "", restore_as_others_do);
    assert_int_equal(diskalloc_region_discard(f.r, 10 * BLOCK, 2 * BLOCK), 0);
    hide_daemon(&f);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_discard", diskalloc_region_discard(f.r, 4 * BLOCK, 2 * BLOCK));
    show_daemon(&f);
    assert_int_equal(diskalloc_region_refresh(f.r), 0);
    assert_false(is_accessible(f.r, 4 * BLOCK));
    assert_true(is_accessible(f.r, 10 * BLOCK));
    end(&f);
}

static void a_lost_restore_is_inaccessible_until_the_daemon_says(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "....d");
    assert_int_equal(diskalloc_region_discard(f.r, 4 * BLOCK, 2 * BLOCK), 0);
    hide_daemon(&f);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_restore", diskalloc_region_restore(f.r, 4 * BLOCK, BLOCK));
    show_daemon(&f);
    assert_false(is_accessible(f.r, 4 * BLOCK));
    assert_int_equal(diskalloc_region_refresh(f.r), 1);
    assert_true(is_accessible(f.r, 4 * BLOCK));
    assert_false(is_accessible(f.r, 5 * BLOCK));
    end(&f);
}

static void a_vector_has_no_capacity_that_is_in_doubt(void **state)
{
    struct fixture f;
    struct u64s v;

    (void)state;
    start(&f, "......d"); // adopting asks twice, a vector that shrinks once before
    assert_int_equal(u64s_init_region(&v, f.r), 0);
    v.len = 4 * BLOCK / 8;
    hide_daemon(&f);
    EXPECT_FAILURE(-ECONNRESET, "u64s_shrink_to_fit", u64s_shrink_to_fit(&v));
    show_daemon(&f);
    assert_int_equal(v.cap, v.len);
    assert_int_equal(u64s_push(&v, 5), 0);
    assert_int_equal(v.data[4 * BLOCK / 8], 5);
    assert_true(v.cap * 8 <= diskalloc_region_size(f.r));
    u64s_deinit(&v);
    diskalloc_close(f.da);
    play_end(&f.p);
}

// ---- A real daemon ----

// The stopped daemon has a request in its socket.
static bool request_lies_there(void *data)
{
    const struct test_daemon *d = data;
    int unread = 0, sock = find_socket(d->socket);

    return sock >= 0 && ioctl(sock, SIOCOUTQ, &unread) == 0 && unread > 0;
}

static void *kill_when_asked(void *daemon)
{
    test_wait_until(request_lies_there, daemon, 30, "the client sends its request");
    test_daemon_kill(daemon, SIGKILL);
    return NULL;
}

static struct diskalloc *impatient_client(const struct test_daemon *d)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;

    o.reconnect_timeout_ms = 200;
    assert_int_equal(diskalloc_open(d->address, &o, &da), 0);
    return da;
}

static void a_shrink_that_a_killed_daemon_did_not_read_is_undone(void **state)
{
    struct test_daemon d;
    struct fixture f = {0};
    pthread_t killer;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    f.da = impatient_client(&d);
    f.r = make_region(f.da, 16 * BLOCK);
    memset(diskalloc_region_data(f.r), 7, 16 * BLOCK);
    test_daemon_halt(&d);
    assert_int_equal(pthread_create(&killer, NULL, kill_when_asked, &d), 0);
    lose_a_shrink(&f);
    pthread_join(killer, NULL);
    test_daemon_restart(&d);
    assert_int_equal(diskalloc_region_refresh(f.r), 1);
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    diskalloc_region_close(f.r);
    diskalloc_close(f.da);
    test_daemon_stop_and_remove(&d);
}

// The request was never sent: so nothing is in doubt.
static void a_daemon_that_is_gone_makes_nothing_inaccessible(void **state)
{
    struct test_daemon d;
    struct fixture f = {0};

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    f.da = impatient_client(&d);
    f.r = make_region(f.da, 16 * BLOCK);
    memset(diskalloc_region_data(f.r), 7, 16 * BLOCK);
    test_daemon_kill(&d, SIGKILL);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(f.r, 4 * BLOCK));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_discard", diskalloc_region_discard(f.r, 4 * BLOCK, BLOCK));
    assert_int_equal(diskalloc_region_size(f.r), 16 * BLOCK);
    expect_bytes(&f, 0, 16 * BLOCK, 7);
    memset(diskalloc_region_data(f.r), 8, 16 * BLOCK);
    test_daemon_restart(&d);
    assert_int_equal(diskalloc_region_resize(f.r, 4 * BLOCK), 0);
    expect_bytes(&f, 0, 4 * BLOCK, 8);
    diskalloc_region_close(f.r);
    diskalloc_close(f.da);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_that_a_lost_shrink_has_cut_stay_inaccessible),
        TEST(bytes_that_a_lost_shrink_has_not_cut_come_back),
        TEST(a_shrink_of_a_region_that_is_gone_was_not_done),
        TEST(a_shrink_of_a_region_that_is_gone_was_done),
        TEST(a_commit_reconciles_too),
        TEST(a_descriptor_reconciles_too),
        TEST(a_lost_discard_that_was_done_stays_inaccessible),
        TEST(a_lost_discard_that_was_not_done_comes_back),
        TEST(equal_sums_of_discarded_bytes_prove_nothing),
        TEST(a_lost_restore_is_inaccessible_until_the_daemon_says),
        TEST(a_vector_has_no_capacity_that_is_in_doubt),
        TEST(a_shrink_that_a_killed_daemon_did_not_read_is_undone),
        TEST(a_daemon_that_is_gone_makes_nothing_inaccessible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
