// The lock that keeps a second daemon out: a POSIX record lock on SPILL/.lock, because F_GETLK names the holder's
// pid.  The daemon never opens that file twice: closing it would drop the lock.
//
// A thread that sleeps in the kernel, on a file whose lock somebody holds or on a disk that hangs, cannot be ended.
// Its process cannot either: it keeps its descriptors and locks, though its first thread is a zombie.  But it does
// nothing any more, beyond the one system call in which each such thread hangs.  So that must not keep the next
// daemon out:
//
// - A daemon that is told to end releases the lock itself, after it has written a word into the file
//   (store_lock_leave_behind).
// - If the daemon was killed, its lock stays.  The next daemon sees that the holder is a zombie, gives its threads two
//   seconds to end, as one may just be truncating a file, and then puts a new lock file in the place of the old one.  A
//   lock on the directory (flock) keeps others out meanwhile; and whoever has locked the file makes sure that it is
//   still at its place.
//
// In both cases the lock is haunted: the next daemon has to look after each file that a process uses (store_repair).
//
// Something else may lie at the place of the lock file, such as a second name of a region's file.  The daemon neither
// locks that nor writes to it.  It makes a new file in its place, or does not start (make_room).
#include "daemon/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc.h"
#include "daemon/store/own_file.h"
#include "proto/spill/record.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { GRACE_MS = 2000 }; // for the threads of a daemon that was killed

static const char mark[] = "The last daemon ended while threads of it hung in the kernel.\n";

// 0; -EBUSY and *RET_HOLDER; -errno.
static int lock_file(int fd, pid_t *ret_holder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return -errno;
    if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || lock.l_pid < 0)
        lock.l_pid = 0;
    *ret_holder = lock.l_pid;
    return -EBUSY;
}

static bool is_at_its_place(int dir_fd, int fd)
{
    struct stat mine, there;

    return fstat(fd, &mine) == 0 && fstatat(dir_fd, STORE_LOCK_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

// 0; -EBUSY and *RET_HOLDER; -EAGAIN: the file was replaced meanwhile; -EEXIST: something else lies there; -errno.
static int try(struct store_lock *l, pid_t *ret_holder)
{
    struct stat st;
    int r;

    l->fd = own_file_open(l->dir_fd, STORE_LOCK_NAME, sizeof mark - 1);
    if (l->fd < 0)
        return l->fd;
    r = lock_file(l->fd, ret_holder);
    if (r == 0 && !is_at_its_place(l->dir_fd, l->fd))
        r = -EAGAIN;
    if (r == 0)
        l->is_haunted = fstat(l->fd, &st) == 0 && st.st_size > 0;
    else
        cleanup_close(&l->fd);
    if (r < 0)
        l->fd = -1;
    return r;
}

static int try_often(struct store_lock *l, pid_t *ret_holder)
{
    int r = -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < 100; i++)
        r = try(l, ret_holder);
    return r == -EAGAIN ? -EBUSY : r;
}

static void write_mark(int fd)
{
    // Without it, on a full disk, the next daemon believes the files as they are.
    if (pwrite(fd, mark, sizeof mark - 1, 0) < 0)
        return;
}

// Whoever may read the directory can hold this lock, which must not keep the daemon waiting for ever.
static int take_guard(const struct store_lock *l)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    _cleanup_close_ int guard = openat(l->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t until = clock_after(GRACE_MS);

    if (guard < 0)
        return -errno;
    while (flock(guard, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || clock_left(until) == 0)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return steal_fd(&guard);
}

// A lock file that was given a second name may still be locked by a daemon that runs.  Opens and locks such a file.
// The descriptor; -ENOENT: what lies there can't be a lock file; -EBUSY and *RET_HOLDER; -errno.
static int lock_second_name(const struct store_lock *l, pid_t *ret_holder)
{
    _cleanup_close_ int fd = -1;
    struct stat st;
    int r;

    if (own_file_is_odd(l->dir_fd, STORE_LOCK_NAME))
        return -ENOENT;
    fd = openat(l->dir_fd, STORE_LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if ((size_t)st.st_size > sizeof mark - 1 || fgetxattr(fd, RECORD_XATTR, NULL, 0) >= 0)
        return -ENOENT;
    r = lock_file(fd, ret_holder);
    return r < 0 ? r : steal_fd(&fd);
}

// Something else lies at the place of the lock file: it is replaced if nothing is lost by that.  0; -EEXIST: something
// would be lost; or as try.
static int make_room(struct store_lock *l, pid_t *ret_holder)
{
    _cleanup_close_ int guard = take_guard(l), old = -1;
    bool was_haunted;
    struct stat st;
    int r;

    if (guard < 0)
        return guard;
    r = try_often(l, ret_holder); // another daemon may have been faster
    if (r != -EEXIST)
        return r;
    old = lock_second_name(l, ret_holder);
    if (old < 0 && old != -ENOENT)
        return old;
    was_haunted = old >= 0 && fstat(old, &st) == 0 && st.st_size > 0;
    r = own_file_clear(l->dir_fd, STORE_LOCK_NAME);
    if (r == 0)
        r = try_often(l, ret_holder);
    if (r == 0 && was_haunted) {
        l->is_haunted = true;
        write_mark(l->fd);
    }
    return r;
}

// The holder is a zombie: a new file takes the place of the one that it has locked.
static int replace(struct store_lock *l, pid_t *ret_holder)
{
    _cleanup_close_ int guard = take_guard(l);
    int r;

    if (guard < 0)
        return guard;
    r = try_often(l, ret_holder); // another daemon may have been faster
    if (r != -EBUSY || !proc_is_zombie(*ret_holder))
        return r;
    if (unlinkat(l->dir_fd, STORE_LOCK_NAME, 0) < 0)
        return -errno;
    r = try_often(l, ret_holder);
    if (r == 0) {
        l->is_haunted = true;
        write_mark(l->fd);
    }
    return r;
}

int store_lock_take(struct store_lock *l, int dir_fd, pid_t *ret_holder)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    const uint64_t until = clock_after(GRACE_MS);
    int r;

    *l = (struct store_lock){.dir_fd = dir_fd, .fd = -1};
    *ret_holder = 0;
    r = try_often(l, ret_holder);
    if (r == -EEXIST)
        r = make_room(l, ret_holder);
    while (r == -EBUSY && proc_is_zombie(*ret_holder) && clock_left(until) > 0) {
        nanosleep(&pause, NULL);
        r = try_often(l, ret_holder);
    }
    return r == -EBUSY && proc_is_zombie(*ret_holder) ? replace(l, ret_holder) : r;
}

void store_lock_release(struct store_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

void store_lock_leave_behind(struct store_lock *l)
{
    struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    write_mark(l->fd);
    fcntl(l->fd, F_SETLK, &unlock);
}

void store_lock_lay_ghosts(struct store_lock *l)
{
    if (l->is_haunted && ftruncate(l->fd, 0) == 0)
        l->is_haunted = false;
}
