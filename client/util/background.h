// One thread a client for what can be done beside the program.  See the essay in background.c.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum background_result {
    BACKGROUND_DONE,
    BACKGROUND_MORE, // behind the other tasks
    BACKGROUND_GONE, // done, and the task itself is to go
};

// Embedded in what the work is about.
struct background_task {
    TAILQ_ENTRY(background_task) entry;
    enum background_result (*run)(struct background_task *t); // a piece of it, on the thread
    // In a forked child, of one that was queued, or waits for `whole`; NULL: nothing to do.
    void (*forked)(struct background_task *t);
    void (*gone)(struct background_task *t); // frees it, on the thread or in a forked child, calling nothing of this
    bool queued, running, again;             // the background's, as the next
    unsigned n_cancelling;
};
TAILQ_HEAD(background_queue, background_task);

enum background_state {
    BACKGROUND_NOT_YET,
    BACKGROUND_RUNS,
    BACKGROUND_FORBIDDEN, // or it can't be had
};

struct background {
    pthread_mutex_t lock; // of all below
    pthread_cond_t more;  // or stopping
    pthread_cond_t done;  // of a task, its piece
    pthread_mutex_t whole;
    struct background_queue tasks;
    enum background_state state;
    pthread_t thread;
    bool stopping;
    struct background_task *current; // its piece is in progress
    unsigned n_passing;              // tasks that will be gone one day
    uint64_t n_gone;                 // and those that are
};

void background_init(struct background *b, bool allowed);
// Does what is queued, then ends the thread.
void background_deinit(struct background *b);

// Whether there is a thread, which is started now if need be.
bool background_start(struct background *b);
bool background_runs(struct background *b);
// The thread runs T until that has no more to do.  Once more when T was queued already: it looks again.
void background_submit(struct background *b, struct background_task *t);
// Afterwards T is neither queued nor running.
void background_cancel(struct background *b, struct background_task *t);

// How many tasks with `gone` are gone; and how many when there are no more of them, which it waits for.
uint64_t background_count_gone(struct background *b);
uint64_t background_await_gone(struct background *b);

// Around what a fork must not see half of.  On the thread, without other locks.
void background_begin_whole(struct background *b);
void background_end_whole(struct background *b);

// Around a fork, and in the child, where there is no thread.
void background_prepare_fork(struct background *b);
void background_after_fork(struct background *b);
void background_forked(struct background *b);
