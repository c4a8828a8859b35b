// See lock.h.  The locked bytes lie at the greatest offsets: no file can have content there.
#include "client/local/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

#define ATTACHED_AT (INT64_MAX - 1)
#define CHANGE_AT (INT64_MAX - 2)
#define WRITING_AT (INT64_MAX - 3)

enum {
    PATIENCE_MS = 10000, // a grow of some TiB takes seconds
    FIRST_PAUSE_MS = 1,
    LONGEST_PAUSE_MS = 20,
};

// 0; -EBUSY: a lock of somebody else is in the way; -errno.
static int set(int fd, short type, off_t at)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int r;

    do
        r = fcntl(fd, F_OFD_SETLK, &l);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    return 0;
}

static int try_attach(int fd)
{
    return set(fd, F_RDLCK, ATTACHED_AT);
}

static int try_change(int fd)
{
    int r = set(fd, F_WRLCK, CHANGE_AT);

    if (r != -EBUSY)
        return r < 0 ? r : LOCK_ALONE;
    r = set(fd, F_RDLCK, CHANGE_AT);
    return r < 0 ? r : LOCK_SHARED;
}

// The kernel could wait by itself (F_OFD_SETLKW), but not with a deadline.
static int wait_for(int fd, int (*try_lock)(int fd), uint64_t until)
{
    uint64_t pause_ms = FIRST_PAUSE_MS, left;
    int r;

    if (until == 0)
        until = clock_after(PATIENCE_MS);
    while ((r = try_lock(fd)) == -EBUSY && (left = clock_left(until)) > 0) {
        poll(NULL, 0, (int)u64_min(pause_ms, left));
        pause_ms = u64_min(2 * pause_ms, LONGEST_PAUSE_MS);
    }
    return r == -EBUSY ? error_why(r, "another process has locked the region's file, and does not let go") : r;
}

int local_lock_attach(int fd)
{
    return wait_for(fd, try_attach, 0);
}

int local_lock_writing(int fd, bool sole, bool guarded)
{
    int r = set(fd, sole ? F_WRLCK : F_RDLCK, WRITING_AT);

    return r == -EBUSY && sole && guarded ? set(fd, F_RDLCK, WRITING_AT) : r;
}

int local_lock_alone(int fd)
{
    return set(fd, F_WRLCK, ATTACHED_AT);
}

int local_lock_change(int fd, uint64_t until)
{
    return wait_for(fd, try_change, until);
}

void local_unlock_change(int fd)
{
    set(fd, F_UNLCK, CHANGE_AT);
}

// The time of access too: programs that remove old files and know of no lock go by the times alone.
void local_keep_from_aging(int fd)
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

    flock(fd, LOCK_SH | LOCK_NB);
    futimens(fd, now);
}
