// Whether this thread is inside of the library: what is allocated then comes from the allocator behind this one.
#pragma once
#include <pthread.h>

// How many calls deep; also more than 0 while this thread forks, and always on the library's own thread.
extern _Thread_local unsigned inside __attribute__((__tls_model__("initial-exec")));

// No thread is cancelled inside: malloc is no place where a program expects that, and the thread has locks.
static inline int inside_enter(void)
{
    int state = PTHREAD_CANCEL_ENABLE;

    if (inside++ == 0)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

// STATE is what inside_enter returned.
static inline void inside_leave(int state)
{
    if (--inside == 0)
        pthread_setcancelstate(state, NULL);
}
