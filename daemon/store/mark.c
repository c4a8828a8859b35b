// Marks on a region's file: which processes may map it, also after a restart of the daemon.
//
// A lease tells whether any process maps a file.  It can't tell one process from two, so a program that asks to have a
// part of its own region cut gets no answer from it.  Therefore the daemon marks each descriptor that it sends to a
// client: an OFD lock (fcntl(2), F_OFD_SETLK) on one byte far beyond any content.  The offset of that byte names the
// process.  The kernel keeps such a lock as long as the open file description lasts: until the last mapping that was
// made by it has gone, also if the client has closed the descriptor, also in a forked child, and whatever becomes of
// the daemon.  F_OFD_GETLK finds the lock.  Nothing is written to the disk.
//
// Each process has SERIALS bytes, because one process may map a region several times, by several clients.  If it has
// used them up, or can't be told from others (identity 0), the mark is one that no process calls its own.
//
// A client can take further locks, and remove the marks of its own descriptors, but not those of other processes: so
// it can keep others from cutting a region while it has the region, as anybody who attaches the region can, and harm
// nobody but itself.
//
// The mark of a descriptor for writing is a lock for writing, unless others are in the way.  Who has attached the
// region for reading can't take such a lock: so a process that says it has been the one that writes is told from one
// that has only read, or has had nothing.
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/store.h"

enum { SERIALS = 16 };

#define FIRST ((off_t)1 << 62)
#define LAST INT64_MAX
#define IDENTITIES (((uint64_t)1 << 62) / SERIALS - 1) // so that a byte is left behind the last process

// The first byte of a process.
static off_t start_of(uint64_t identity)
{
    return identity < IDENTITIES ? FIRST + (off_t)identity * SERIALS : FIRST;
}

// Whether a byte from FROM to TO is locked through another descriptor than FD, in a way that keeps a lock of TYPE out;
// the kernel says which, in RET.  1, 0 or -errno.
static int find_type(int fd, short type, off_t from, off_t to, struct flock *ret)
{
    *ret = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = to - from + 1};
    if (from > to)
        return 0;
    if (fcntl(fd, F_OFD_GETLK, ret) < 0)
        return -errno;
    return ret->l_type != F_UNLCK;
}

static int find(int fd, off_t from, off_t to, struct flock *ret)
{
    return find_type(fd, F_WRLCK, from, to, ret);
}

static bool is_for_writing(int fd)
{
    return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

static int lock_byte(int fd, short type, off_t at)
{
    struct flock mark = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &mark) < 0 ? -errno : 0;
}

// A byte that nobody has locked.  0; -EAGAIN: there is none; -errno.
static int mark_free_byte(int fd, off_t from, off_t end)
{
    struct flock other;
    int r = 1;

    for (; r == 1 && from < end; from++) {
        r = find(fd, from, from, &other);
        if (r == 0)
            return is_for_writing(fd) && lock_byte(fd, F_WRLCK, from) == 0 ? 0 : lock_byte(fd, F_RDLCK, from);
    }
    return r < 0 ? r : -EAGAIN;
}

int store_mark(int fd, uint64_t identity)
{
    static _Atomic unsigned turn;
    off_t at = start_of(identity);
    int r;

    if (at == FIRST)
        return lock_byte(fd, F_RDLCK, FIRST);
    r = mark_free_byte(fd, at, at + SERIALS);
    // Somebody who may only read can lock all bytes, and keeps none of these locks out.  In turn, so that two marks of
    // the process are not one.
    for (unsigned i = 0; (r == -EAGAIN || r == -EACCES) && i < SERIALS; i++)
        r = lock_byte(fd, F_RDLCK, at + turn++ % SERIALS);
    return r == -EAGAIN || r == -EACCES ? lock_byte(fd, F_RDLCK, FIRST) : r;
}

int store_may_be_writer(int fd, uint64_t identity)
{
    off_t at = start_of(identity), end = at + SERIALS - 1;
    struct flock lock;
    int r;

    if (at == FIRST)
        return 1;
    r = find_type(fd, F_RDLCK, at, end, &lock);
    if (r != 0)
        return r;
    r = find(fd, at, end, &lock); // one for reading
    if (r <= 0)
        return r;
    r = find_type(fd, F_RDLCK, FIRST, LAST, &lock);
    return r < 0 ? r : r == 0;
}

int store_is_alone(int fd, uint64_t identity)
{
    off_t at = start_of(identity), end = at + SERIALS - 1;
    struct flock own, other;
    int r;

    if (at == FIRST)
        return 0;
    r = find(fd, FIRST, at - 1, &other);
    if (r == 0)
        r = find(fd, end + 1, LAST, &other);
    if (r != 0)
        return r < 0 ? r : 0;
    r = find(fd, at, end, &own);
    if (r <= 0)
        return r < 0 ? r : 1;
    if (own.l_len != 1)
        return 0;
    r = find(fd, at, own.l_start - 1, &other);
    if (r == 0)
        r = find(fd, own.l_start + 1, end, &other);
    return r < 0 ? r : r == 0;
}

// One mark: 1 if it is one of those that are left of IDENTITIES, which then loses it.  LEFT: so many marks of the
// process at that place may still come.
static int is_expected(const struct flock *mark, const uint64_t *identities, size_t n, unsigned char *left)
{
    uint64_t identity = mark->l_start >= FIRST ? (uint64_t)(mark->l_start - FIRST) / SERIALS : 0;
    size_t from = 0, to = n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (identities[middle] < identity)
            from = middle + 1;
        else
            to = middle;
    }
    while (from < n && identities[from] == identity && !left[from])
        from++;
    if (mark->l_len != 1 || identity == 0 || from == n || identities[from] != identity)
        return 0;
    left[from] = 0;
    return 1;
}

struct part {
    off_t from, to;
};

// The kernel names one of the marks in a part: then what is before it and behind it are parts to be looked at.
static int all_expected(int fd, const uint64_t *identities, size_t n, unsigned char *left, struct part *parts)
{
    size_t n_parts = 1;
    int r = 1;

    parts[0] = (struct part){FIRST, LAST};
    while (r == 1 && n_parts > 0) {
        struct part p = parts[--n_parts];
        struct flock mark;

        r = find(fd, p.from, p.to, &mark);
        if (r <= 0) {
            r = r < 0 ? r : 1;
            continue;
        }
        r = is_expected(&mark, identities, n, left);
        parts[n_parts++] = (struct part){p.from, mark.l_start - 1};
        if (mark.l_start < LAST)
            parts[n_parts++] = (struct part){mark.l_start + 1, p.to};
    }
    return r;
}

int store_are_alone(int fd, const uint64_t *identities, size_t n)
{
    // Each mark that is found is one of the N, so there are N + 1 parts at most at a time, and one more for a
    // stranger's.
    struct part *parts = calloc(n + 3, sizeof *parts);
    unsigned char *left = malloc(n + 1);
    int r = -ENOMEM;

    if (parts && left) {
        memset(left, 1, n);
        r = all_expected(fd, identities, n, left, parts);
    }
    free(parts);
    free(left);
    return r;
}
