// The client's thread: tasks take turns, cancelling, ending, when there is no thread, and signals.
#include "tests/lib/actor.h"
#include "tests/lib/scripted_task.h"

#include <pthread.h>
#include <sched.h>

static void tasks_take_turns_by_pieces(void **state)
{
    struct background b;
    struct job first, second;
    char notes[32] = "";

    (void)state;
    start_at(&b, &first, 4);
    first.name = 'a';
    first.notes = notes;
    job_init(&second, &b, 3);
    second.name = 'b';
    second.notes = notes;
    background_submit(&b, &second.task);
    sem_post(&first.go);
    background_deinit(&b);
    assert_string_equal(notes, "bababa");
}

static void a_task_that_was_submitted_twice_before_its_turn_runs_once(void **state)
{
    struct background b;
    struct job first, second;

    (void)state;
    start_at(&b, &first, 1);
    job_init(&second, &b, 1);
    background_submit(&b, &second.task);
    background_submit(&b, &second.task);
    sem_post(&first.go);
    background_deinit(&b);
    assert_int_equal(second.n_run, 1);
}

static void a_task_that_is_submitted_while_it_runs_looks_again(void **state)
{
    struct background b;
    struct job j;

    (void)state;
    start_at(&b, &j, 1);
    background_submit(&b, &j.task);
    background_submit(&b, &j.task);
    sem_post(&j.go);
    background_deinit(&b);
    assert_int_equal(j.n_run, 2);
}

struct pauser {
    struct background_task task;
    struct background *background;
    unsigned pause_ms, n_run;
    sem_t ran;
};

static enum background_result run_later(struct background_task *t)
{
    struct pauser *p = (struct pauser *)t;

    t->pause_ms = p->pause_ms;
    p->n_run++;
    sem_post(&p->ran);
    return BACKGROUND_LATER;
}

static void start_pauser(struct background *b, struct pauser *p, unsigned pause_ms)
{
    *p = (struct pauser){.task.run = run_later, .background = b, .pause_ms = pause_ms};
    sem_init(&p->ran, 0, 0);
    background_submit(b, &p->task);
    sem_wait(&p->ran);
}

static void a_task_that_asks_for_a_pause_is_run_again_and_others_meanwhile(void **state)
{
    struct background b;
    struct pauser often, seldom;
    struct job j;

    (void)state;
    start_at(&b, &j, 1);
    sem_post(&j.go);
    start_pauser(&b, &seldom, 1000000000);
    start_pauser(&b, &often, 1);
    for (int i = 0; i < 5; i++)
        sem_wait(&often.ran);
    assert_int_equal(seldom.n_run, 1);
    background_cancel(&b, &often.task);
    background_deinit(&b); // does not wait for SELDOM
}

static bool is_waiting(void *data)
{
    struct pauser *p = data;
    struct background *b = p->background;
    bool waiting;

    pthread_mutex_lock(&b->lock);
    waiting = p->task.waiting;
    pthread_mutex_unlock(&b->lock);
    return waiting;
}

static void a_pause_ends_when_the_task_is_submitted_or_cancelled(void **state)
{
    struct background b;
    struct pauser p;
    struct job j;

    (void)state;
    start_at(&b, &j, 1);
    sem_post(&j.go);
    start_pauser(&b, &p, 1000000000);
    test_wait_until(is_waiting, &p, 30, "the task waits");
    background_submit(&b, &p.task);
    sem_wait(&p.ran);
    background_cancel(&b, &p.task);
    assert_false(p.task.queued || p.task.running || p.task.waiting);
    p.pause_ms = 1;
    background_submit(&b, &p.task); // it may come again
    for (int i = 0; i < 3; i++)
        sem_wait(&p.ran);
    background_cancel(&b, &p.task);
    background_deinit(&b);
    assert_true(p.n_run >= 5);
}

struct canceller {
    struct background *b;
    struct job *j;
    _Atomic pid_t tid;
    _Atomic bool returned;
    bool inside;
};

static void *cancel(void *data)
{
    struct canceller *c = data;

    c->tid = gettid();
    background_cancel(c->b, &c->j->task);
    c->inside = c->j->inside;
    c->returned = true;
    return NULL;
}

static bool has_come_to_a_rest(void *data)
{
    struct canceller *c = data;

    return c->returned || (c->tid != 0 && is_asleep(c->tid));
}

// The task has more pieces than there are, and is submitted once more.
static void cancelling_waits_for_the_piece_in_progress_and_no_longer(void **state)
{
    struct background b;
    struct job j;
    struct canceller c = {&b, &j, 0, false, false};
    pthread_t thread;

    (void)state;
    start_at(&b, &j, UINT32_MAX);
    background_submit(&b, &j.task);
    assert_int_equal(pthread_create(&thread, NULL, cancel, &c), 0);
    test_wait_until(has_come_to_a_rest, &c, 30, "the cancelling thread waits");
    assert_false(c.returned);
    sem_post(&j.go);
    pthread_join(thread, NULL);
    assert_false(c.inside);
    background_cancel(&b, &j.task); // is no trouble
    assert_false(j.task.queued || j.task.running);
    j.n_left = 1;
    background_submit(&b, &j.task); // it may come again
    background_deinit(&b);
    assert_int_equal(j.n_left, 0);
}

static void a_cancelled_task_that_was_only_queued_never_runs(void **state)
{
    struct background b;
    struct job first, second, third;

    (void)state;
    start_at(&b, &first, 1);
    job_init(&second, &b, 1);
    job_init(&third, &b, 1);
    background_submit(&b, &second.task);
    background_submit(&b, &third.task);
    background_cancel(&b, &second.task);
    sem_post(&first.go);
    background_deinit(&b);
    assert_int_equal(second.n_run, 0);
    assert_int_equal(third.n_run, 1);
}

static bool is_stopping(void *data)
{
    struct background *b = data;
    bool stopping;

    pthread_mutex_lock(&b->lock);
    stopping = b->stopping;
    pthread_mutex_unlock(&b->lock);
    return stopping;
}

static void *let_go_when_it_stops(void *data)
{
    struct job *j = data;

    test_wait_until(is_stopping, j->background, 30, "somebody ends the thread");
    sem_post(&j->go);
    return NULL;
}

static void ending_does_what_is_queued_first(void **state)
{
    size_t n_threads = count_threads();
    struct background b;
    struct job first, second;
    pthread_t thread;

    (void)state;
    start_at(&b, &first, 2);
    job_init(&second, &b, 5);
    background_submit(&b, &second.task);
    assert_int_equal(pthread_create(&thread, NULL, let_go_when_it_stops, &first), 0);
    background_deinit(&b);
    assert_int_equal(first.n_run, 2);
    assert_int_equal(second.n_run, 5);
    pthread_join(thread, NULL);
    await_threads(n_threads);
}

static void there_is_no_thread_before_it_is_wanted_nor_where_it_is_forbidden(void **state)
{
    size_t n_threads = count_threads();
    struct background b;

    (void)state;
    background_init(&b, true);
    assert_false(background_runs(&b));
    assert_int_equal(count_threads(), n_threads);
    background_deinit(&b);
    background_init(&b, false);
    assert_false(background_start(&b));
    assert_false(background_runs(&b));
    assert_int_equal(count_threads(), n_threads);
    background_deinit(&b);
}

static void start_on_one_processor(void *data)
{
    size_t n_threads = count_threads();
    struct background b;
    cpu_set_t set;

    (void)data;
    NEED(sched_getaffinity(0, sizeof(set), &set) == 0);
    for (int i = 0, kept = -1; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET((size_t)i, &set) && kept >= 0)
            CPU_CLR((size_t)i, &set);
        else if (CPU_ISSET((size_t)i, &set))
            kept = i;
    }
    NEED(sched_setaffinity(0, sizeof(set), &set) == 0);
    background_init(&b, true);
    NEED(!background_start(&b));
    NEED(!background_runs(&b));
    NEED(count_threads() == n_threads);
    background_deinit(&b);
}

static void there_is_no_thread_on_one_processor(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(start_on_one_processor, NULL, (uid_t)-1), 0);
}

// Signal 9 and 19 can't be blocked, 32 and 33 are the C library's.
static void the_thread_takes_no_signals_and_leaves_them_to_whoever_started_it(void **state)
{
    const uint64_t blockable = ~(1ULL << 8 | 1ULL << 18 | 1ULL << 31 | 1ULL << 32);
    uint64_t mine = read_blocked(gettid());
    struct background b;
    struct job j;

    (void)state;
    start_at(&b, &j, 1);
    assert_int_not_equal(j.tid, gettid());
    assert_int_equal(j.blocked & blockable, blockable);
    assert_int_equal(read_blocked(gettid()), mine);
    sem_post(&j.go);
    background_deinit(&b);
}

static void *await_gone(void *data)
{
    struct waiter *w = data;

    w->tid = gettid();
    w->any = background_await_gone(w->b) == 1;
    w->returned = true;
    return NULL;
}

static void who_waits_for_what_is_to_go_waits_until_all_of_it_is_gone(void **state)
{
    struct background b;
    struct waiter w = {.b = &b};
    struct job first, second;
    pthread_t thread;

    (void)state;
    start_at(&b, &first, 1);
    assert_int_equal(background_await_gone(&b), 0); // this one stays
    job_init(&second, &b, 2);
    second.task.run = run_and_go;
    second.task.gone = gone;
    background_submit(&b, &second.task);
    assert_int_equal(pthread_create(&thread, NULL, await_gone, &w), 0);
    test_wait_until(waiter_is_at_rest, &w, 30, "it waits");
    assert_false(w.returned);
    sem_post(&first.go);
    pthread_join(thread, NULL);
    assert_true(w.any);
    assert_int_equal(second.n_run, 2);
    assert_int_equal(second.n_gone, 1);
    assert_int_equal(background_await_gone(&b), 1);
    background_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tasks_take_turns_by_pieces),
        TEST(a_task_that_was_submitted_twice_before_its_turn_runs_once),
        TEST(a_task_that_is_submitted_while_it_runs_looks_again),
        TEST(a_task_that_asks_for_a_pause_is_run_again_and_others_meanwhile),
        TEST(a_pause_ends_when_the_task_is_submitted_or_cancelled),
        TEST(cancelling_waits_for_the_piece_in_progress_and_no_longer),
        TEST(a_cancelled_task_that_was_only_queued_never_runs),
        TEST(ending_does_what_is_queued_first),
        TEST(there_is_no_thread_before_it_is_wanted_nor_where_it_is_forbidden),
        TEST(there_is_no_thread_on_one_processor),
        TEST(the_thread_takes_no_signals_and_leaves_them_to_whoever_started_it),
        TEST(who_waits_for_what_is_to_go_waits_until_all_of_it_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
