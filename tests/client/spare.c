// A client that makes many small vectors has the region of the next one made before.  Nobody notices: what is charged
// is granted, nothing is refused for its sake, and it is given back soon.
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "client/diskalloc.h"
#include "client/region/region.h"

enum { N = 40 };

static const char limited[] = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 256M\nwarn_at = 100%\n";

// Many vectors of 1 MiB in a row, so that there is a spare region.
static void make_row(struct diskalloc *da, struct u64s *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(u64s_init(&vectors[i], da), 0);
        push_to(&vectors[i], MIB);
    }
}

static void drop_row(struct u64s *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        u64s_deinit(&vectors[i]);
}

static bool has_spare(struct diskalloc *da)
{
    bool has;

    pthread_mutex_lock(&da->spare.lock);
    has = da->spare.region;
    pthread_mutex_unlock(&da->spare.lock);
    return has;
}

// In a directory there is no subject to ask for.
static bool nothing_is_left(void *data)
{
    struct diskalloc_usage u = usage_of(data);

    return u.bytes == 0 && u.regions == 0;
}

// From here on the client's vectors begin with 1 MiB, and do not ask for more before they need it.
static void learn_size(struct diskalloc *da)
{
    struct u64s v;

    make_row(da, &v, 1);
    drop_row(&v, 1);
    test_wait_until(nothing_is_left, da, 30, "nothing is charged");
}

// A machine that is busy may make a pause between any two vectors, and then there is no row.  So they are not filled:
// under ThreadSanitizer that alone would be a pause.
static void make_spare(struct diskalloc *da, struct u64s *vectors, size_t n)
{
    for (int i = 0; i < 1000; i++) {
        da->first_size = MIB;
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(u64s_init(&vectors[k], da), 0);
            push_to(&vectors[k], 8);
        }
        if (has_spare(da))
            return;
        drop_row(vectors, n);
    }
    fail_msg("there never was a spare region");
}

static bool has_none(void *data)
{
    return !has_spare(data);
}

// A daemon hears of a region that was closed, and looks whether it is still mapped.
static bool has_only_the_row(void *data)
{
    return usage_of(data).regions == N;
}

static void vectors_of_a_row_are_right_and_the_usage_is_exact(struct test_backend *b)
{
    static struct u64s v[N];

    make_spare(b->da, v, N);
    if (b->remote)
        test_wait_until(has_only_the_row, b->da, 30, "only the row is charged");
    assert_int_equal(usage_of(b->da).regions, N);
    assert_false(has_spare(b->da));
    for (size_t i = 0; i < N; i++)
        assert_true(is_content_right(&v[i]));
    drop_row(v, N);
    test_wait_until(nothing_is_left, b->da, 30, "nothing is charged");
}
FOR_EACH_BACKEND(vectors_of_a_row_are_right_and_the_usage_is_exact)

static void a_spare_region_is_given_back_soon(struct test_backend *b)
{
    struct diskalloc *other = NULL;
    static struct u64s v[N];

    make_spare(b->da, v, N);
    test_wait_until(has_none, b->da, 30, "the client's thread gives the region back");
    assert_int_equal(diskalloc_open(b->address, NULL, &other), 0);
    drop_row(v, N);
    test_wait_until(nothing_is_left, other, 30, "nothing is charged");
    diskalloc_close(other);
}
FOR_EACH_BACKEND(a_spare_region_is_given_back_soon)

static void closing_the_client_gives_it_back(struct test_backend *b)
{
    struct diskalloc *da = NULL;
    static struct u64s v[N];

    assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
    make_spare(da, v, N);
    diskalloc_close(da);
    drop_row(v, N);
    test_wait_until(nothing_is_left, b->da, 30, "nothing is charged");
}
FOR_EACH_BACKEND(closing_the_client_gives_it_back)

// Bytes that were stored to are not stored to again: zeros are what the file has.
static void its_bytes_are_zero(struct test_backend *b)
{
    static struct u64s v[N];
    struct u64s next;

    make_spare(b->da, v, N);
    assert_int_equal(u64s_init(&next, b->da), 0);
    assert_int_equal(u64s_reserve(&next, MIB / 8), 0);
    for (size_t i = 0; i < MIB / 8; i++)
        assert_int_equal(next.data[i], 0);
    u64s_deinit(&next);
    drop_row(v, N);
}
FOR_EACH_BACKEND(its_bytes_are_zero)

static uint64_t usage_of_row(const struct u64s *vectors, size_t n)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += diskalloc_region_size(vectors[i].region);
    return bytes;
}

// The whole limit, less what the vectors have: by making a region, and by growing one.
static void nothing_is_refused_for_its_sake(void **state)
{
    static struct u64s v[N];
    struct diskalloc_region *r;
    struct test_backend b;
    uint64_t left;

    (void)state;
    backend_start(&b, true, limited, NULL);
    for (int i = 0; i < 4; i++) {
        make_spare(b.da, v, N);
        left = 256 * MIB - usage_of_row(v, N);
        r = make_region(b.da, i % 2 ? 4096 : left);
        if (i % 2)
            assert_int_equal(diskalloc_region_resize(r, left), 0);
        assert_false(has_spare(b.da));
        diskalloc_region_close(r);
        drop_row(v, N);
    }
    backend_stop(&b);
}

// The last quarter of a limit is for vectors that are needed.
static void a_limit_can_be_filled_to_the_last_block(void **state)
{
    static struct u64s v[64];
    struct test_backend b;
    struct u64s next;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 64M\nwarn_at = 100%\n", NULL);
    learn_size(b.da);
    make_row(b.da, v, 64);
    assert_false(has_spare(b.da));
    assert_int_equal(usage_of(b.da).bytes, usage_of_row(v, 64));
    assert_int_equal(u64s_init(&next, b.da), 0);
    EXPECT_FAILURE(-EDQUOT, "u64s_push", u64s_push(&next, 1));
    u64s_deinit(&next);
    drop_row(v, 64);
    backend_stop(&b);
}

struct child_scene {
    struct test_backend *b;
    const void *spare; // where the spare region lies
    size_t length;
    int ready[2], end[2];
};

static void live_on(void *data)
{
    struct child_scene *s = data;
    unsigned char pages[1];
    char c;

    // The memory is gone in the child: nothing keeps it alive.
    NEED(mincore((void *)(uintptr_t)s->spare, 1, pages) < 0 && errno == ENOMEM);
    NEED(write(s->ready[1], "", 1) == 1);
    NEED(read(s->end[0], &c, 1) == 1);
}

static void a_child_does_not_keep_it(struct test_backend *b)
{
    static struct u64s v[N];
    struct child_scene s = {.b = b};
    struct u64s next;
    int status;
    pid_t pid;
    char c;

    assert_return_code(pipe(s.ready), errno);
    assert_return_code(pipe(s.end), errno);
    make_spare(b->da, v, N);
    background_cancel(&b->da->background, &b->da->spare.make); // waits for the thread, which may be mapping it
    s.spare = has_spare(b->da) ? diskalloc_region_data(b->da->spare.region) : NULL;
    pid = fork();
    if (pid == 0) {
        live_on(&s);
        _exit(0);
    }
    assert_int_equal(read(s.ready[0], &c, 1), 1);
    // The parent makes a vector of another region: this one was there when the child was made.
    assert_int_equal(u64s_init(&next, b->da), 0);
    assert_true(!next.data || !children_were_made(&next.region->shared));
    u64s_deinit(&next);
    assert_int_equal(write(s.end[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    drop_row(v, N);
    for (int i = 0; i < 2; i++) {
        close(s.ready[i]);
        close(s.end[i]);
    }
}
FOR_EACH_BACKEND(a_child_does_not_keep_it)

#if !defined(__SANITIZE_THREAD__)
// What it inherited is gone, and it makes a row of its own.
static void make_own_row(void *data)
{
    static struct u64s v[N];
    struct diskalloc *da = data;

    for (size_t i = 0; i < N; i++)
        NEED(u64s_init(&v[i], da) == 0 && u64s_push(&v[i], i) == 0);
    for (size_t i = 0; i < N; i++)
        u64s_deinit(&v[i]);
    diskalloc_close(da);
}

static void a_child_makes_a_row_of_its_own(struct test_backend *b)
{
    static struct u64s v[N];

    make_spare(b->da, v, N);
    assert_int_equal(test_in_child(make_own_row, b->da, (uid_t)-1), 0);
    drop_row(v, N);
    test_wait_until(nothing_is_left, b->da, 30, "nothing is charged");
}
FOR_EACH_BACKEND(a_child_makes_a_row_of_its_own)
#endif

static void a_daemon_that_is_killed_costs_nothing(void **state)
{
    static struct u64s v[N];
    struct test_backend b;
    struct u64s next;

    (void)state;
    backend_start(&b, true, limited, NULL);
    make_spare(b.da, v, N);
    test_daemon_kill(&b.daemon, SIGKILL);
    test_daemon_restart(&b.daemon);
    assert_int_equal(u64s_init(&next, b.da), 0);
    push_to(&next, 3 * MIB);
    assert_true(is_content_right(&next));
    u64s_deinit(&next);
    drop_row(v, N);
    test_wait_until(nothing_is_left, b.da, 30, "nothing is charged");
    backend_stop(&b);
}

static void without_threads_there_is_none(struct test_backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    static struct u64s v[N];

    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    make_row(da, v, N);
    assert_false(has_spare(da));
    drop_row(v, N);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(without_threads_there_is_none)

static void *make_rows(void *data)
{
    struct u64s v[N];

    for (int i = 0; i < 5; i++) {
        make_row(data, v, N);
        for (size_t k = 0; k < N; k++)
            assert_true(is_content_right(&v[k]));
        drop_row(v, N);
    }
    return NULL;
}

static void threads_make_rows_beside_each_other(struct test_backend *b)
{
    pthread_t threads[3];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_rows, b->da), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    usage_of(b->da);
    test_wait_until(nothing_is_left, b->da, 30, "nothing is charged");
}
FOR_EACH_BACKEND(threads_make_rows_beside_each_other)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(vectors_of_a_row_are_right_and_the_usage_is_exact),
        EACH_BACKEND(a_spare_region_is_given_back_soon),
        EACH_BACKEND(closing_the_client_gives_it_back),
        EACH_BACKEND(its_bytes_are_zero),
        TEST(nothing_is_refused_for_its_sake),
        TEST(a_limit_can_be_filled_to_the_last_block),
        EACH_BACKEND(a_child_does_not_keep_it),
#if !defined(__SANITIZE_THREAD__) // it allows no thread in a child of a process that has threads
        EACH_BACKEND(a_child_makes_a_row_of_its_own),
#endif
        TEST(a_daemon_that_is_killed_costs_nothing),
        EACH_BACKEND(without_threads_there_is_none),
        EACH_BACKEND(threads_make_rows_beside_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
