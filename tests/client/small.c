// Small vectors have no file: nothing is charged, and nobody is asked.  They get one when they need it, and then they
// are as all others; the address stays.
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "client/diskalloc.h"
#include "client/region/region.h"

enum { BLOCK = 4096, N = 300 };

static bool is_small(const struct u64s *v)
{
    return region_is_small(v->region);
}

static void make_small(struct test_backend *b, struct u64s *v, uint64_t bytes)
{
    assert_int_equal(u64s_init(v, b->da), 0);
    push_to(v, bytes);
    assert_true(is_small(v));
}

static void small_vectors_cost_nothing_and_keep_their_address_when_they_grow(struct test_backend *b)
{
    static struct u64s v[N];
    const void *data[N];

    for (size_t i = 0; i < N; i++) {
        make_small(b, &v[i], 8 + i * REGION_SMALL / N / 8 * 8);
        data[i] = v[i].data;
        assert_true((uintptr_t)data[i] % (2 * MIB) == 0);
    }
    assert_int_equal(usage_of(b->da).regions, 0);
    assert_int_equal(usage_of(b->da).bytes, 0);
    for (size_t i = 0; i < N; i++) {
        push_to(&v[i], i % 3 == 0 ? REGION_SMALL : REGION_SMALL + 8);
        assert_int_equal(is_small(&v[i]), i % 3 == 0);
        assert_ptr_equal(v[i].data, data[i]);
        assert_true(is_content_right(&v[i]));
    }
    assert_int_equal(usage_of(b->da).regions, N - N / 3);
    for (size_t i = 0; i < N; i++) {
        push_to(&v[i], 3 * REGION_SMALL + i * 64);
        assert_ptr_equal(v[i].data, data[i]);
        assert_true(is_content_right(&v[i]));
        u64s_deinit(&v[i]);
    }
}
FOR_EACH_BACKEND(small_vectors_cost_nothing_and_keep_their_address_when_they_grow)

static void need_handle(struct u64s *v, struct test_backend *b)
{
    struct diskalloc_region *other = NULL;

    assert_int_equal(strlen(diskalloc_region_handle(v->region)), 32);
    assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(v->region), NULL, &other), 0);
    assert_memory_equal(diskalloc_region_data(other), v->data, v->len * 8);
    ((uint64_t *)diskalloc_region_data(other))[0] ^= 1;
    v->data[0] ^= 1;
    diskalloc_region_close(other);
}

static void need_fd(struct u64s *v, struct test_backend *b)
{
    uint64_t content[8];

    (void)b;
    assert_int_equal(pread(diskalloc_region_fd(v->region), content, sizeof content, 0), sizeof content);
    assert_memory_equal(content, v->data, sizeof content);
}

static void need_commit(struct u64s *v, struct test_backend *b)
{
    (void)b;
    assert_int_equal(u64s_commit(v, 0), 0);
    assert_int_equal(diskalloc_region_used(v->region), v->len * 8);
}

static void need_discard(struct u64s *v, struct test_backend *b)
{
    (void)b;
    assert_int_equal(diskalloc_region_discard(v->region, 2 * BLOCK, BLOCK), 0);
    assert_int_equal(diskalloc_region_restore(v->region, 2 * BLOCK, BLOCK), 0);
}

static void need_size(struct u64s *v, struct test_backend *b)
{
    (void)b;
    assert_int_equal(diskalloc_region_resize(v->region, REGION_SMALL + 1), 0);
}

static void need_room(struct u64s *v, struct test_backend *b)
{
    (void)b;
    assert_int_equal(u64s_reserve_wait(v, REGION_SMALL, 1000), 0);
}

static void need_adoption(struct u64s *v, struct test_backend *b)
{
    struct u64s same;

    (void)b;
    assert_int_equal(diskalloc_region_resize(v->region, BLOCK), 0);
    assert_int_equal(u64s_init_region(&same, v->region), 0);
    assert_int_equal(same.len, BLOCK / 8);
    same.len = v->len;
    *v = same;
}

static void what_needs_a_file_gets_one(struct test_backend *b)
{
    static void (*const needs[])(struct u64s *, struct test_backend *) = {
        need_handle, need_fd, need_commit, need_discard, need_size, need_room, need_adoption};

    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        struct u64s v;
        const void *data;

        b->da->outgrows = false;
        b->da->first_size = 64 << 10;
        make_small(b, &v, 1000);
        data = v.data;
        needs[i](&v, b);
        assert_false(is_small(&v));
        assert_ptr_equal(v.data, data);
        assert_true(is_content_right(&v));
        push_to(&v, 100000);
        assert_true(is_content_right(&v));
        u64s_deinit(&v);
    }
}
FOR_EACH_BACKEND(what_needs_a_file_gets_one)

static void what_needs_none_gets_none(struct test_backend *b)
{
    struct u64s v, *first = &v;
    size_t index = 3;
    uint64_t *more = NULL;

    make_small(b, first, 1000);
    assert_int_equal(u64s_prefetch(&v, &index, 1), 0);
    assert_int_equal(u64s_advise(&v, DISKALLOC_ADVICE_RANDOM), 0);
    assert_int_equal(diskalloc_region_advise(v.region, 0, BLOCK, DISKALLOC_ADVICE_COLD), 0);
    assert_int_equal(u64s_refresh(&v), 0);
    assert_int_equal(diskalloc_region_refresh(v.region), 0);
    assert_int_equal(diskalloc_region_sync(v.region), 0);
    assert_int_equal(diskalloc_region_size(v.region), REGION_SMALL);
    assert_int_equal(diskalloc_region_used(v.region), 0);
    assert_true(diskalloc_region_reserve(v.region) >= 1 << 30);
    assert_int_equal(u64s_append_uninit(&v, 100, &more), 0);
    memset(more, 0xff, 800);
    assert_int_equal(u64s_truncate(&v, 125), 0);
    assert_int_equal(u64s_resize(&v, 200), 0);
    for (size_t i = 125; i < 200; i++)
        assert_int_equal(v.data[i], 0);
    memset(v.data + 125, 0xff, 75 * 8);
    assert_int_equal(u64s_truncate(&v, 125), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    assert_int_equal(v.cap, 125);
    assert_int_equal(u64s_resize(&v, 2048), 0);
    for (size_t i = 125; i < v.len; i++)
        assert_int_equal(v.data[i], 0);
    assert_true(is_small(&v));
    assert_int_equal(usage_of(b->da).regions, 0);
    // The advice counts for the file as well.
    assert_int_equal(u64s_reserve(&v, 10000), 0);
    assert_int_equal(v.region->advice, DISKALLOC_ADVICE_RANDOM);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(what_needs_none_gets_none)

static void a_region_with_options_or_a_name_has_a_file(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct u64s v;

    assert_int_equal(u64s_init_with(&v, b->da, &o), 0);
    assert_false(is_small(&v));
    u64s_deinit(&v);
    o.flags = DISKALLOC_REGION_CREATE;
    assert_int_equal(u64s_open(&v, b->da, "named", &o), 0);
    assert_false(is_small(&v));
    u64s_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "named"), 0);
}
FOR_EACH_BACKEND(a_region_with_options_or_a_name_has_a_file)

// Each vector of a row that grows beyond a small one begins with a file, and small ones have none again.
static void clients_learn(struct test_backend *b)
{
    struct u64s v;

    for (int round = 0; round < 2; round++) {
        make_small(b, &v, REGION_SMALL);
        push_to(&v, REGION_SMALL + 8);
        u64s_deinit(&v);
        assert_int_equal(u64s_init(&v, b->da), 0);
        assert_false(is_small(&v));
        u64s_deinit(&v);
        for (int i = 0; i < 10 && (b->da->outgrows || i == 0); i++) {
            assert_int_equal(u64s_init(&v, b->da), 0);
            push_to(&v, 8);
            u64s_deinit(&v);
        }
    }
    // Vectors that stay, and are much smaller than one that was large.
    b->da->first_size = 2 * MIB;
    b->da->n_unneeded = 255;
    for (int i = 0; i < 10 && b->da->first_size > 64 << 10; i++) {
        assert_int_equal(u64s_init(&v, b->da), 0);
        u64s_deinit(&v);
        b->da->n_unneeded = 256;
    }
    make_small(b, &v, 8);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(clients_learn)

static void a_refusal_loses_nothing(void **state)
{
    struct diskalloc_region *hog = NULL;
    struct diskalloc_error_info info;
    struct test_backend b;
    struct u64s v;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nregions = 2\n", NULL);
    make_small(&b, &v, REGION_SMALL);
    hog = make_region(b.da, MIB);
    info = EXPECT_FAILURE(-EDQUOT, "u64s_push", u64s_push(&v, 0));
    assert_int_equal(info.limit, MIB);
    assert_int_equal(v.len, REGION_SMALL / 8);
    assert_true(is_small(&v));
    assert_true(is_content_right(&v));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_fd", diskalloc_region_fd(v.region));
    assert_string_equal(diskalloc_region_handle(v.region), "");
    assert_true(strstr(diskalloc_last_error(), "diskalloc_region_handle"));
    EXPECT_FAILURE(-EDQUOT, "u64s_commit", u64s_commit(&v, 0));
    EXPECT_FAILURE(-ETIMEDOUT, "u64s_reserve_wait", u64s_reserve_wait(&v, 1, 30));
    assert_true(is_small(&v));
    assert_int_equal(usage_of(b.da).regions, 1);
    // A little room is enough, and what is freed meanwhile is found.
    assert_int_equal(diskalloc_region_resize(hog, MIB - 5 * BLOCK), 0);
    assert_int_equal(u64s_reserve_wait(&v, 1, 10000), 0);
    push_to(&v, REGION_SMALL + 8);
    assert_false(is_small(&v));
    assert_true(is_content_right(&v));
    diskalloc_region_close(hog);
    push_to(&v, 100000);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    backend_stop(&b);
}

static void without_a_daemon_small_vectors_work(void **state)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    struct test_daemon daemon;
    struct u64s v;

    (void)state;
    test_daemon_start(&daemon, NULL, NULL);
    o.reconnect_timeout_ms = 100;
    assert_int_equal(diskalloc_open(daemon.address, &o, &da), 0);
    test_daemon_kill(&daemon, SIGKILL);
    assert_int_equal(u64s_init(&v, da), 0);
    push_to(&v, REGION_SMALL);
    EXPECT_FAILURE(-ECONNRESET, "u64s_push", u64s_push(&v, 0));
    assert_true(is_content_right(&v));
    test_daemon_restart(&daemon);
    push_to(&v, 100000);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&daemon);
}

// ---- Forks ----

#if !defined( \
    __SANITIZE_THREAD__) // it has a thread of its own, and allows none in a child of a process that has threads
// Runs FN in a child; it must end well.
static void in_child(void (*fn)(struct test_backend *b, struct u64s *v), struct test_backend *b, struct u64s *v)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        fn(b, v);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use_in_child(struct test_backend *b, struct u64s *v)
{
    struct diskalloc_region *mine = NULL;
    struct u64s same;

    NEED(is_content_right(v));
    v->data[0] = 42;
    NEED(u64s_reserve(v, 100000) == -EBUSY);
    NEED(diskalloc_region_attach(b->da, diskalloc_region_handle(v->region), NULL, &mine) == 0);
    NEED(diskalloc_region_resize(mine, REGION_SMALL) == 0);
    NEED(u64s_init_region(&same, mine) == 0);
    NEED(same.data[0] == 42);
    same.data[1] = 43;
    u64s_deinit(&same);
    u64s_deinit(v);
}

static void a_child_shares_a_small_vector_and_attaches_it(struct test_backend *b)
{
    struct u64s v;

    make_small(b, &v, 1000);
    in_child(use_in_child, b, &v);
    assert_false(is_small(&v));
    assert_int_equal(v.data[0], 42);
    assert_int_equal(v.data[1], 43);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_child_shares_a_small_vector_and_attaches_it)

static void look_in_child(struct test_backend *b, struct u64s *v)
{
    struct u64s own;

    (void)b;
    NEED(is_content_right(v));
    v->data[0] = 42;
    NEED(strcmp(diskalloc_region_handle(v->region), "") == 0);
    NEED(u64s_reserve(v, 100000) == -EBUSY);
    u64s_deinit(v);
    NEED(u64s_init(&own, b->da) == 0);
    push_to(&own, 100);
    u64s_deinit(&own);
}

#endif

static void *sleeper(void *data)
{
    sem_t *end = data;

    while (sem_wait(end) < 0)
        continue;
    return NULL;
}

// The child lives on until the parent says so.
static void stay(struct actor *self, void *data)
{
    struct u64s *v = data;

    actor_wait(self);
    NEED(v->data[1] == 4711); // the parent's
    v->data[2] = 4712;
    actor_done(self);
}

static void with_threads_a_child_shares_the_memory_and_the_vector_grows_all_the_same(struct test_backend *b)
{
    struct diskalloc_region *copy = NULL;
    struct actor child;
    pthread_t thread;
    struct u64s v;
    sem_t end;

    assert_int_equal(sem_init(&end, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleeper, &end), 0);
    make_small(b, &v, 1000);
#if !defined(__SANITIZE_THREAD__)
    in_child(look_in_child, b, &v);
    assert_true(is_small(&v));
    assert_int_equal(v.data[0], 42);
    v.data[0] = mix(0);
#endif
    actor_start(&child, stay, &v, (uid_t)-1);
    push_to(&v, 100000);
    assert_false(is_small(&v));
    assert_int_equal(v.region->small.head, REGION_SMALL);
    assert_true(is_content_right(&v));
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_fd", diskalloc_region_fd(v.region));
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_clone", diskalloc_region_clone(v.region, NULL, NULL, &copy));
    EXPECT_FAILURE(-EBUSY, "u64s_discard_front", u64s_discard_front(&v, 1000));
    EXPECT_FAILURE(-EBUSY, "u64s_shrink_to_fit", u64s_shrink_to_fit(&v));
    assert_string_equal(diskalloc_region_handle(v.region), "");
    v.data[1] = 4711;
    actor_go(&child);
    actor_await(&child);
    assert_int_equal(v.data[2], 4712);
    push_to(&v, 3 * MIB);
    actor_finish(&child);
    v.data[1] = mix(1);
    v.data[2] = mix(2);
    assert_true(diskalloc_region_fd(v.region) >= 0);
    assert_int_equal(v.region->small.head, 0);
    assert_int_equal(strlen(diskalloc_region_handle(v.region)), 32);
    assert_int_equal(diskalloc_region_clone(v.region, NULL, NULL, &copy), 0);
    assert_memory_equal(diskalloc_region_data(copy), v.data, v.len * 8);
    diskalloc_region_close(copy);
    assert_true(is_content_right(&v));
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    u64s_deinit(&v);
    sem_post(&end);
    pthread_join(thread, NULL);
    sem_destroy(&end);
}
FOR_EACH_BACKEND(with_threads_a_child_shares_the_memory_and_the_vector_grows_all_the_same)

// ---- Readers ----

static _Atomic(const uint64_t *) watched;
static _Atomic bool ends;
static _Atomic uint64_t n_looks;

static void *reader(void *data)
{
    (void)data;
    while (!ends) {
        const uint64_t *at = watched;

        for (size_t i = 0; at && i < REGION_SMALL / 8; i++)
            if (*(const volatile uint64_t *)&at[i] != mix(i))
                return (void *)1;
        n_looks += at != NULL;
    }
    return NULL;
}

static void a_reader_sees_the_same_bytes_all_the_time(struct test_backend *b)
{
    pthread_t thread;
    void *wrong;

    ends = false;
    watched = NULL;
    assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
    for (int i = 0; i < 50; i++) {
        uint64_t before = n_looks;
        struct u64s v;

        b->da->outgrows = false;
        b->da->first_size = 64 << 10;
        make_small(b, &v, REGION_SMALL);
        watched = v.data;
        while (n_looks < before + 2)
            sched_yield();
        push_to(&v, REGION_SMALL + 8);
        assert_false(is_small(&v));
        watched = NULL;
        before = n_looks;
        // The reader has seen that there is nothing to read.
        ends = true;
        assert_int_equal(pthread_join(thread, &wrong), 0);
        assert_null(wrong);
        ends = false;
        assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
        u64s_deinit(&v);
    }
    ends = true;
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
}
FOR_EACH_BACKEND(a_reader_sees_the_same_bytes_all_the_time)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(small_vectors_cost_nothing_and_keep_their_address_when_they_grow),
        EACH_BACKEND(what_needs_a_file_gets_one),
        EACH_BACKEND(what_needs_none_gets_none),
        EACH_BACKEND(a_region_with_options_or_a_name_has_a_file),
        EACH_BACKEND(clients_learn),
        TEST(a_refusal_loses_nothing),
        TEST(without_a_daemon_small_vectors_work),
#if !defined(__SANITIZE_THREAD__)
        EACH_BACKEND(a_child_shares_a_small_vector_and_attaches_it),
#endif
        EACH_BACKEND(with_threads_a_child_shares_the_memory_and_the_vector_grows_all_the_same),
        EACH_BACKEND(a_reader_sees_the_same_bytes_all_the_time),
    };

    setenv("DISKALLOC_RESERVE", "1G", 1); // ThreadSanitizer leaves little address space
    return cmocka_run_group_tests(tests, NULL, NULL);
}
