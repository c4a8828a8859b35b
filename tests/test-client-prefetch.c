// Memory that is made before a vector gets to it: how far, for whom, and that nothing notices.
#include "tests/actor.h"
#include "tests/backends.h"
#include "tests/inspect.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define backend client_backend // the library's and the tests' are two things
#include "client/client.h"
#include "client/region.h"
#undef backend

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

#define HUGE_PAGE (2 * MIB)
#define LARGE (8 * MIB)      // from here on the thread helps
#define AHEAD_MAX (32 * MIB) // and this far

// ThreadSanitizer can't follow a thread that a forked child starts, as this one would for a large vector.
#if defined(__SANITIZE_THREAD__)
#define CHILDS_VECTOR 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILDS_VECTOR 0
#endif
#endif
#ifndef CHILDS_VECTOR
#define CHILDS_VECTOR (20 * MIB)
#endif

static uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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

static bool is_idle(void *data)
{
    struct diskalloc_region *r = data;
    struct background *b = &r->da->background;
    bool idle;

    pthread_mutex_lock(&b->lock);
    idle = !r->prefetch.task.queued && !r->prefetch.task.running;
    pthread_mutex_unlock(&b->lock);
    return idle;
}

static void await_idle(struct diskalloc_region *r)
{
    test_wait_until(is_idle, r, 60, "the thread has made what it wants to");
}

static size_t present(const struct u64s *v, uint64_t from, uint64_t to)
{
    return from < to ? count_present((const char *)v->data, from, to) : 0;
}

// The kernel may answer a fault with 2 MiB of pages.
static size_t present_behind(const struct u64s *v, uint64_t end)
{
    return present(v, align_up(end, HUGE_PAGE), align_up(diskalloc_region_size(v->region), HUGE_PAGE) + 64 * MIB);
}

// Some call for more than one processor, all for Linux 5.14.
static bool cannot_help(void)
{
    cpu_set_t set;

    if (prefetch_is_possible() && sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
        return false;
    print_message("skipped: one processor, or a kernel that can't make pages ahead\n");
    return true;
}

static void capacity_comes_in_windows_whose_pages_are_there(struct backend *b)
{
    struct u64s v;

    if (cannot_help())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    while (v.len < 24 * MIB / 8) {
        uint64_t from = align_up(v.len * 8, 4096), end;

        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        end = v.cap * 8;
        assert_true(v.cap >= v.len && end <= diskalloc_region_size(v.region));
        assert_true(end - from <= align_up(HUGE_PAGE, 4096));
        if (present(&v, from, end) != (end - from) / 4096)
            fail_msg("%zu of the pages from %zu KiB to %zu are there", present(&v, from, end), (size_t)from / 1024,
                     (size_t)end / 1024);
        push_to(&v, end);
    }
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(capacity_comes_in_windows_whose_pages_are_there)

static void nothing_is_made_ahead_for_a_small_vector(struct backend *b)
{
    size_t n_threads = count_threads();
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(present(&v, 0, MIB), 0);
    while (v.len < 2 * MIB / 8) {
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        assert_true(diskalloc_region_size(v.region) < LARGE);
        assert_int_equal(present_behind(&v, v.cap * 8), 0);
        push_to(&v, v.cap * 8);
    }
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(nothing_is_made_ahead_for_a_small_vector)

// When the thread has come to rest.
static void the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size(struct backend *b)
{
    static const uint64_t ends[] = {9, 15, 16, 40, 70, 100, 144, 170};
    bool ahead = false;
    struct u64s v;

    if (cannot_help())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        uint64_t end, size, want;

        // a quarter would be more then, and is there
        if (ends[i] == 144)
            assert_int_equal(diskalloc_region_resize(v.region, 400 * MIB), 0);
        push_to(&v, ends[i] * MIB + 4096);
        await_idle(v.region);
        end = v.cap * 8;
        size = diskalloc_region_size(v.region);
        want = min(end + min(end / 4, AHEAD_MAX), size);
        ahead |= present(&v, end, want) > 0;
        assert_int_equal(present_behind(&v, want), 0);
        assert_int_equal(present(&v, align_up(size, 4096), size + 64 * MIB), 0);
        assert_true(v.region->prefetch.claimed <= size);
    }
    assert_true(ahead);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size)

static void who_asks_for_much_at_once_gets_all_of_it_and_no_page(struct backend *b)
{
    size_t n_threads = count_threads();
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_reserve(&v, 20 * MIB / 8), 0);
    assert_int_equal(v.cap, diskalloc_region_size(v.region) / 8);
    assert_true(v.cap >= 20 * MIB / 8);
    assert_int_equal(present(&v, 0, v.cap * 8), 0);
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(who_asks_for_much_at_once_gets_all_of_it_and_no_page)

struct odd {
    char bytes[24];
};
DISKALLOC_VEC_DEFINE(odds, struct odd)

static void capacity_is_what_was_asked_for_at_least_and_the_size_at_most(struct backend *b)
{
    uint64_t seed = 7;
    struct odds v;

    assert_int_equal(odds_init(&v, b->da), 0);
    while (v.len * 24 < 40 * MIB) {
        uint64_t more = (seed = mix(seed)) >> 8, size;
        struct odd *at = NULL;

        more %= more & 1 ? 100 : 90000;
        assert_int_equal(odds_reserve(&v, more), 0);
        size = diskalloc_region_size(v.region);
        assert_true(v.cap >= v.len + more && v.cap * 24 <= size);
        assert_int_equal(odds_append_uninit(&v, more / 2 + 1, &at), 0);
        at[more / 2].bytes[23] = 1;
        assert_true(v.cap >= v.len && v.cap * 24 <= diskalloc_region_size(v.region));
    }
    odds_deinit(&v);
}
FOR_EACH_BACKEND(capacity_is_what_was_asked_for_at_least_and_the_size_at_most)

// The thread is at work at each of them.
static void shrinking_discarding_and_closing_get_along_with_the_thread(struct backend *b)
{
    uint64_t seed = 1, end = 0;
    struct u64s v = {0};

    for (int round = 0; round < 60; round++) {
        uint64_t much = (seed = mix(seed)) % (6 * MIB);

        if (round % 12 == 0) {
            u64s_deinit(&v);
            assert_int_equal(u64s_init(&v, b->da), 0);
            end = 12 * MIB;
        }
        push_to(&v, end);
        assert_int_equal(v.len, end / 8);
        if (round % 3 == 0)
            assert_int_equal(u64s_shrink_to_fit(&v), 0);
        if (round % 3 == 0)
            assert_int_equal(present(&v, align_up(end, 4096), end + 64 * MIB), 0);
        if (round % 3 == 1) {
            u64s_truncate(&v, (end - much) / 8);
            assert_int_equal(u64s_shrink_to_fit(&v), 0);
            end -= much;
        }
        if (round % 3 == 2) {
            // of the content
            assert_int_equal(diskalloc_region_discard(v.region, 4 * MIB, 3 * MIB + 4096), 0);
            end += MIB;
            push_to(&v, end);
            assert_int_equal(present(&v, 4 * MIB, 7 * MIB + 4096), 0);
            assert_int_equal(diskalloc_region_restore(v.region, 4 * MIB, 3 * MIB + 4096), 0);
            for (uint64_t i = 4 * MIB / 8; i < (7 * MIB + 4096) / 8; i++)
                v.data[i] = v.data[i] == 0 ? mix(i) : 0;
        }
        end = align_up(end + much, 8);
        assert_true(is_content_right(&v));
    }
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(shrinking_discarding_and_closing_get_along_with_the_thread)

static enum background_result stand_in_the_way(struct background_task *t)
{
    (void)t;
    sched_yield();
    return BACKGROUND_MORE;
}

// What waits for the thread's turn is on the list no more when the end moves down, nor when the region goes.
static void what_shrinks_or_goes_has_no_work_left_with_the_thread(struct backend *b)
{
    struct background_task obstacle = {.run = stand_in_the_way};
    struct background *background = &b->da->background;
    bool was_queued = false;
    struct u64s v;

    if (cannot_help())
        return;
    for (int round = 0; round < 40; round++) {
        assert_int_equal(u64s_init(&v, b->da), 0);
        push_to(&v, 12 * MIB);
        background_submit(background, &obstacle);
        push_to(&v, v.cap * 8 + 8);
        was_queued |= !is_idle(v.region);
        if (round % 2)
            assert_int_equal(u64s_shrink_to_fit(&v), 0);
        else
            assert_int_equal(diskalloc_region_discard(v.region, 0, MIB), 0);
        assert_true(is_idle(v.region));
        assert_true(v.region->prefetch.claimed <= (round % 2 ? v.len * 8 : 0));
        background_cancel(background, &obstacle);
        u64s_deinit(&v);
    }
    assert_true(was_queued);
}
FOR_EACH_BACKEND(what_shrinks_or_goes_has_no_work_left_with_the_thread)

static void pages_that_can_not_be_made_are_no_trouble(struct backend *b)
{
    struct u64s v;
    uint64_t gap;

    assert_int_equal(u64s_init(&v, b->da), 0);
    push_to(&v, 20 * MIB + 8192);
    gap = align_up(v.cap * 8 + 3 * MIB, 4096) + 4096; // within the next windows and what is ahead
    assert_true(gap + MIB < diskalloc_region_size(v.region));
    assert_int_equal(diskalloc_region_discard(v.region, gap, MIB), 0);
    push_to(&v, gap);
    await_idle(v.region);
    assert_true(v.cap * 8 > gap);
    assert_int_equal(present(&v, gap, gap + MIB), 0);
    assert_int_equal(diskalloc_region_restore(v.region, gap, MIB), 0);
    push_to(&v, 60 * MIB);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(pages_that_can_not_be_made_are_no_trouble)

static void sparse_regions_get_only_what_they_touch(struct backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc_region *r = NULL;
    struct u64s v;

    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    push_to(&v, 21 * MIB + 64);
    assert_true(r->prefetch.off);
    assert_int_equal(present_behind(&v, v.len * 8), 0);
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(sparse_regions_get_only_what_they_touch)

static void read_only_regions_get_nothing(struct backend *b)
{
    struct diskalloc_region *r = NULL;
    size_t n_threads;
    struct u64s v;

    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 40 * MIB), 0);
    assert_int_equal(diskalloc_region_commit(r, 12 * MIB, 8, 0), 0);
    diskalloc_region_close(r);
    n_threads = count_threads();
    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(u64s_push(&v, 1), -EROFS);
    assert_int_equal(u64s_reserve(&v, 1), -EROFS);
    assert_true(r->prefetch.off);
    assert_int_equal(present(&v, 0, 40 * MIB), 0);
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(read_only_regions_get_nothing)

// Without threads windows are still made, and nothing ahead.
static void without_threads_nothing_is_made_ahead(struct backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct u64s v;

    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    assert_int_equal(u64s_init(&v, da), 0);
    push_to(&v, 41 * MIB + 8);
    assert_int_equal(count_threads(), n_threads);
    assert_int_equal(present_behind(&v, v.cap * 8), 0);
    assert_int_equal(present(&v, v.len * 8, v.cap * 8) > 0, prefetch_is_possible());
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(without_threads_nothing_is_made_ahead)

// The environment is read once: a program of its own.
static void begin_without(void *data)
{
    setenv("DISKALLOC_PREFETCH", "0", 1);
    execl("/proc/self/exe", "test-client-prefetch", "without", data, (char *)NULL);
    _exit(126);
}

static int push_without(const char *address)
{
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct u64s v;

    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(u64s_init(&v, da) == 0);
    while (v.len < 41 * MIB / 8)
        NEED(u64s_push(&v, mix(v.len)) == 0);
    NEED(v.region->prefetch.off);
    NEED(present_behind(&v, v.len * 8) == 0);
    NEED(count_threads() == n_threads);
    NEED(is_content_right(&v));
    u64s_deinit(&v);
    NEED(count_threads() == n_threads);
    diskalloc_close(da);
    return 0;
}

static void the_environment_can_turn_it_off(struct backend *b)
{
    assert_int_equal(test_in_child(begin_without, b->address, (uid_t)-1), 0);
}
FOR_EACH_BACKEND(the_environment_can_turn_it_off)

static void a_vector_may_be_moved_while_the_thread_works_for_it(struct backend *b)
{
    struct u64s *v = malloc(sizeof(*v));

    assert_int_equal(u64s_init(v, b->da), 0);
    for (uint64_t end = MIB / 2; end < 50 * MIB; end += MIB / 2) {
        struct u64s *moved = malloc(sizeof(*v));

        push_to(v, end);
        memcpy(moved, v, sizeof(*v));
        memset(v, 0xee, sizeof(*v));
        free(v);
        v = moved;
    }
    assert_true(is_content_right(v));
    u64s_deinit(v);
    free(v);
}
FOR_EACH_BACKEND(a_vector_may_be_moved_while_the_thread_works_for_it)

struct pusher {
    struct diskalloc *da;
    bool right;
};

static void *push_in_a_thread(void *data)
{
    struct pusher *p = data;
    struct u64s v;

    if (u64s_init(&v, p->da) != 0)
        return NULL;
    while (v.len < 40 * MIB / 8)
        if (u64s_push(&v, mix(v.len)) != 0)
            return NULL;
    p->right = is_content_right(&v);
    u64s_deinit(&v);
    return NULL;
}

static void one_thread_helps_many_vectors(struct backend *b)
{
    struct pusher pushers[3] = {{.da = b->da}, {.da = b->da}, {.da = b->da}};
    struct u64s even, odd;
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_in_a_thread, &pushers[i]), 0);
    assert_int_equal(u64s_init(&even, b->da), 0);
    assert_int_equal(u64s_init(&odd, b->da), 0);
    for (uint64_t end = 40000; end < 30 * MIB; end += 40000) {
        push_to(&even, end);
        push_to(&odd, end / 2);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(is_content_right(&even) && is_content_right(&odd));
    assert_true(pushers[0].right && pushers[1].right && pushers[2].right);
    u64s_deinit(&even);
    u64s_deinit(&odd);
}
FOR_EACH_BACKEND(one_thread_helps_many_vectors)

static _Atomic unsigned n_signals, n_elsewhere;
static pid_t main_thread;

static void count_signal(int signal_number)
{
    (void)signal_number;
    n_signals++;
    if (gettid() != main_thread)
        n_elsewhere++;
}

static void a_storm_of_signals_is_the_programs_alone(struct backend *b)
{
    const struct itimerspec often = {.it_interval.tv_nsec = 100000, .it_value.tv_nsec = 100000};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct sigaction action = {.sa_handler = count_signal}; // no SA_RESTART
    struct u64s v;
    timer_t timer;

    main_thread = gettid();
    n_signals = n_elsewhere = 0;
    assert_return_code(sigaction(SIGUSR1, &action, NULL), errno);
    assert_return_code(timer_create(CLOCK_MONOTONIC, &event, &timer), errno);
    assert_return_code(timer_settime(timer, 0, &often, NULL), errno);
    assert_int_equal(u64s_init(&v, b->da), 0);
    push_to(&v, 60 * MIB);
    for (uint64_t end = 61 * MIB; n_signals == 0 && end < 400 * MIB; end += MIB)
        push_to(&v, end);
    u64s_truncate(&v, 12 * MIB / 8);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    push_to(&v, 30 * MIB);
    timer_delete(timer);
    assert_true(n_signals > 0);
    assert_int_equal(n_elsewhere, 0);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    signal(SIGUSR1, SIG_DFL);
}
FOR_EACH_BACKEND(a_storm_of_signals_is_the_programs_alone)

struct inheritance {
    struct diskalloc *da;
    const struct u64s *v;
};

static void push_ones_own(struct diskalloc *da)
{
    struct u64s v;

    NEED(u64s_init(&v, da) == 0);
    while (v.len != CHILDS_VECTOR / 8)
        NEED(u64s_push(&v, mix(v.len)) == 0);
    NEED(is_content_right(&v));
    u64s_deinit(&v);
}

static void check_and_push(const struct inheritance *i)
{
    struct u64s inherited = *i->v;

    NEED(is_content_right(&inherited));
    if (CHILDS_VECTOR > 0)
        push_ones_own(i->da);
    NEED(is_content_right(&inherited));
    NEED(u64s_shrink_to_fit(&inherited) == -EBUSY);
    u64s_deinit(&inherited);
    diskalloc_close(i->da);
    NEED(count_mappings() == 0);
}

static pid_t fork_and_check(const struct inheritance *i)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    check_and_push(i);
    _exit(0);
}

static void forks_in_the_middle_of_pushing_are_no_trouble_to_either_side(struct backend *b)
{
    enum { FORKS = 8 };
    struct inheritance i = {.da = b->da};
    pid_t pids[FORKS];
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    i.v = &v;
    for (uint64_t n = 0; n < FORKS; n++) {
        push_to(&v, (n + 1) * 12 * MIB);
        pids[n] = fork_and_check(&i);
        assert_true(pids[n] > 0);
    }
    push_to(&v, 100 * MIB);
    for (size_t n = 0; n < FORKS; n++) {
        int status = -1;

        assert_int_equal(waitpid(pids[n], &status, 0), pids[n]);
        assert_int_equal(status, 0);
    }
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(forks_in_the_middle_of_pushing_are_no_trouble_to_either_side)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(capacity_comes_in_windows_whose_pages_are_there),
        EACH_BACKEND(nothing_is_made_ahead_for_a_small_vector),
        EACH_BACKEND(the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size),
        EACH_BACKEND(who_asks_for_much_at_once_gets_all_of_it_and_no_page),
        EACH_BACKEND(capacity_is_what_was_asked_for_at_least_and_the_size_at_most),
        EACH_BACKEND(shrinking_discarding_and_closing_get_along_with_the_thread),
        EACH_BACKEND(what_shrinks_or_goes_has_no_work_left_with_the_thread),
        EACH_BACKEND(pages_that_can_not_be_made_are_no_trouble),
        EACH_BACKEND(sparse_regions_get_only_what_they_touch),
        EACH_BACKEND(read_only_regions_get_nothing),
        EACH_BACKEND(without_threads_nothing_is_made_ahead),
        EACH_BACKEND(the_environment_can_turn_it_off),
        EACH_BACKEND(a_vector_may_be_moved_while_the_thread_works_for_it),
        EACH_BACKEND(one_thread_helps_many_vectors),
        EACH_BACKEND(a_storm_of_signals_is_the_programs_alone),
        EACH_BACKEND(forks_in_the_middle_of_pushing_are_no_trouble_to_either_side),
    };

    if (argc == 3 && strcmp(argv[1], "without") == 0)
        return push_without(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
