// The client's thread, for work that the program's threads need not wait for.  See the essay in background.c.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

// The value that a piece of a task returns.
enum background_result {
    BACKGROUND_DONE,  // the task has nothing to do until it is submitted again
    BACKGROUND_MORE,  // call run again, after the pieces of other tasks
    BACKGROUND_LATER, // call run again in pause_ms, or when it is submitted
    BACKGROUND_GONE,  // the task is done and is to be freed (gone)
};

// Embedded in the object that the work is about.
struct background_task {
    TAILQ_ENTRY(background_task) entry;
    // Does one piece of the work, on the thread, without a lock of the background.
    enum background_result (*run)(struct background_task *t);
    // In a forked child, for a task that was queued or running in the parent; NULL: there is nothing to do.
    void (*forked)(struct background_task *t);
    // Frees the task, on the thread or in a forked child; must not call the background.  NULL: the task is not freed.
    void (*gone)(struct background_task *t);
    unsigned pause_ms; // written by run, before it returns BACKGROUND_LATER
    // Written by background.c only, under the lock:
    bool queued, running, waiting; // waiting: until due
    uint64_t due;                  // a time of proto/util/clock.h
    bool again;                    // it was submitted while it was running
    unsigned n_cancelling;         // threads in background_cancel
};
TAILQ_HEAD(background_queue, background_task);

enum background_state {
    BACKGROUND_NOT_YET,   // nobody has started the thread
    BACKGROUND_RUNS,      // there is a thread
    BACKGROUND_FORBIDDEN, // the client may not have a thread, or none could be started
};

struct background {
    pthread_mutex_t lock;                 // of all below
    pthread_cond_t more;                  // signalled: there is a task, or the thread has to end
    pthread_cond_t done;                  // broadcast: a piece is done
    pthread_mutex_t whole;                // see background_begin_whole
    struct background_queue tasks, later; // the tasks that are queued; those that wait
    enum background_state state;
    pthread_t thread;
    bool stopping;
    struct background_task *current; // its piece is being run; NULL: none
    unsigned n_passing;              // tasks with gone that were submitted and are not freed yet
    uint64_t n_gone;                 // tasks that were freed
};

// ALLOWED: the client may have a thread.  The thread is started by background_start.
void background_init(struct background *b, bool allowed);
// Runs the tasks that are queued, then ends the thread.  Tasks that wait are left out.
void background_deinit(struct background *b);

// How many such threads this process has.
unsigned background_threads(void);
// The processors that the calling thread may use.
unsigned background_processors(void);
// True if there is a thread; the first one starts it if need be.
bool background_start(struct background *b);
bool background_runs(struct background *b);
// Has the thread run T until T has no more to do.  If T is running already, it is run once more afterwards.
void background_submit(struct background *b, struct background_task *t);
// When this returns, T is neither queued nor running nor waiting; it waits for a piece that is being run.
void background_cancel(struct background *b, struct background_task *t);

// The number of tasks that were freed; the second one first waits until no such task is left.
uint64_t background_count_gone(struct background *b);
uint64_t background_await_gone(struct background *b);

// Around a step of a task that a forked child must see done or not begun: a fork waits for it.  On the thread, with
// no other lock held.
void background_begin_whole(struct background *b);
void background_end_whole(struct background *b);

// Before a fork, after it in the parent, and after it in the child, where there is no thread.
void background_prepare_fork(struct background *b);
void background_after_fork(struct background *b);
void background_forked(struct background *b);
