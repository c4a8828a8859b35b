// The calls that can fail, and with which errors.  Only errors that a call can really give belong here: a program need
// not survive what can't happen (EAGAIN from a socket that has a packet, EIO from an eventfd).
#pragma once
#include <errno.h>

#include "tests/faults/control.h"

#define FD_ERRORS EMFILE, ENFILE, ENOMEM
#define DISK_ERRORS EIO, ENOSPC, EDQUOT, EROFS, ENOMEM

// X(KIND, ERRORS...)
#define FAULTS_CALLS(X)                                                \
    X(malloc, ENOMEM)                                                  \
    X(calloc, ENOMEM)                                                  \
    X(realloc, ENOMEM)                                                 \
    X(reallocarray, ENOMEM)                                            \
    X(strdup, ENOMEM)                                                  \
    X(strndup, ENOMEM)                                                 \
    X(asprintf, ENOMEM)                                                \
    X(vasprintf, ENOMEM)                                               \
    X(open_memstream, ENOMEM)                                          \
    X(realpath, ENOMEM, EIO, EACCES)                                   \
    X(open, FD_ERRORS, EIO, EACCES, EINTR)                             \
    X(openat, FD_ERRORS, EIO, EACCES, EINTR)                           \
    X(openat_tmpfile, FD_ERRORS, EIO, ENOSPC, EDQUOT)                  \
    X(openat_create, FD_ERRORS, EIO, ENOSPC, EROFS)                    \
    X(openat2, FD_ERRORS, EIO, EINTR, EAGAIN)                          \
    X(openat2_tmpfile, FD_ERRORS, EIO, ENOSPC, EDQUOT)                 \
    X(fopen, FD_ERRORS, EIO, EACCES)                                   \
    X(fdopen, ENOMEM)                                                  \
    X(fmemopen, ENOMEM)                                                \
    X(opendir, FD_ERRORS, EIO)                                         \
    X(fdopendir, ENOMEM)                                               \
    X(scandir, FD_ERRORS, EIO)                                         \
    X(readdir, EIO)                                                    \
    X(read_line, EIO, ENOMEM)                                          \
    X(write_stream, ENOSPC, EIO)                                       \
    X(fclose, ENOSPC, EIO)                                             \
    X(close, EIO, EINTR)                                               \
    X(dup, EMFILE)                                                     \
    X(fcntl_lock, ENOLCK, EINTR, EAGAIN)                               \
    X(fcntl_lease, ENOMEM, EAGAIN)                                     \
    X(flock, ENOLCK, EINTR)                                            \
    X(ioctl, EIO, ENOMEM, ENOTTY)                                      \
    X(stat, EIO, ENOMEM, EACCES)                                       \
    X(fstat, EIO, ENOMEM)                                              \
    X(statx, EIO, ENOMEM)                                              \
    X(statfs, EIO, ENOMEM)                                             \
    X(access, EIO, EACCES, ENOMEM)                                     \
    X(readlink, EIO, EACCES, ENOMEM)                                   \
    X(read_file, EIO, FAULTS_SHORT)                                    \
    X(read_other, EINTR)                                               \
    X(write_file, EIO, ENOSPC, EDQUOT, FAULTS_SHORT)                   \
    X(write_other, EINTR)                                              \
    X(lseek, EIO)                                                      \
    X(fallocate, EIO, ENOSPC, EDQUOT, EINTR, EROFS)                    \
    X(ftruncate, EIO, ENOSPC, EROFS, EINTR)                            \
    X(linkat, DISK_ERRORS, EMLINK)                                     \
    X(unlink, DISK_ERRORS)                                             \
    X(rename, DISK_ERRORS)                                             \
    X(mkdirat, DISK_ERRORS)                                            \
    X(chmod, EIO, EROFS, ENOMEM)                                       \
    X(futimens, EIO, EROFS)                                            \
    X(fgetxattr, EIO, ENOMEM)                                          \
    X(fsetxattr, DISK_ERRORS)                                          \
    X(sync, EIO, ENOSPC, EROFS)                                        \
    X(sync_file_range, EIO, ENOMEM)                                    \
    X(socket, FD_ERRORS, ENOBUFS)                                      \
    X(connect, ECONNREFUSED, EAGAIN, EINTR, ENOMEM, EACCES)            \
    X(bind, EADDRINUSE, EIO, ENOSPC, EROFS, ENOMEM)                    \
    X(listen, EADDRINUSE)                                              \
    X(accept4, FD_ERRORS, ENOBUFS, ECONNABORTED, EINTR, EPERM)         \
    X(getsockopt, ENOMEM)                                              \
    X(setsockopt, ENOMEM)                                              \
    X(sendmsg, EAGAIN, EINTR, ENOBUFS, ENOMEM, EPIPE, ECONNRESET)      \
    X(sendmsg_fd, EAGAIN, EINTR, ENOBUFS, ENOMEM, EPIPE, ETOOMANYREFS) \
    X(recvmsg, EINTR, ENOMEM, ECONNRESET, FAULTS_LOST_FD)              \
    X(recv, EINTR, ENOMEM, ECONNRESET)                                 \
    X(poll, EINTR)                                                     \
    X(epoll_create1, FD_ERRORS)                                        \
    X(epoll_ctl, ENOMEM, ENOSPC)                                       \
    X(epoll_wait, EINTR)                                               \
    X(eventfd, FD_ERRORS)                                              \
    X(timerfd_create, FD_ERRORS)                                       \
    X(timerfd_settime, ENOMEM)                                         \
    X(pipe2, FD_ERRORS)                                                \
    X(memfd_create, FD_ERRORS)                                         \
    X(dup3, EBUSY)                                                     \
    X(inotify_init1, FD_ERRORS)                                        \
    X(inotify_add_watch, ENOSPC, ENOMEM)                               \
    X(pidfd_open, FD_ERRORS)                                           \
    X(landlock, ENOMEM, EMFILE)                                        \
    X(mmap, ENOMEM, EAGAIN)                                            \
    X(munmap, ENOMEM)                                                  \
    X(mprotect, ENOMEM)                                                \
    X(mremap, ENOMEM)                                                  \
    X(mincore, EAGAIN, ENOMEM)                                         \
    X(cachestat, ENOSYS, EPERM)                                        \
    X(madvise, ENOMEM, EIO, EAGAIN)                                    \
    X(msync, EIO)                                                      \
    X(pthread_create, EAGAIN)                                          \
    X(fork, EAGAIN, ENOMEM)                                            \
    X(waitpid, ECHILD)                                                 \
    X(setrlimit, EPERM)                                                \
    X(setpriority, EACCES)                                             \
    X(sched_setattr, EPERM, EINVAL, ENOSYS)                            \
    X(prctl, EPERM)                                                    \
    X(getrandom, EINTR)                                                \
    X(user_database, EIO, EMFILE, ENOMEM, EINTR)

#define FAULTS_KIND(kind, ...) CALL_##kind,
enum faults_call { FAULTS_CALLS(FAULTS_KIND) CALL_N };
#undef FAULTS_KIND

struct faults_call_info {
    const char *name;
    int errors[FAULTS_ERRORS_MAX]; // the rest is 0
};

extern const struct faults_call_info faults_calls[CALL_N];
// The number of its errors.
unsigned faults_n_errors(int call);
// "ENOSPC", "a short result", ...
const char *faults_error_name(int error);
