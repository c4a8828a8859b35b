// Starting a thread that takes no signals.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

// Starts RUN(DATA) on a new thread with all signals blocked: they are meant for the program's own threads.
// STACK_SIZE: bytes, or 0 for the default.  0, or -errno and *RET is not written.
static inline int thread_start(pthread_t *ret, size_t stack_size, void *(*run)(void *data), void *data)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    pthread_attr_init(&attr);
    if (stack_size > 0)
        pthread_attr_setstacksize(&attr, stack_size);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attr, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        *ret = thread;
    return -r;
}
