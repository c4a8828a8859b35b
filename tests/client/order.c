// Sorting and searching vectors in regions: with a daemon and without, shared, read-only, with parts that are gone.
#include "client/order/pages.h"
#include "client/order/pool.h"
#include "client/order/sort.h"
#include "client/region/region.h"
#include "tests/lib/u64vec.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static inline int number_less(const uint64_t *a, const uint64_t *b)
{
    return *a < *b;
}
DISKALLOC_VEC_DEFINE_ORDER(u64vec, uint64_t, number_less)

#define MIX UINT64_C(0x9E3779B97F4A7C15)

static void push_mixed(struct u64vec *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(u64vec_push(v, i * MIX), 0);
}

static void start_with(struct test_backend *b, struct u64vec *v, size_t n)
{
    assert_int_equal(u64vec_init(v, b->da), 0);
    push_mixed(v, n);
}

// Sorted, and the numbers of push_mixed: their sum is right.
static void expect_sorted(const struct u64vec *v, size_t n)
{
    uint64_t sum = 0, expected = (n % 2 ? n * ((n - 1) / 2) : n / 2 * (n - 1)) * MIX;

    assert_int_equal(v->len, n);
    assert_int_equal(u64vec_is_sorted(v), 1);
    for (size_t i = 0; i < n; i++)
        sum += v->data[i];
    assert_int_equal(sum, expected);
}

static void a_vector_is_sorted_in_place(struct test_backend *b)
{
    const size_t sizes[] = {0, 1, 2, 3, 1000, 300000, 2000000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct u64vec v;
        uint64_t *data;

        start_with(b, &v, sizes[i]);
        data = v.data;
        assert_int_equal(u64vec_is_sorted(&v), sizes[i] < 3);
        assert_int_equal(u64vec_sort(&v), 0);
        assert_string_equal(diskalloc_last_error(), "");
        assert_ptr_equal(v.data, data);
        expect_sorted(&v, sizes[i]);
        u64vec_deinit(&v);
    }
}
FOR_EACH_BACKEND(a_vector_is_sorted_in_place)

static void fill_with_pairs(struct u64vec *v, struct test_backend *b, size_t n)
{
    assert_int_equal(u64vec_init(v, b->da), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(u64vec_push(v, i / 2 * 10), 0);
}

static void bounds_are_those_of_a_binary_search(struct test_backend *b)
{
    const size_t sizes[] = {0, 1, 2, 7, 1000, 300001};

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k];
        struct u64vec v;

        fill_with_pairs(&v, b, n);
        for (uint64_t i = 0; i < n; i += 1 + n / 3000) {
            uint64_t key = i / 2 * 10, between = key + 1;
            size_t first = i & ~(size_t)1, behind = first + 2 < n ? first + 2 : n;

            assert_int_equal(u64vec_lower_bound(&v, &key), first);
            assert_int_equal(u64vec_upper_bound(&v, &key), behind);
            assert_int_equal(u64vec_lower_bound(&v, &between), behind);
            assert_int_equal(u64vec_upper_bound(&v, &between), behind);
        }
        assert_int_equal(u64vec_lower_bound(&v, &(uint64_t){0}), 0);
        assert_int_equal(u64vec_upper_bound(&v, &(uint64_t){UINT64_MAX}), n);
        u64vec_deinit(&v);
    }
}
FOR_EACH_BACKEND(bounds_are_those_of_a_binary_search)

static void dedup_keeps_one_of_each(struct test_backend *b)
{
    struct u64vec v;
    size_t cap;

    fill_with_pairs(&v, b, 1001);
    cap = v.cap;
    assert_int_equal(u64vec_dedup(&v), 500);
    assert_int_equal(v.len, 501);
    assert_int_equal(v.cap, cap);
    for (size_t i = 0; i < v.len; i++)
        assert_int_equal(v.data[i], i * 10);
    assert_int_equal(u64vec_dedup(&v), 0);
    assert_int_equal(u64vec_truncate(&v, 0), 0);
    assert_int_equal(u64vec_dedup(&v), 0);
    assert_int_equal(v.len, 0);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(dedup_keeps_one_of_each)

static void a_read_only_vector_is_searched_and_not_sorted(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_READ_ONLY);
    struct u64vec v, reader;

    open_vec(b, &v, "numbers");
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(u64vec_push(&v, 1000 - i / 2), 0);
    assert_int_equal(u64vec_commit(&v, 0), 0);
    assert_int_equal(u64vec_open(&reader, b->da, "numbers", &o), 0);
    EXPECT_FAILURE(-EROFS, "u64vec_sort", u64vec_sort(&reader));
    assert_int_equal(u64vec_dedup(&reader), 0);
    assert_non_null(strstr(diskalloc_last_error(), "u64vec_dedup: "));
    assert_int_equal(reader.len, 1000);
    assert_int_equal(u64vec_is_sorted(&reader), 0);
    // The region is shared: what one sorts the other sees.
    assert_int_equal(u64vec_sort(&v), 0);
    assert_int_equal(u64vec_is_sorted(&reader), 1);
    assert_int_equal(u64vec_lower_bound(&reader, &(uint64_t){502}), 2);
    u64vec_deinit(&reader);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "numbers"), 0);
}
FOR_EACH_BACKEND(a_read_only_vector_is_searched_and_not_sorted)

static void elements_that_were_discarded_cannot_be_sorted(struct test_backend *b)
{
    struct u64vec v;

    start_with(b, &v, 300000);
    assert_int_equal(diskalloc_region_discard(v.region, 64 * KIB, 64 * KIB), 0);
    EXPECT_FAILURE(-EINVAL, "u64vec_sort", u64vec_sort(&v));
    assert_int_equal(v.data[1], MIX);
    // Behind the elements a part may be missing.
    v.len = 64 * KIB / 8;
    assert_int_equal(u64vec_sort(&v), 0);
    expect_sorted(&v, 64 * KIB / 8);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(elements_that_were_discarded_cannot_be_sorted)

static void a_vector_that_is_none_is_refused(struct test_backend *b)
{
    struct u64vec none = {0}, v;

    EXPECT_FAILURE(-EINVAL, "u64vec_sort", u64vec_sort(&none));
    assert_int_equal(u64vec_is_sorted(&none), 1);
    assert_int_equal(u64vec_lower_bound(&none, &(uint64_t){1}), 0);
    assert_int_equal(u64vec_dedup(&none), 0);
    start_with(b, &v, 100);
    v.len = v.cap + 1;
    EXPECT_FAILURE(-EINVAL, "u64vec_sort", u64vec_sort(&v));
    assert_int_equal(u64vec_is_sorted(&v), 0);
    assert_int_equal(u64vec_lower_bound(&v, &(uint64_t){1}), 0);
    assert_int_equal(u64vec_upper_bound(&v, &(uint64_t){1}), 0);
    assert_int_equal(u64vec_dedup(&v), 0);
    assert_non_null(strstr(diskalloc_last_error(), "u64vec_dedup: "));
    v.len = 100;
    assert_int_equal(v.data[99], 99 * MIX);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(a_vector_that_is_none_is_refused)

// As diskalloc_vec_sort does where memory is short.
static void sort_with(struct u64vec *v, uint64_t memory, bool threads)
{
    struct sort_job job = {.order = diskalloc_vec_u64vec_order(), .at = v->data, .n = v->len, .memory = memory};
    int fd = diskalloc_region_fd(v->region);

    job.pool = threads ? pool_new(2) : NULL;
    job.pages = pages_new(&v->region->mapping, fd < 0 ? -1 : fd, threads);
    assert_non_null(job.pages);
    sort_elements(&job);
    pages_free(job.pages);
    pool_free(job.pool);
}

static void a_vector_larger_than_memory_is_sorted(struct test_backend *b)
{
    const uint64_t memories[] = {MIB, 3 * MIB, 16 * MIB};
    size_t n = 24 * MIB / 8 + 12345;

    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) {
        struct u64vec v;

        start_with(b, &v, n);
        sort_with(&v, memories[i], i != 1);
        expect_sorted(&v, n);
        u64vec_deinit(&v);
    }
}
FOR_EACH_BACKEND(a_vector_larger_than_memory_is_sorted)

static void a_quota_that_is_used_up_is_enough(void **state)
{
    struct test_backend b;
    struct u64vec v;
    uint64_t used;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 24M\n", NULL);
    assert_int_equal(u64vec_init(&v, b.da), 0);
    while (u64vec_push(&v, v.len * MIX) == 0)
        ;
    used = usage_of(b.da).bytes;
    assert_int_equal(used, 24 * MIB);
    assert_int_equal(u64vec_sort(&v), 0);
    expect_sorted(&v, 24 * MIB / 8);
    assert_int_equal(u64vec_truncate(&v, 0), 0);
    push_mixed(&v, 24 * MIB / 8);
    sort_with(&v, 4 * MIB, true);
    expect_sorted(&v, 24 * MIB / 8);
    assert_int_equal(usage_of(b.da).bytes, used);
    u64vec_deinit(&v);
    backend_stop(&b);
}

static void no_daemon_is_needed_to_sort(void **state)
{
    struct test_backend b;
    struct u64vec v;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    start_with(&b, &v, 1000000);
    test_daemon_kill(&b.daemon, SIGKILL);
    assert_int_equal(u64vec_sort(&v), 0);
    expect_sorted(&v, 1000000);
    test_daemon_restart(&b.daemon);
    assert_int_equal(u64vec_push(&v, UINT64_MAX), 0);
    assert_int_equal(u64vec_sort(&v), 0);
    assert_int_equal(u64vec_is_sorted(&v), 1);
    u64vec_deinit(&v);
    backend_stop(&b);
}

// ThreadSanitizer ends a process that was forked from one with threads and starts some itself.
#if defined(__SANITIZE_THREAD__)
#define CHILDS_ELEMENTS 100000
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILDS_ELEMENTS 100000
#endif
#endif
#ifndef CHILDS_ELEMENTS
#define CHILDS_ELEMENTS 1000000
#endif

static void sort_and_exit(void *data)
{
    struct u64vec *v = data;

    if (u64vec_sort(v) < 0 || !u64vec_is_sorted(v))
        _exit(1);
    _exit(0);
}

static void a_forked_child_sorts_the_memory_that_it_shares(struct test_backend *b)
{
    struct u64vec v;

    start_with(b, &v, CHILDS_ELEMENTS);
    assert_int_equal(test_in_child(sort_and_exit, &v, (uid_t)-1), 0);
    expect_sorted(&v, CHILDS_ELEMENTS);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(a_forked_child_sorts_the_memory_that_it_shares)

static volatile sig_atomic_t n_signals, n_elsewhere;

static void count_signal(int signal)
{
    (void)signal;
    n_signals++;
    n_elsewhere += gettid() != getpid();
}

static void set_timer(long us)
{
    const struct itimerval interval = {{0, us}, {0, us}};

    assert_int_equal(setitimer(ITIMER_REAL, &interval, NULL), 0);
}

// The timer's signal may go to any thread that does not block it.
static void signals_reach_the_program_s_own_thread(struct test_backend *b)
{
    struct sigaction action = {.sa_handler = count_signal}, before;
    struct u64vec v;

    start_with(b, &v, 1500000);
    alarm(0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    set_timer(500);
    assert_int_equal(u64vec_sort(&v), 0);
    expect_sorted(&v, 1500000);
    while (n_signals == 0)
        ;
    assert_int_equal(u64vec_truncate(&v, 0), 0);
    push_mixed(&v, 1500000);
    sort_with(&v, 3 * MIB, true);
    set_timer(0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    alarm(120);
    expect_sorted(&v, 1500000);
    assert_int_equal(n_elsewhere, 0);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(signals_reach_the_program_s_own_thread)

static size_t count_threads(void)
{
    char *text = scratch_read_file("/proc/self/status"), *line = text ? strstr(text, "\nThreads:") : NULL;
    size_t n = line ? strtoul(line + strlen("\nThreads:"), NULL, 10) : 0;

    free(text);
    return n;
}

static size_t most_threads;

static int threads_less(const uint64_t *a, const uint64_t *b)
{
    if (*a % 65536 == 1) {
        size_t n = count_threads();

        most_threads = n > most_threads ? n : most_threads;
    }
    return *a < *b;
}
DISKALLOC_VEC_DEFINE(watched, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(watched, uint64_t, threads_less)

static void without_threads_there_are_none(void **state)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;
    struct watched v;
    struct test_backend b;
    size_t before;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b.address, &o, &da), 0);
    assert_int_equal(watched_init(&v, da), 0);
    for (uint64_t i = 0; i < 1000000; i++)
        assert_int_equal(watched_push(&v, i * MIX), 0);
    before = count_threads();
    most_threads = 0;
    assert_int_equal(watched_sort(&v), 0);
    assert_int_equal(most_threads, before);
    assert_int_equal(watched_is_sorted(&v), 1);
    watched_deinit(&v);
    diskalloc_close(da);
    backend_stop(&b);
}

static void a_file_of_the_caller_s_is_sorted(void **state)
{
    char dir[150], path[200];
    struct diskalloc_region *r;
    struct u64vec v;
    FILE *f;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/numbers", dir);
    f = fopen(path, "w+e");
    assert_non_null(f);
    assert_int_equal(diskalloc_region_from_fd(fileno(f), NULL, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    push_mixed(&v, 700000);
    assert_int_equal(u64vec_sort(&v), 0);
    expect_sorted(&v, 700000);
    u64vec_deinit(&v);
    fclose(f);
    scratch_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_vector_is_sorted_in_place),
        EACH_BACKEND(bounds_are_those_of_a_binary_search),
        EACH_BACKEND(dedup_keeps_one_of_each),
        EACH_BACKEND(a_read_only_vector_is_searched_and_not_sorted),
        EACH_BACKEND(elements_that_were_discarded_cannot_be_sorted),
        EACH_BACKEND(a_vector_that_is_none_is_refused),
        EACH_BACKEND(a_vector_larger_than_memory_is_sorted),
        TEST(a_quota_that_is_used_up_is_enough),
        TEST(no_daemon_is_needed_to_sort),
        EACH_BACKEND(a_forked_child_sorts_the_memory_that_it_shares),
        EACH_BACKEND(signals_reach_the_program_s_own_thread),
        TEST(without_threads_there_are_none),
        TEST(a_file_of_the_caller_s_is_sorted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
