// Touching disks before they are opened: see trial.h.
//
// A system call on a disk that hangs cannot be ended, and neither can its thread.  So each directory is touched by a
// thread of its own, which shares nothing with the daemon but a small struct.  Of this thread and its caller, the one
// that leaves last frees the struct.
#include "daemon/trial.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/store/store.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum { STACK_SIZE = 128 * 1024 }; // bytes

static atomic_uint n_hanging; // threads that were left, and hang

// The trial of a directory, shared by its thread and the caller.
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
    if (abandoned)
        atomic_fetch_sub(&n_hanging, 1);
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
    pthread_mutex_unlock(&t->lock);
    return answered;
}

// The caller does not wait for T any more.  True: the disk has answered.
static bool leave(struct trial *t)
{
    bool answered;

    pthread_mutex_lock(&t->lock);
    answered = t->answered;
    t->abandoned = true;
    if (!answered)
        atomic_fetch_add(&n_hanging, 1);
    pthread_mutex_unlock(&t->lock);
    if (answered)
        free_trial(t);
    return answered;
}

static void tell(const char *dir, const struct trial_times *times)
{
    log_warning("spill directory %s: the disk has not answered for %u seconds; the start waits for it for up to %u "
                "seconds in all, and then goes on without it",
                dir, times->tell_ms / 1000, times->give_up_ms / 1000);
}

void trial_run(const char *const *dirs, size_t n, const struct trial_times *times, bool *ret_answered)
{
    const uint64_t telling = clock_after(times->tell_ms), end = clock_after(times->give_up_ms);
    struct trial **trials = calloc(n + 1, sizeof *trials);

    for (size_t i = 0; trials && i < n; i++)
        trials[i] = begin(dirs[i]);
    for (size_t i = 0; trials && i < n; i++)
        if (trials[i] && !await(trials[i], telling))
            tell(dirs[i], times);
    // Without memory nothing is known: then the directory is opened, as if it had answered.
    for (size_t i = 0; i < n; i++) {
        ret_answered[i] = !trials || !trials[i] || await(trials[i], end);
        if (trials && trials[i])
            ret_answered[i] = leave(trials[i]);
    }
    free(trials);
}

bool trial_hangs(void)
{
    return atomic_load(&n_hanging) > 0;
}
