// Pages that are made ahead of a vector while the program resizes, discards, forks and closes: it notices nothing.
#include "tests/lib/prefetch_state.h"
#include "tests/lib/test_backend.h"

#include <time.h>

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

// The thread is at work at each of them.
static void shrinking_discarding_and_closing_get_along_with_the_thread(struct test_backend *b)
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

// A task that waits for its turn is taken off the list when the end moves down, and when the region goes.
static void what_shrinks_or_goes_has_no_work_left_with_the_thread(struct test_backend *b)
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

static void a_vector_may_be_moved_while_the_thread_works_for_it(struct test_backend *b)
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

static void one_thread_helps_many_vectors(struct test_backend *b)
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

static void a_storm_of_signals_is_the_programs_alone(struct test_backend *b)
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

static void forks_in_the_middle_of_pushing_are_no_trouble_to_either_side(struct test_backend *b)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(shrinking_discarding_and_closing_get_along_with_the_thread),
        EACH_BACKEND(what_shrinks_or_goes_has_no_work_left_with_the_thread),
        EACH_BACKEND(a_vector_may_be_moved_while_the_thread_works_for_it),
        EACH_BACKEND(one_thread_helps_many_vectors),
        EACH_BACKEND(a_storm_of_signals_is_the_programs_alone),
        EACH_BACKEND(forks_in_the_middle_of_pushing_are_no_trouble_to_either_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
