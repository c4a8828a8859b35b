// The client's thread.  It takes work from the program's threads: making pages ahead of a vector
// (client/memory/prefetch.c), starting to write behind it (writeback.c), unmapping closed regions (dispose.c),
// growing a directory's region early (client/region/early.c).
//
//   - There is no thread before the first large vector, none for a client with DISKALLOC_NO_THREADS, and none on a
//     machine with one processor, where it would only take turns with the program.
//   - The thread sleeps on a condition (a futex) while there is no task.  It blocks all signals, so that the program's
//     handlers run on the program's own threads.
//   - A task may ask to be run again after a pause.  While tasks wait so, the thread wakes for the first of them.
//   - Tasks take turns, a piece each, and pieces are short: a thread that must have a task out of the way
//     (background_cancel) waits for one piece at most.
//   - The thread calls no function of the program and never waits for the daemon.  (It tells the daemon of a region
//     that it gives back, because nobody came to need it: client/region/spare.c.)  It never waits for the lock of a
//     region: the early grow tries the lock and gives up.  So a thread that holds a region's lock may wait for this
//     thread.
//   - A fork copies no thread.  Some steps must not be cut in two by a fork (a descriptor that is closed but still
//     listed): the lock `whole` is held over them, and a fork waits for it.
//
// Lock order: fork_lock, whole, lock.
#include "client/util/background.h"

#include <sched.h>

#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum { STACK_SIZE = 256 * 1024 };

static _Atomic unsigned n_threads; // of all clients

// The call fails when there are more processors than the set has room for.
unsigned background_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) < 0 ? CPU_SETSIZE : (unsigned)CPU_COUNT(&set);
}

static void make_locks(struct background *b)
{
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->whole, NULL);
    pthread_cond_init(&b->more, NULL);
    pthread_cond_init(&b->done, NULL);
}

void background_init(struct background *b, bool allowed)
{
    *b = (struct background){.state = allowed ? BACKGROUND_NOT_YET : BACKGROUND_FORBIDDEN};
    make_locks(b);
    TAILQ_INIT(&b->tasks);
    TAILQ_INIT(&b->later);
}

// The next four with the lock held.

static void queue(struct background *b, struct background_task *t)
{
    TAILQ_INSERT_TAIL(&b->tasks, t, entry);
    t->queued = true;
}

static void dequeue(struct background *b, struct background_task *t)
{
    if (t->queued)
        TAILQ_REMOVE(&b->tasks, t, entry);
    if (t->waiting)
        TAILQ_REMOVE(&b->later, t, entry);
    t->queued = t->waiting = false;
}

static void let_wait(struct background *b, struct background_task *t)
{
    TAILQ_INSERT_TAIL(&b->later, t, entry);
    t->waiting = true;
    t->due = clock_after(t->pause_ms);
}

static void finish_piece(struct background *b, struct background_task *t, enum background_result result)
{
    b->current = NULL;
    t->running = false;
    if (result == BACKGROUND_GONE) {
        b->n_passing--;
        b->n_gone++;
        t->gone(t);
    } else if ((result == BACKGROUND_MORE || t->again) && t->n_cancelling == 0) {
        queue(b, t);
    } else if (result == BACKGROUND_LATER && t->n_cancelling == 0) {
        let_wait(b, t);
    }
    pthread_cond_broadcast(&b->done);
}

// Called with the lock held, which is given up while the piece runs.
static void run_piece(struct background *b, struct background_task *t)
{
    enum background_result result;

    dequeue(b, t);
    t->running = true;
    t->again = false;
    b->current = t;
    pthread_mutex_unlock(&b->lock);
    result = t->run(t);
    pthread_mutex_lock(&b->lock);
    finish_piece(b, t, result);
}

// Called with the lock held.  Queues the tasks whose pause is over.  Returns when the next pause ends; UINT64_MAX: no
// task waits.
static uint64_t queue_due(struct background *b)
{
    uint64_t next = UINT64_MAX, now = TAILQ_EMPTY(&b->later) ? 0 : clock_now();

    for (struct background_task *t = TAILQ_FIRST(&b->later), *after; t; t = after) {
        after = TAILQ_NEXT(t, entry);
        if (t->due <= now) {
            dequeue(b, t);
            queue(b, t);
        } else if (t->due < next) {
            next = t->due;
        }
    }
    return next;
}

// Called with the lock held, which is given up meanwhile.
static void wait_for_more(struct background *b, uint64_t until)
{
    struct timespec at;

    if (until == UINT64_MAX) {
        pthread_cond_wait(&b->more, &b->lock);
        return;
    }
    at = clock_timespec(until);
    pthread_cond_clockwait(&b->more, &b->lock, CLOCK_MONOTONIC, &at);
}

static void *run_thread(void *data)
{
    struct background *b = data;
    struct background_task *t;

    pthread_mutex_lock(&b->lock);
    for (;;) {
        uint64_t next = queue_due(b);

        t = TAILQ_FIRST(&b->tasks);
        if (t)
            run_piece(b, t);
        else if (b->stopping)
            break;
        else
            wait_for_more(b, next);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

unsigned background_threads(void)
{
    return n_threads;
}

bool background_start(struct background *b)
{
    bool runs;

    pthread_mutex_lock(&b->lock);
    if (b->state == BACKGROUND_NOT_YET) {
        b->state = background_processors() > 1 && thread_start(&b->thread, STACK_SIZE, run_thread, b) == 0
                       ? BACKGROUND_RUNS
                       : BACKGROUND_FORBIDDEN;
        n_threads += b->state == BACKGROUND_RUNS;
    }
    runs = b->state == BACKGROUND_RUNS;
    pthread_mutex_unlock(&b->lock);
    return runs;
}

bool background_runs(struct background *b)
{
    bool runs;

    pthread_mutex_lock(&b->lock);
    runs = b->state == BACKGROUND_RUNS;
    pthread_mutex_unlock(&b->lock);
    return runs;
}

void background_deinit(struct background *b)
{
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->more);
    pthread_mutex_unlock(&b->lock);
    if (b->state == BACKGROUND_RUNS) {
        pthread_join(b->thread, NULL);
        n_threads--;
    }
    pthread_cond_destroy(&b->more);
    pthread_cond_destroy(&b->done);
    pthread_mutex_destroy(&b->whole);
    pthread_mutex_destroy(&b->lock);
}

void background_submit(struct background *b, struct background_task *t)
{
    pthread_mutex_lock(&b->lock);
    if (t->running) {
        t->again = true;
    } else if (!t->queued) {
        dequeue(b, t);
        queue(b, t);
        b->n_passing += t->gone != NULL;
        pthread_cond_signal(&b->more);
    }
    pthread_mutex_unlock(&b->lock);
}

void background_cancel(struct background *b, struct background_task *t)
{
    pthread_mutex_lock(&b->lock);
    t->n_cancelling++;
    dequeue(b, t);
    while (t->running)
        pthread_cond_wait(&b->done, &b->lock);
    t->n_cancelling--;
    pthread_mutex_unlock(&b->lock);
}

uint64_t background_count_gone(struct background *b)
{
    uint64_t n;

    pthread_mutex_lock(&b->lock);
    n = b->n_gone;
    pthread_mutex_unlock(&b->lock);
    return n;
}

uint64_t background_await_gone(struct background *b)
{
    uint64_t n;

    pthread_mutex_lock(&b->lock);
    while (b->n_passing > 0)
        pthread_cond_wait(&b->done, &b->lock);
    n = b->n_gone;
    pthread_mutex_unlock(&b->lock);
    return n;
}

void background_begin_whole(struct background *b)
{
    pthread_mutex_lock(&b->whole);
}

void background_end_whole(struct background *b)
{
    pthread_mutex_unlock(&b->whole);
}

void background_prepare_fork(struct background *b)
{
    pthread_mutex_lock(&b->whole);
    pthread_mutex_lock(&b->lock);
}

void background_after_fork(struct background *b)
{
    pthread_mutex_unlock(&b->lock);
    pthread_mutex_unlock(&b->whole);
}

static void forget(struct background_task *t)
{
    t->queued = t->running = t->waiting = t->again = false;
    t->n_cancelling = 0;
    if (t->forked)
        t->forked(t);
    if (t->gone)
        t->gone(t);
}

// The tasks belonged to the parent's regions.  The child may start a thread of its own for the regions that it opens
// itself.
void background_forked(struct background *b)
{
    struct background_task *t;

    background_after_fork(b);
    make_locks(b);
    n_threads = 0;
    if (b->state == BACKGROUND_RUNS)
        b->state = BACKGROUND_NOT_YET;
    if (b->current)
        forget(b->current);
    b->current = NULL;
    b->n_passing = 0;
    while ((t = TAILQ_FIRST(&b->tasks)) || (t = TAILQ_FIRST(&b->later))) {
        dequeue(b, t);
        forget(t);
    }
}
