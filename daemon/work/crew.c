// Workers that wait for work.
//
// The loop calls them, and must not wait for them: most workers run at a lower priority, and when the processors are
// busy, such a worker may not run for a long time.  pthread_cond_signal(3) can wait until a worker that was called
// earlier has run; sem_post(3) never does.
#include "daemon/work/crew.h"

#include <errno.h>

#include "proto/util/clock.h"

enum { KEEP_MS = 60 * 1000 }; // a worker that was added ends after this time without work

void crew_init(struct crew *crew)
{
    *crew = (struct crew){0};
    sem_init(&crew->calls, 0, 0);
}

void crew_deinit(struct crew *crew)
{
    sem_destroy(&crew->calls);
}

bool crew_has_free(const struct crew *crew)
{
    return crew->n_idle > crew->n_called;
}

void crew_call(struct crew *crew)
{
    if (!crew_has_free(crew))
        return;
    crew->n_called++;
    sem_post(&crew->calls);
}

void crew_call_all(struct crew *crew)
{
    while (crew_has_free(crew))
        crew_call(crew);
}

// False: nobody has called for KEEP_MS.
static bool await_call(struct crew *crew, bool for_ever)
{
    struct timespec until = clock_timespec(clock_after(KEEP_MS));
    int r;

    do
        r = for_ever ? sem_wait(&crew->calls) : sem_clockwait(&crew->calls, CLOCK_MONOTONIC, &until);
    while (r < 0 && errno == EINTR);
    return r == 0;
}

bool crew_wait(struct crew *crew, pthread_mutex_t *lock)
{
    bool is_extra = crew->n_alive > crew->n_fixed, was_called;

    crew->n_idle++;
    pthread_mutex_unlock(lock);
    was_called = await_call(crew, !is_extra);
    pthread_mutex_lock(lock);
    // The call may have come when the time was over.
    was_called = was_called || sem_trywait(&crew->calls) == 0;
    crew->n_idle--;
    crew->n_called -= was_called;
    return was_called || crew->n_alive <= crew->n_fixed;
}
