// The fairness of the workers: lanes take turns, no lane holds more than half of the workers, and brief work has a
// worker of its own.
#include "daemon/work/worker.h"

#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/work/worker_internal.h"
#include "tests/lib/harness.h"

enum { N_WORKERS = 4 };

struct job {
    struct work work;
    sem_t *started, *go; // says that it runs, and waits; NULL: does not
    int pieces, order, *clock;
    bool done;
};

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;

static enum work_status run_job(struct work *w)
{
    struct job *job = (struct job *)w;

    if (job->started)
        sem_post(job->started);
    if (job->go)
        sem_wait(job->go);
    if (--job->pieces > 0)
        return WORK_AGAIN;
    pthread_mutex_lock(&clock_lock);
    if (job->clock)
        job->order = ++*job->clock;
    pthread_mutex_unlock(&clock_lock);
    return WORK_DONE;
}

static void job_done(struct work *w)
{
    ((struct job *)w)->done = true;
}

static void submit(struct worker_pool *pool, struct job *job, uint32_t lane, bool brief)
{
    if (job->pieces == 0)
        job->pieces = 1;
    job->work = (struct work){.lane = lane, .brief = brief, .run = run_job, .done = job_done};
    worker_submit(pool, &job->work);
}

static void wait_for(struct event_base *base, struct job *job)
{
    while (!job->done)
        event_base_loop(base, EVLOOP_ONCE);
}

struct fixture {
    struct event_base *base;
    struct worker_pool *pool;
    sem_t started, go;
};

static void fixture_init(struct fixture *f)
{
    f->base = event_base_new();
    assert_int_equal(worker_pool_new(f->base, N_WORKERS, &f->pool), 0);
    sem_init(&f->started, 0, 0);
    sem_init(&f->go, 0, 0);
}

static void fixture_deinit(struct fixture *f)
{
    assert_true(worker_pool_stop(f->pool, 10000));
    worker_pool_free(f->pool);
    event_base_free(f->base);
    sem_destroy(&f->started);
    sem_destroy(&f->go);
}

static void one_lane_never_holds_more_than_half_of_the_workers(void **state)
{
    struct job hogs[8] = {0}, other = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (int i = 0; i < 8; i++) {
        hogs[i].started = &f.started;
        hogs[i].go = &f.go;
        submit(f.pool, &hogs[i], 1, false);
    }
    for (int i = 0; i < N_WORKERS / 2; i++)
        sem_wait(&f.started);
    // With both of its workers held, lane 1 gets no third; lane 2 is served although it came last.
    submit(f.pool, &other, 2, false);
    wait_for(f.base, &other);
    assert_int_equal(sem_trywait(&f.started), -1);
    for (int i = 0; i < 8; i++)
        sem_post(&f.go);
    for (int i = 0; i < 8; i++)
        wait_for(f.base, &hogs[i]);
    fixture_deinit(&f);
}

static void brief_work_is_done_while_long_work_holds_all_other_workers(void **state)
{
    struct job hogs[6] = {0}, brief = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (int i = 0; i < 6; i++) {
        hogs[i].started = &f.started;
        hogs[i].go = &f.go;
        submit(f.pool, &hogs[i], (uint32_t)i, false);
    }
    for (int i = 0; i < N_WORKERS - 1; i++)
        sem_wait(&f.started);
    submit(f.pool, &brief, 0, true);
    wait_for(f.base, &brief);
    for (int i = 0; i < 6; i++)
        sem_post(&f.go);
    for (int i = 0; i < 6; i++)
        wait_for(f.base, &hogs[i]);
    fixture_deinit(&f);
}

static void work_in_pieces_lets_others_in_between(void **state)
{
    struct job holders[2] = {0}, large = {.pieces = 5}, small = {0};
    struct fixture f;
    sem_t held;
    int clock = 0;

    (void)state;
    fixture_init(&f);
    sem_init(&held, 0, 0);
    // Two of the three workers for long work are held to the end: the third serves both lanes by turns.
    for (int i = 0; i < 2; i++) {
        holders[i].started = &f.started;
        holders[i].go = &held;
        submit(f.pool, &holders[i], 10 + (uint32_t)i, false);
        sem_wait(&f.started);
    }
    large.clock = small.clock = &clock;
    large.started = &f.started;
    large.go = &f.go;
    submit(f.pool, &large, 1, false);
    sem_wait(&f.started);
    submit(f.pool, &small, 2, false);
    for (int i = 0; i < 5; i++)
        sem_post(&f.go);
    wait_for(f.base, &large);
    wait_for(f.base, &small);
    for (int i = 0; i < 2; i++)
        sem_post(&held);
    for (int i = 0; i < 2; i++)
        wait_for(f.base, &holders[i]);
    sem_destroy(&held);
    assert_true(small.order < large.order);
    fixture_deinit(&f);
}

static void a_stop_forgets_what_was_queued_and_waits_for_what_runs(void **state)
{
    struct job running = {0}, queued[20] = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    running.started = &f.started;
    running.go = &f.go;
    submit(f.pool, &running, 1, false);
    sem_wait(&f.started);
    for (int i = 0; i < 20; i++) {
        queued[i].go = &f.go;
        submit(f.pool, &queued[i], 1, false);
    }
    // A worker that does not come back is not waited for for ever.
    assert_false(worker_pool_stop(f.pool, 0));
    for (int i = 0; i < 21; i++)
        sem_post(&f.go);
    fixture_deinit(&f);
}

enum { MOST = 16 };

static bool has_more_than_at_first(void *data)
{
    return worker_count(data) > N_WORKERS;
}

static void a_pool_grows_while_its_workers_are_held_up(void **state)
{
    struct job hogs[2 * (N_WORKERS / 2 + 1)] = {0}, other = {0}, brief = {0}, more = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(worker_pool_let_grow(f.pool, MOST), 0);
    // As many workers as two lanes may have, among them those for brief work.
    for (int i = 0; i < (int)(sizeof hogs / sizeof *hogs); i++) {
        hogs[i].started = &f.started;
        hogs[i].go = &f.go;
        submit(f.pool, &hogs[i], 1 + (uint32_t)i % 2, true);
        sem_wait(&f.started);
    }
    test_wait_until(has_more_than_at_first, f.pool, 60, "workers were added");
    submit(f.pool, &other, 3, false);
    submit(f.pool, &brief, 4, true);
    wait_for(f.base, &other);
    wait_for(f.base, &brief);
    // A lane that holds workers up gets no more of them, however many there are.
    more.started = &f.started;
    submit(f.pool, &more, 1, true);
    other.done = false;
    submit(f.pool, &other, 3, false);
    wait_for(f.base, &other);
    assert_int_equal(sem_trywait(&f.started), -1);
    // The others have held their lane up for long enough, or have not.
    assert_false(worker_withdraw(f.pool, &more.work, worker_since(f.pool, &hogs[0].work) - 1));
    assert_false(worker_withdraw(f.pool, &hogs[0].work, UINT64_MAX));
    assert_true(worker_withdraw(f.pool, &more.work, worker_since(f.pool, &more.work)));
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++)
        sem_post(&f.go);
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++)
        wait_for(f.base, &hogs[i]);
    assert_false(more.done);
    fixture_deinit(&f);
}

static void a_pool_does_not_grow_beyond_its_most(void **state)
{
    struct job hogs[3 * MOST] = {0};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(worker_pool_let_grow(f.pool, MOST), 0);
    for (int i = 0; i < 3 * MOST; i++) {
        hogs[i].started = &f.started;
        hogs[i].go = &f.go;
        submit(f.pool, &hogs[i], (uint32_t)i, i % 2);
    }
    for (int i = 0; i < MOST; i++)
        sem_wait(&f.started);
    assert_int_equal(worker_count(f.pool), MOST);
    assert_int_equal(sem_trywait(&f.started), -1);
    for (int i = 0; i < 3 * MOST; i++)
        sem_post(&f.go);
    for (int i = 0; i < 3 * MOST; i++)
        wait_for(f.base, &hogs[i]);
    fixture_deinit(&f);
}

// ---- Priorities, and how much the loop takes at once ----

struct prioritised {
    struct job job;
    int priority;
};

static enum work_status run_prioritised(struct work *w)
{
    struct prioritised *p = (struct prioritised *)w;

    p->priority = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    return WORK_DONE;
}

static int priority_of(struct fixture *f, bool brief)
{
    struct prioritised p = {.job.pieces = 1};

    p.job.work = (struct work){.brief = brief, .run = run_prioritised, .done = job_done};
    worker_submit(f->pool, &p.job.work);
    wait_for(f->base, &p.job);
    return p.priority;
}

static unsigned count_idle(struct worker_pool *pool)
{
    unsigned n;

    pthread_mutex_lock(&pool->lock);
    n = pool->all.n_idle + pool->brief.n_idle;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

static bool all_are_idle(void *data)
{
    return count_idle(data) == N_WORKERS;
}

static void brief_work_has_the_loops_priority_and_long_work_a_lower_one(void **state)
{
    int own = getpriority(PRIO_PROCESS, 0), raised = own + 3;
    struct fixture f;

    (void)state;
    assert_return_code(setpriority(PRIO_PROCESS, 0, raised), errno);
    fixture_init(&f);
    for (int i = 0; i < 20; i++) {
        test_wait_until(all_are_idle, f.pool, 10, "all workers are idle");
        assert_int_equal(priority_of(&f, true), raised);
        test_wait_until(all_are_idle, f.pool, 10, "all workers are idle");
        assert_int_equal(priority_of(&f, false), raised + 10 < 19 ? raised + 10 : 19);
    }
    fixture_deinit(&f);
    setpriority(PRIO_PROCESS, 0, own); // refused to others than root: no test that follows minds
}

static unsigned count_completed(struct worker_pool *pool)
{
    const struct work *w;
    unsigned n = 0;

    pthread_mutex_lock(&pool->lock);
    TAILQ_FOREACH (w, &pool->completed, entry)
        n++;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

enum { MANY = 100, MOST_A_TURN = 16 };

static bool many_are_completed(void *data)
{
    return count_completed(data) == MANY;
}

static unsigned count_done(const struct job *jobs)
{
    unsigned n = 0;

    for (int i = 0; i < MANY; i++)
        n += jobs[i].done;
    return n;
}

static void the_loop_takes_a_bounded_number_of_results_at_once(void **state)
{
    static struct job jobs[MANY];
    struct fixture f;
    unsigned n = 0;

    (void)state;
    fixture_init(&f);
    for (int i = 0; i < MANY; i++)
        submit(f.pool, &jobs[i], 1, true);
    test_wait_until(many_are_completed, f.pool, 30, "the workers have done all work");
    while (n < MANY) {
        unsigned before = n;

        event_base_loop(f.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        n = count_done(jobs);
        assert_in_range(n - before, 1, MOST_A_TURN); // none is forgotten either
    }
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_lane_never_holds_more_than_half_of_the_workers),
        TEST(brief_work_is_done_while_long_work_holds_all_other_workers),
        TEST(work_in_pieces_lets_others_in_between),
        TEST(a_pool_grows_while_its_workers_are_held_up),
        TEST(a_pool_does_not_grow_beyond_its_most),
        TEST(brief_work_has_the_loops_priority_and_long_work_a_lower_one),
        TEST(the_loop_takes_a_bounded_number_of_results_at_once),
        TEST(a_stop_forgets_what_was_queued_and_waits_for_what_runs),
    };

    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
