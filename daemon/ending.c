// The end of a daemon of which threads hang in the kernel.
//
// No signal wakes a thread that sleeps in the kernel for a disk, or for the lock of a file that a client holds.  When
// the others have ended, the process stays as a zombie, with all its descriptors.  So they are closed here: the locks
// of the spill directories, for the next daemon, and the files of regions, which the kernel would count as used.
//
// Both may hang as well, on a disk that does not answer.  So threads do them, one for the lock of each disk and one for
// the descriptors, and neither kind is waited for any longer than a second.
#include "daemon/ending.h"

#include <errno.h>
#include <semaphore.h>
#include <stddef.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/store/lock.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum { TIMEOUT_MS = 1000, FIRST_FD = 3 }; // behind the standard descriptors

static sem_t done; // the threads may use it to the end

static void *leave(void *data)
{
    store_lock_leave_behind(store_lock(data));
    sem_post(&done);
    return NULL;
}

static void *close_all(void *data)
{
    (void)data;
    close_range(FIRST_FD, ~0U, 0);
    sem_post(&done);
    return NULL;
}

static void await(unsigned n)
{
    struct timespec until = clock_timespec(clock_after(TIMEOUT_MS));

    while (n > 0)
        if (sem_clockwait(&done, CLOCK_MONOTONIC, &until) == 0)
            n--;
        else if (errno != EINTR)
            break;
}

void ending_leave(const struct disk *disks, int status)
{
    pthread_t thread;
    unsigned n = 0;

    sem_init(&done, 0, 0);
    for (; disks; disks = disks->next)
        n += disks->store && thread_start(&thread, 0, leave, disks->store) == 0;
    await(n);
    if (thread_start(&thread, 0, close_all, NULL) == 0)
        await(1);
    _exit(status);
}
