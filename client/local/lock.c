// See lock.h.  The locked bytes lie at the greatest offsets: no file can have content there.
#include "client/local/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

#define ATTACHED_AT (INT64_MAX - 1)
#define CHANGE_AT (INT64_MAX - 2)

static int set(int fd, int command, short type, off_t at)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int r;

    do
        r = fcntl(fd, command, &l);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int local_lock_attach(int fd)
{
    return set(fd, F_OFD_SETLKW, F_RDLCK, ATTACHED_AT);
}

int local_lock_alone(int fd)
{
    int r = set(fd, F_OFD_SETLK, F_WRLCK, ATTACHED_AT);

    return r == -EAGAIN || r == -EACCES ? -EBUSY : r;
}

int local_lock_change(int fd)
{
    return set(fd, F_OFD_SETLKW, F_WRLCK, CHANGE_AT);
}

void local_unlock_change(int fd)
{
    set(fd, F_OFD_SETLK, F_UNLCK, CHANGE_AT);
}
