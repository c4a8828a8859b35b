// See witness.h.
//
// Two things show that a child lives and has not run another program.  Both are made before the fork; the child's own
// children inherit them, as they share the memory.
//
// A pipe, of which the child has the end for writing: the end for reading hangs up when the last such end is closed, by
// the end of the process or by execve(2).  A child that closes all descriptors that it does not know closes that too.
//
// So the child also maps a file in memory, which it has open for writing: a mapping keeps the file open whatever
// becomes of the descriptor, and goes with the process or with execve(2).  As long as anybody has the file open for
// writing, the kernel refuses a lease for reading (fcntl(2), F_SETLEASE).  That asks for /proc, for a kernel that has
// leases of such files, and for the user who has made the file; where one is missing, the pipe alone counts.
#include "client/util/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U // Linux 6.3
#endif

// The file of a witness that has ended, for the next one.  A fork took up to 1.6 times as long with a new file each
// time.
static struct descriptor spare = DESCRIPTOR_NONE;

// Whoever looks for regions in /proc/PID/maps should not take the mapping for one.
#define FILE_NAME "forked-child"

enum { MAPPED = 4096 };

// The file of FD once more.  A descriptor or -1.
static int open_again(int fd, int access)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return descriptor_above_standard(open(path, access | O_CLOEXEC));
}

static int make_file(void)
{
    int fd = memfd_create(FILE_NAME, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

    return fd >= 0 ? fd : memfd_create(FILE_NAME, MFD_CLOEXEC);
}

static int reuse_memory(struct descriptor *ret)
{
    int end = descriptor_is_ours(&spare) ? open_again(spare.fd, O_RDWR) : -1;

    if (end >= 0) {
        *ret = spare;
        spare = DESCRIPTOR_NONE;
    }
    return end;
}

// The descriptor that memfd_create returns does not count as one for writing: only files that were opened do.
static int make_memory(struct descriptor *ret)
{
    _cleanup_close_ int made = make_file(), end = -1;
    int reader;

    if (made < 0)
        return -1;
    end = open_again(made, O_RDWR);
    reader = end >= 0 ? open_again(made, O_RDONLY) : -1;
    if (reader < 0 || descriptor_keep(ret, reader) < 0)
        return -1;
    return steal_fd(&end);
}

bool witness_make(struct witness *w, struct witness_ends *ends)
{
    int pipe[2];

    *w = (struct witness){DESCRIPTOR_NONE, DESCRIPTOR_NONE};
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return false;
    if (descriptor_keep(&w->pipe, pipe[0]) < 0) {
        close(pipe[1]);
        return false;
    }
    ends->pipe = descriptor_above_standard(pipe[1]);
    ends->memory = reuse_memory(&w->memory);
    if (ends->memory < 0)
        ends->memory = make_memory(&w->memory);
    return true;
}

bool witness_share(const struct witness *w, struct witness_ends *ends)
{
    ends->pipe = open_again(w->pipe.fd, O_WRONLY);
    if (ends->pipe < 0)
        return false;
    ends->memory = descriptor_is_ours(&w->memory) ? open_again(w->memory.fd, O_RDWR) : -1;
    return true;
}

void witness_close_ends(struct witness_ends *ends)
{
    cleanup_close(&ends->pipe);
    cleanup_close(&ends->memory);
    *ends = WITNESS_ENDS_NONE;
}

void witness_keep_ends(struct witness_ends *ends)
{
    void *at = MAP_FAILED;

    if (ends->memory >= 0)
        at = mmap(NULL, MAPPED, PROT_NONE, MAP_PRIVATE, ends->memory, 0);
    if (at != MAP_FAILED)
        close(ends->memory);
    *ends = WITNESS_ENDS_NONE;
}

bool witness_is_ours(const struct witness *w)
{
    return descriptor_is_ours(&w->pipe);
}

static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};
    int n;

    do
        n = poll(&p, 1, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 && p.revents & POLLHUP;
}

static bool is_open_for_writing(const struct descriptor *d)
{
    if (!descriptor_is_ours(d))
        return false;
    if (fcntl(d->fd, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN;
    fcntl(d->fd, F_SETLEASE, F_UNLCK);
    return false;
}

bool witness_has_child(const struct witness *w)
{
    return !has_hung_up(w->pipe.fd) || is_open_for_writing(&w->memory);
}

void witness_close(struct witness *w, bool has_ended)
{
    descriptor_close(&w->pipe);
    if (has_ended && spare.fd < 0) {
        spare = w->memory;
        w->memory = DESCRIPTOR_NONE;
    }
    descriptor_close(&w->memory);
}

void witness_close_spare(void)
{
    descriptor_close(&spare);
}
