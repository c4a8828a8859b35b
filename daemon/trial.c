// Touching disks before they are opened: see trial.h.
//
// A system call on a disk that hangs cannot be ended, and neither can its thread.  So each directory is touched by a
// thread of its own, which shares nothing with the daemon but a small struct.  Whoever leaves last frees that.
#include "daemon/trial.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/store.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum { STACK_SIZE = 128 * 1024 }; // bytes

// One directory.
struct trial {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool answered, abandoned; // the thread has left; the caller has left
    char dir[];
};

static void free_trial(struct trial *t)
{
    pthread_cond_destroy(&t->ended);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void *touch(void *data)
{
    struct trial *t = data;
    bool abandoned;

    store_touch(t->dir);
    pthread_mutex_lock(&t->lock);
    t->answered = true;
    abandoned = t->abandoned;
    pthread_cond_signal(&t->ended);
    pthread_mutex_unlock(&t->lock);
    if (abandoned)
        free_trial(t);
    return NULL;
}

// NULL: there is no memory, or no thread.
static struct trial *begin(const char *dir)
{
    size_t size = strlen(dir) + 1;
    struct trial *t = calloc(1, sizeof *t + size);
    pthread_t thread;

    if (!t)
        return NULL;
    memcpy(t->dir, dir, size);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->ended, NULL);
    if (thread_start(&thread, STACK_SIZE, touch, t) == 0) {
        pthread_detach(thread);
        return t;
    }
    free_trial(t);
    return NULL;
}

static bool await(struct trial *t, uint64_t deadline)
{
    const struct timespec until = clock_timespec(deadline);
    bool answered;
    int r = 0;

    pthread_mutex_lock(&t->lock);
    while (!t->answered && r == 0)
        r = pthread_cond_clockwait(&t->ended, &t->lock, CLOCK_MONOTONIC, &until);
    answered = t->answered;
    t->abandoned = true;
    pthread_mutex_unlock(&t->lock);
    if (answered)
        free_trial(t);
    return answered;
}

void trial_run(const char *const *dirs, size_t n, unsigned ms, bool *ret_answered)
{
    const uint64_t deadline = clock_after(ms);
    struct trial **trials = calloc(n + 1, sizeof *trials);

    for (size_t i = 0; trials && i < n; i++)
        trials[i] = begin(dirs[i]);
    // Without memory nothing is known: then the directory is opened, as if it had answered.
    for (size_t i = 0; i < n; i++)
        ret_answered[i] = !trials || !trials[i] || await(trials[i], deadline);
    free(trials);
}
