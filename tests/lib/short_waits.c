// Short waits, for a daemon under test (LD_PRELOAD): a wait of a thread for another one that is to end some seconds
// from now, $TEST_SHORT_WAITS at most, ends after a tenth of a second.
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { LEAST_SECONDS = 7, SHORT_NS = 100 * 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

typedef int (*clockwait)(pthread_cond_t *changed, pthread_mutex_t *lock, clockid_t clock, const struct timespec *end);

static struct timespec soon(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    at.tv_nsec += SHORT_NS;
    if (at.tv_nsec >= SECOND_NS) {
        at.tv_sec++;
        at.tv_nsec -= SECOND_NS;
    }
    return at;
}

__attribute__((visibility("default"))) int pthread_cond_clockwait(pthread_cond_t *changed, pthread_mutex_t *lock,
                                                                  clockid_t clock, const struct timespec *end)
{
    const char *most = getenv("TEST_SHORT_WAITS");
    struct timespec early = soon(clock);
    const long left = end->tv_sec - early.tv_sec;
    clockwait next;

    *(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    return next(changed, lock, clock, most && left >= LEAST_SECONDS && left <= atol(most) ? &early : end);
}
