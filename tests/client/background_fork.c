// The client's thread and fork: which steps a fork must not cut in two, and what the child has.
#include "tests/lib/actor.h"
#include "tests/lib/scripted_task.h"

#include <pthread.h>

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
        TEST(a_fork_waits_for_what_must_be_whole),
        TEST(a_child_has_no_thread_gives_back_what_was_queued_and_may_start_its_own),
        TEST(what_the_thread_had_just_taken_is_given_back_in_the_child_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
