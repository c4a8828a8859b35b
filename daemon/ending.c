// The end of a daemon of which threads hang in the kernel.
//
// No signal wakes a thread that sleeps in the kernel for a disk, or for the lock of a file that a client holds.  When
// the others have ended, the process stays as a zombie, with all its descriptors.  So they are closed here: the lock
// of the spill directory, for the next daemon, and the files of regions, which the kernel would count as used.
//
// Both may hang as well, on a disk that does not answer.  So a thread of its own does them, and is not waited for any
// longer than a second.
#include "daemon/ending.h"

#include <errno.h>
#include <semaphore.h>
#include <stddef.h>
#include <unistd.h>

#include "daemon/store/lock.h"
#include "daemon/store/store.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum { TIMEOUT_MS = 1000, FIRST_FD = 3 }; // behind the standard descriptors

struct ending {
    struct store *store;
    sem_t done;
};

static void *leave(void *data)
{
    struct ending *e = data;

    if (e->store)
        store_lock_leave_behind(store_lock(e->store));
    close_range(FIRST_FD, ~0U, 0);
    sem_post(&e->done);
    return NULL;
}

void ending_leave(struct store *store, int status)
{
    static struct ending e; // the thread may use it to the end
    struct timespec until = clock_timespec(clock_after(TIMEOUT_MS));
    pthread_t thread;

    e.store = store;
    sem_init(&e.done, 0, 0);
    if (thread_start(&thread, 0, leave, &e) == 0)
        while (sem_clockwait(&e.done, CLOCK_MONOTONIC, &until) < 0 && errno == EINTR)
            continue;
    _exit(status);
}
