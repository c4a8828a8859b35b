// Growth that is asked for before it is needed: it comes without being waited for, and where it does not come nobody notices.
#include "tests/actor.h"
#include "tests/backends.h"
#include "tests/inspect.h"
#include "tests/play.h"

#include <sys/statvfs.h>

#define backend client_backend // the library's and the tests' are two things
#include "client/region.h"
#include "client/remote.h"
#undef backend

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

static void push_to(struct u64s *v, uint64_t bytes)
{
    while (v->len < bytes / 8)
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
}

static bool is_content_right(const struct u64s *v)
{
    for (uint64_t i = 0; i < v->len; i++)
        if (v->data[i] != mix(i))
            return false;
    return true;
}

static bool is_on_its_way(const struct u64s *v)
{
    return ((const struct remote_backing *)v->region->backing)->early_asked;
}

// From an empty vector, until the library has asked.
static void push_until_asked(struct u64s *v)
{
    while (!is_on_its_way(v)) {
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
        assert_true(v->len < 400 * MIB / 8);
    }
}

// Nothing is granted early above three quarters of the disk, which others may be filling.
static bool is_disk_too_full(void)
{
    struct statvfs fs;

    assert_return_code(statvfs(test_base_dir(), &fs), errno);
    if ((fs.f_bavail - fs.f_blocks / 4) * fs.f_frsize < 4 * GIB || fs.f_bavail < fs.f_blocks / 4) {
        print_message("skipped: the disk of %s is too full for growing early\n", test_base_dir());
        return true;
    }
    return false;
}

static void halt(const struct test_daemon *d)
{
    int status;

    assert_return_code(kill(d->pid, SIGSTOP), errno);
    assert_int_equal(waitpid(d->pid, &status, WUNTRACED), d->pid);
    assert_true(WIFSTOPPED(status));
}

struct expected_size {
    struct diskalloc_region *r;
    uint64_t above;
};

static bool has_grown(void *data)
{
    const struct expected_size *e = data;

    return diskalloc_region_refresh(e->r) >= 0 && diskalloc_region_size(e->r) > e->above;
}

static void a_vector_grows_before_it_has_to(struct backend *b)
{
    struct expected_size grown;
    struct diskalloc_region *r;
    uint64_t before;
    struct u64s v;

    if (is_disk_too_full())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    r = v.region;
    push_to(&v, 4 * MIB + 8);
    before = diskalloc_region_size(r);
    while (v.len * 8 + 4096 < before)
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
    grown = (struct expected_size){r, before};
    test_wait_until(has_grown, &grown, 30, "the region has grown");
    assert_int_equal(file_size(r), diskalloc_region_size(r));
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_vector_grows_before_it_has_to)

static void a_granted_answer_is_taken_over_without_asking_again(void **state)
{
    struct backend b;
    uint64_t before;
    struct u64s v;

    (void)state;
    if (is_disk_too_full())
        skip();
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    push_until_asked(&v);
    before = diskalloc_region_size(v.region);
    assert_true(region_settle_early(v.region, true) >= 0);
    assert_false(is_on_its_way(&v));
    assert_true(diskalloc_region_size(v.region) > before);
    assert_int_equal(region_settle_early(v.region, true), 0);
    ((char *)diskalloc_region_data(v.region))[diskalloc_region_size(v.region) - 1] = 1;
    u64s_deinit(&v);
    backend_stop(&b);
}

#define LIMIT (20 * MIB + 12 * KIB) // no multiple of a window

static void a_refused_early_growth_is_no_error_and_the_limit_can_be_filled_to_the_last_block(void **state)
{
    struct diskalloc_error_info info;
    bool refused = false;
    struct backend b;
    struct u64s v;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 20492K\n", NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    while (v.len < LIMIT / 8) {
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        refused |= v.region->early_refused > 0;
        if (v.len % 100000 == 0)
            assert_string_equal(diskalloc_last_error(), "");
    }
    assert_true(refused);
    assert_int_equal(usage_of(b.da).bytes, LIMIT);
    info = EXPECT_FAILURE(-EDQUOT, "u64s_push", u64s_push(&v, 1));
    assert_true(strncmp(info.limit_name, "user:", 5) == 0 && strstr(info.limit_name, "bytes"));
    assert_int_equal(info.limit, LIMIT);
    assert_int_equal(info.used, LIMIT);
    assert_true(info.asked > 0);
    assert_string_equal(info.handle, diskalloc_region_handle(v.region));
    assert_int_equal(v.len, LIMIT / 8);
    assert_true(is_content_right(&v));
    assert_int_equal(u64s_push(&v, 1), -EDQUOT);
    assert_int_equal(u64s_truncate(&v, 10), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    push_to(&v, LIMIT);
    u64s_deinit(&v);
    backend_stop(&b);
}

static void a_daemon_that_dies_with_one_on_its_way_is_followed_by_the_next(void **state)
{
    struct backend b;
    struct u64s v;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(u64s_init(&v, b.da), 0);
        push_to(&v, i * 5 * MIB);
        if (i % 2) // so that it has not answered
            halt(&b.daemon);
        push_until_asked(&v);
        test_daemon_kill(&b.daemon, SIGKILL);
        test_daemon_restart(&b.daemon);
        push_to(&v, v.len * 8 + 30 * MIB);
        assert_true(is_content_right(&v));
        assert_int_equal(diskalloc_region_refresh(v.region), 0);
        assert_int_equal(file_size(v.region), diskalloc_region_size(v.region));
        u64s_deinit(&v);
    }
    backend_stop(&b);
}

// ---- With the daemon stopped, so that it stays on its way for as long as the test wants ----

struct halted {
    struct backend *b;
    struct u64s v;
};

static void begin_halted(struct halted *h, struct backend *b, struct diskalloc_region *r)
{
    h->b = b;
    assert_int_equal(r ? u64s_init_region(&h->v, r) : u64s_init(&h->v, b->da), 0);
    push_to(&h->v, 3 * MIB / 2);
    if (is_on_its_way(&h->v))
        region_settle_early(h->v.region, true);
    halt(&b->daemon);
    push_until_asked(&h->v);
    assert_int_equal(region_settle_early(h->v.region, false), -EAGAIN);
}

static void resume(struct halted *h)
{
    assert_return_code(kill(h->b->daemon.pid, SIGCONT), errno);
}

static void what_is_closed_with_one_on_its_way_is_given_back_whole(void **state)
{
    struct diskalloc_region *r;
    struct halted h;
    struct backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        begin_halted(&h, &b, NULL);
        u64s_deinit(&h.v); // waits for nobody
        resume(&h);
        test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
        assert_int_equal(test_count_files(b.daemon.spill), 0);
    }
    begin_halted(&h, &b, NULL);
    u64s_deinit(&h.v);
    resume(&h);
    r = make_region(b.da, 4096); // the answer that nobody wants is nobody else's
    assert_int_equal(diskalloc_region_size(r), 4096);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void a_client_is_closed_with_one_on_its_way(void **state)
{
    struct diskalloc *other = NULL;
    struct halted h;
    struct backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(diskalloc_open(b.address, NULL, &other), 0);
    begin_halted(&h, &b, NULL);
    diskalloc_close(b.da);
    b.da = other;
    u64s_deinit(&h.v);
    resume(&h);
    test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
    backend_stop(&b);
}

// Each of the calls finds the size as it is after the answer.
static void shrink_to_fit_has_the_last_word(struct halted *h)
{
    assert_int_equal(u64s_shrink_to_fit(&h->v), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), h->v.len * 8);
}

static void resize_has_the_last_word(struct halted *h)
{
    assert_int_equal(diskalloc_region_resize(h->v.region, 3 * MIB + 5), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), 3 * MIB + 5);
    h->v.cap = 3 * MIB / 8;
}

static void discard_goes_on(struct halted *h)
{
    uint64_t charged = usage_of(h->b->da).bytes;

    assert_int_equal(diskalloc_region_discard(h->v.region, 0, 64 * KIB), 0);
    assert_int_equal(usage_of(h->b->da).bytes, charged - 64 * KIB);
    assert_int_equal(diskalloc_region_restore(h->v.region, 0, 64 * KIB), 0);
    for (uint64_t i = 0; i < 64 * KIB / 8; i++)
        h->v.data[i] = mix(i);
}

static void commit_goes_on(struct halted *h)
{
    assert_int_equal(u64s_commit(&h->v, 0), 0);
    assert_int_equal(diskalloc_region_used(h->v.region), h->v.len * 8);
}

static void waiting_for_room_goes_on(struct halted *h)
{
    assert_int_equal(diskalloc_region_resize_wait(h->v.region, 40 * MIB, 30000), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), 40 * MIB);
}

static void read_from_a_child(void *data)
{
    struct halted *h = data;

    NEED(is_content_right(&h->v));
    NEED(u64s_shrink_to_fit(&h->v) == -EBUSY);
    while (h->v.len < h->v.cap)
        h->v.len++;
    NEED(u64s_reserve(&h->v, 100 * MIB) == -EBUSY);
    u64s_deinit(&h->v);
    diskalloc_close(h->b->da);
    _exit(0);
}

static void fork_goes_on(struct halted *h)
{
    assert_int_equal(test_in_child(read_from_a_child, h, (uid_t)-1), 0);
}

static void every_call_goes_on_with_one_on_its_way(void **state)
{
    static void (*const calls[])(struct halted * h) = {
        shrink_to_fit_has_the_last_word,
        resize_has_the_last_word,
        discard_goes_on,
        commit_goes_on,
        waiting_for_room_goes_on,
        fork_goes_on,
    };
    struct backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (size_t i = 0; i < 2 * sizeof(calls) / sizeof(*calls); i++) {
        struct diskalloc_region *r = NULL;
        struct halted h;

        // a region of one's own, and one that was adopted
        if (i % 2)
            assert_int_equal(open_named(b.da, "book", 0, DISKALLOC_REGION_CREATE, &r), 0);
        begin_halted(&h, &b, r);
        resume(&h);
        calls[i / 2](&h);
        push_to(&h.v, 40 * MIB);
        assert_true(is_content_right(&h.v));
        assert_int_equal(diskalloc_region_refresh(h.v.region), 0);
        assert_int_equal(file_size(h.v.region), diskalloc_region_size(h.v.region));
        u64s_deinit(&h.v);
        if (i % 2)
            assert_int_equal(diskalloc_region_unlink(b.da, "book"), 0);
        test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
    }
    backend_stop(&b);
}

static void a_child_forks_off_while_the_daemon_is_silent(void **state)
{
    struct halted h;
    struct backend b;
    pid_t pid;
    int status = -1;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    begin_halted(&h, &b, NULL);
    pid = fork();
    if (pid == 0)
        read_from_a_child(&h);
    assert_int_equal(waitpid(pid, &status, 0), pid); // it waits for no answer of the parent's
    assert_int_equal(status, 0);
    resume(&h);
    push_to(&h.v, 20 * MIB);
    assert_true(is_content_right(&h.v));
    u64s_deinit(&h.v);
    backend_stop(&b);
}

// What an adopted region had before the vector is what it has after it, also when the answer came last.
static void deinit_takes_early_growth_back_from_a_region_that_was_adopted(void **state)
{
    struct diskalloc_region *r = NULL;
    struct halted h;
    struct backend b;
    uint64_t filled;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(open_named(b.da, "book", 4096, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b.da, "book", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 0, 8, 0), 0);
    begin_halted(&h, &b, r);
    filled = diskalloc_region_size(r);
    push_to(&h.v, filled); // so that but for the answer there is nothing to give back
    assert_int_equal(diskalloc_region_size(r), filled);
    resume(&h);
    u64s_deinit(&h.v);
    assert_int_equal(open_named(b.da, "book", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_size(r), filled);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b.da, "book"), 0);
    backend_stop(&b);
}

// More than a connection may have in flight, and nobody reads the answers.
static void many_vectors_may_each_have_one_on_its_way(void **state)
{
    enum { VECTORS = 200 };
    static struct u64s v[VECTORS];
    struct diskalloc_region *r;
    struct backend b;
    size_t n = 0;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (size_t i = 0; i < VECTORS; i++) {
        assert_int_equal(u64s_init(&v[i], b.da), 0);
        push_to(&v[i], 128 * KIB);
        region_settle_early(v[i].region, true);
    }
    halt(&b.daemon);
    for (size_t i = 0; i < VECTORS; i++) {
        // what is there already: it waits for nobody
        while (!is_on_its_way(&v[i]) && v[i].len * 8 < diskalloc_region_size(v[i].region))
            push_to(&v[i], v[i].len * 8 + 8);
        n += is_on_its_way(&v[i]);
    }
    assert_true(n > 64);
    assert_return_code(kill(b.daemon.pid, SIGCONT), errno);
    r = make_region(b.da, 5000);
    assert_int_equal(diskalloc_region_resize(r, 9000), 0);
    assert_int_equal(usage_of(b.da).regions, VECTORS + 1);
    diskalloc_region_close(r);
    for (size_t i = 0; i < VECTORS; i++) {
        push_to(&v[i], 2 * MIB);
        assert_true(is_content_right(&v[i]));
    }
    for (size_t i = 0; i < VECTORS; i++)
        u64s_deinit(&v[i]);
    backend_stop(&b);
}

// The daemon of tests/play.h has no features.
static void a_daemon_without_the_feature_is_never_asked_early(void **state)
{
    struct play p = {.connections = {""}};
    struct diskalloc *da;
    struct u64s v;
    size_t n_grows;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(u64s_init(&v, da), 0);
    p.size = 256 * KIB; // a create does not set it there
    assert_return_code(ftruncate(p.file, 256 * KIB), errno);
    assert_true(diskalloc_region_refresh(v.region) >= 0);
    n_grows = p.n_grows;
    push_to(&v, 255 * KIB);
    assert_false(is_on_its_way(&v));
    assert_int_equal(p.n_grows, n_grows);
    push_to(&v, 257 * KIB);
    assert_int_equal(p.n_grows, n_grows + 1);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    diskalloc_close(da);
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_vector_grows_before_it_has_to),
        TEST(a_granted_answer_is_taken_over_without_asking_again),
        TEST(a_refused_early_growth_is_no_error_and_the_limit_can_be_filled_to_the_last_block),
        TEST(a_daemon_that_dies_with_one_on_its_way_is_followed_by_the_next),
        TEST(what_is_closed_with_one_on_its_way_is_given_back_whole),
        TEST(a_client_is_closed_with_one_on_its_way),
        TEST(every_call_goes_on_with_one_on_its_way),
        TEST(a_child_forks_off_while_the_daemon_is_silent),
        TEST(deinit_takes_early_growth_back_from_a_region_that_was_adopted),
        TEST(many_vectors_may_each_have_one_on_its_way),
        TEST(a_daemon_without_the_feature_is_never_asked_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
