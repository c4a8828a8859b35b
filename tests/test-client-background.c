// The client's thread: turns, cancelling, ending, where there is none, signals, fork.
#include "tests/actor.h"
#include "tests/backends.h"
#include "tests/inspect.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "client/background.h"

// ThreadSanitizer can't follow a thread that a forked child starts.
#if defined(__SANITIZE_THREAD__)
#define MAY_START_IN_A_CHILD 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAY_START_IN_A_CHILD 0
#endif
#endif
#ifndef MAY_START_IN_A_CHILD
#define MAY_START_IN_A_CHILD 1
#endif

// A piece does what it is told: notes its name, waits to be let go, asks for more.
struct job {
    struct background_task task;
    struct background *background;
    char name, *notes; // NULL: none
    _Atomic unsigned n_left, n_run, n_forked, n_gone;
    bool waits; // for GO, after it said STARTED
    _Atomic bool inside;
    sem_t started, go;
    uint64_t blocked; // signals
    pid_t tid;
};

static uint64_t read_blocked(pid_t tid)
{
    char path[64], line[256];
    unsigned long long mask = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            break;
    if (f)
        fclose(f);
    return mask;
}

static enum background_result run(struct background_task *t)
{
    struct job *j = (struct job *)t;

    j->inside = true;
    j->tid = gettid();
    j->blocked = read_blocked(j->tid);
    if (j->notes)
        j->notes[strlen(j->notes)] = j->name;
    j->n_run++;
    if (j->waits) {
        sem_post(&j->started);
        sem_wait(&j->go);
    }
    j->inside = false;
    if (j->n_left > 0)
        j->n_left--;
    return j->n_left > 0 ? BACKGROUND_MORE : BACKGROUND_DONE;
}

static enum background_result run_and_go(struct background_task *t)
{
    return run(t) == BACKGROUND_MORE ? BACKGROUND_MORE : BACKGROUND_GONE;
}

static void gone(struct background_task *t)
{
    ((struct job *)t)->n_gone++;
}

static void forked(struct background_task *t)
{
    ((struct job *)t)->n_forked++;
}

static void job_init(struct job *j, struct background *b, unsigned n_pieces)
{
    *j = (struct job){.task = {.run = run, .forked = forked}, .background = b, .n_left = n_pieces};
    sem_init(&j->started, 0, 0);
    sem_init(&j->go, 0, 0);
}

// A thread that is at J's first piece, until that is let go.
static void start_at(struct background *b, struct job *j, unsigned n_pieces)
{
    background_init(b, true);
    job_init(j, b, n_pieces);
    j->waits = true;
    assert_true(background_start(b));
    background_submit(b, &j->task);
    sem_wait(&j->started);
    j->waits = false;
}

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

struct waiter {
    struct background *b;
    _Atomic pid_t tid;
    _Atomic bool returned;
    bool any;
};

static void *await_gone(void *data)
{
    struct waiter *w = data;

    w->tid = gettid();
    w->any = background_await_gone(w->b) == 1;
    w->returned = true;
    return NULL;
}

static bool waiter_is_at_rest(void *data)
{
    struct waiter *w = data;

    return w->returned || (w->tid != 0 && is_asleep(w->tid));
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

// ---- fork ----

static void *fork_and_hold(void *data)
{
    struct waiter *w = data;

    w->tid = gettid();
    background_prepare_fork(w->b);
    w->returned = true;
    background_after_fork(w->b);
    return NULL;
}

static void a_fork_waits_for_what_must_be_whole(void **state)
{
    struct background b;
    struct waiter w = {.b = &b};
    pthread_t thread;

    (void)state;
    background_init(&b, true);
    background_begin_whole(&b);
    assert_int_equal(pthread_create(&thread, NULL, fork_and_hold, &w), 0);
    test_wait_until(waiter_is_at_rest, &w, 30, "the fork waits");
    assert_false(w.returned);
    background_end_whole(&b);
    pthread_join(thread, NULL);
    background_deinit(&b);
}

struct family {
    struct background b;
    struct job at_work, queued, plain;
};

static void look_from_the_child(void *data)
{
    struct family *f = data;
    size_t n_threads = count_threads();
    struct job j;

    background_forked(&f->b);
    NEED(!background_runs(&f->b));
    NEED(f->queued.n_forked == 1 && f->queued.n_run == 0);
    NEED(!f->queued.task.queued && !f->plain.task.queued);
    NEED(f->queued.n_gone == 1);
    background_await_gone(&f->b); // for nothing of the parent's
    if (!MAY_START_IN_A_CHILD)
        return;
    NEED(background_start(&f->b));
    NEED(count_threads() == n_threads + 1);
    job_init(&j, &f->b, 3);
    background_submit(&f->b, &j.task);
    background_deinit(&f->b);
    NEED(j.n_run == 3);
}

static void a_child_has_no_thread_gives_back_what_was_queued_and_may_start_its_own(void **state)
{
    struct family f;
    int status;

    (void)state;
    start_at(&f.b, &f.at_work, 1);
    job_init(&f.queued, &f.b, 2);
    f.queued.task.run = run_and_go;
    f.queued.task.gone = gone;
    job_init(&f.plain, &f.b, 2);
    f.plain.task.forked = NULL;
    background_submit(&f.b, &f.queued.task);
    background_submit(&f.b, &f.plain.task);
    background_prepare_fork(&f.b);
    status = test_in_child(look_from_the_child, &f, (uid_t)-1);
    background_after_fork(&f.b);
    assert_int_equal(status, 0);
    sem_post(&f.at_work.go);
    background_deinit(&f.b);
    assert_int_equal(f.queued.n_run, 2);
    assert_int_equal(f.plain.n_run, 2);
    assert_int_equal(f.queued.n_forked, 0);
    assert_int_equal(f.queued.n_gone, 1);
}

// A piece as disposals do it.
static enum background_result run_whole(struct background_task *t)
{
    struct job *j = (struct job *)t;

    sem_post(&j->started);
    background_begin_whole(j->background);
    j->n_run++;
    background_end_whole(j->background);
    return BACKGROUND_DONE;
}

static void look_for_what_was_taken(void *data)
{
    struct family *f = data;

    background_forked(&f->b);
    NEED(f->queued.n_forked == 1);
}

// The thread has taken the task from the queue and has not begun with it when the fork gets hold of `whole`.
static void what_the_thread_had_just_taken_is_given_back_in_the_child_too(void **state)
{
    struct family f;
    int status;

    (void)state;
    background_init(&f.b, true);
    job_init(&f.queued, &f.b, 1);
    f.queued.task.run = run_whole;
    assert_true(background_start(&f.b));
    pthread_mutex_lock(&f.b.whole); // the first half of background_prepare_fork
    background_submit(&f.b, &f.queued.task);
    sem_wait(&f.queued.started);
    pthread_mutex_lock(&f.b.lock); // the second
    status = test_in_child(look_for_what_was_taken, &f, (uid_t)-1);
    background_after_fork(&f.b);
    background_deinit(&f.b);
    assert_int_equal(f.queued.n_run, 1);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tasks_take_turns_by_pieces),
        TEST(a_task_that_was_submitted_twice_before_its_turn_runs_once),
        TEST(a_task_that_is_submitted_while_it_runs_looks_again),
        TEST(cancelling_waits_for_the_piece_in_progress_and_no_longer),
        TEST(a_cancelled_task_that_was_only_queued_never_runs),
        TEST(ending_does_what_is_queued_first),
        TEST(there_is_no_thread_before_it_is_wanted_nor_where_it_is_forbidden),
        TEST(there_is_no_thread_on_one_processor),
        TEST(the_thread_takes_no_signals_and_leaves_them_to_whoever_started_it),
        TEST(who_waits_for_what_is_to_go_waits_until_all_of_it_is_gone),
        TEST(a_fork_waits_for_what_must_be_whole),
        TEST(a_child_has_no_thread_gives_back_what_was_queued_and_may_start_its_own),
        TEST(what_the_thread_had_just_taken_is_given_back_in_the_child_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
