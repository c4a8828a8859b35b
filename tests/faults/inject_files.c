// Files: calls that fail.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

#pragma GCC visibility push(default)

int __isoc99_fscanf(FILE *f, const char *format, ...);

static int take_mode(int flags, va_list arguments)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, int) : 0;
}

static enum faults_call kind_of_open(int flags, enum faults_call plain)
{
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return CALL_openat_tmpfile;
    return flags & O_CREAT ? CALL_openat_create : plain;
}

int open(const char *path, int flags, ...)
{
    int error = inject(kind_of_open(flags, CALL_open), CALLER), mode;
    va_list arguments;

    if (error) {
        errno = error;
        return -1;
    }
    va_start(arguments, flags);
    mode = take_mode(flags, arguments);
    va_end(arguments);
    return REAL(open)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    int error = inject(kind_of_open(flags, CALL_openat), CALLER), mode;
    va_list arguments;

    if (error) {
        errno = error;
        return -1;
    }
    va_start(arguments, flags);
    mode = take_mode(flags, arguments);
    va_end(arguments);
    return REAL(openat)(dir, path, flags, mode);
}

// 0 for calls that do not count.
static int consider_syscall(long number, long third, const void *caller)
{
    const struct open_how *how = (const struct open_how *)third;

    switch (number) {
    case SYS_openat2:
        return inject((how->flags & O_TMPFILE) == O_TMPFILE ? CALL_openat2_tmpfile : CALL_openat2, caller);
    case SYS_pidfd_open:
        return inject(CALL_pidfd_open, caller);
    case SYS_landlock_create_ruleset:
    case SYS_landlock_restrict_self:
        return inject(CALL_landlock, caller);
    case SYS_cachestat:
        return inject(CALL_cachestat, caller);
    case SYS_sched_setattr:
        return inject(CALL_sched_setattr, caller);
    default:
        return 0;
    }
}

long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    int error;

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    error = consider_syscall(number, a[2], CALLER);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(dup3, int, dup3, (int from, int to, int flags), (from, to, flags), -1)
WRAP(fopen, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(fdopen, FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL)
WRAP(fmemopen, FILE *, fmemopen, (void *text, size_t size, const char *mode), (text, size, mode), NULL)
WRAP(opendir, DIR *, opendir, (const char *path), (path), NULL)
WRAP(fdopendir, DIR *, fdopendir, (int fd), (fd), NULL)
WRAP(readdir, struct dirent *, readdir, (DIR * dir), (dir), NULL)
WRAP(scandir, int, scandir,
     (const char *path, struct dirent ***ret, int (*filter)(const struct dirent *e),
      int (*compare)(const struct dirent **a, const struct dirent **b)),
     (path, ret, filter, compare), -1)

void mark_stream(FILE *f, int error)
{
    f->_flags |= 0x20;
    errno = error;
}

char *fgets(char *ret, int n, FILE *f)
{
    int error = inject(CALL_read_line, CALLER);

    if (!error)
        return REAL(fgets)(ret, n, f);
    mark_stream(f, error);
    return NULL;
}

ssize_t __getdelim(char **line, size_t *n, int delimiter, FILE *f)
{
    int error = inject(CALL_read_line, CALLER);

    if (!error)
        return REAL(__getdelim)(line, n, delimiter, f);
    mark_stream(f, error);
    return -1;
}

// Where the C library's headers do not put __getdelim in its place.
ssize_t getline(char **line, size_t *n, FILE *f)
{
    int error = inject(CALL_read_line, CALLER);

    if (!error)
        return REAL(getline)(line, n, f);
    mark_stream(f, error);
    return -1;
}

int getc(FILE *f)
{
    int error = inject(CALL_read_line, CALLER);

    if (!error)
        return REAL(getc)(f);
    mark_stream(f, error);
    return EOF;
}

// fscanf, as the C library's headers name it.
int __isoc99_fscanf(FILE *f, const char *format, ...)
{
    int error = inject(CALL_read_line, CALLER), n;
    va_list arguments;

    if (error) {
        mark_stream(f, error);
        return EOF;
    }
    va_start(arguments, format);
    n = vfscanf(f, format, arguments);
    va_end(arguments);
    return n;
}

int fputs(const char *text, FILE *f)
{
    int error = inject(CALL_write_stream, CALLER);

    if (!error)
        return REAL(fputs)(text, f);
    mark_stream(f, error);
    return EOF;
}

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *f)
{
    int error = inject(CALL_write_stream, CALLER);

    if (!error)
        return REAL(fwrite)(bytes, size, n, f);
    mark_stream(f, error);
    return 0;
}

int fprintf(FILE *f, const char *format, ...)
{
    int error = inject(CALL_write_stream, CALLER), n;
    va_list arguments;

    if (error) {
        mark_stream(f, error);
        return -1;
    }
    va_start(arguments, format);
    n = vfprintf(f, format, arguments);
    va_end(arguments);
    return n;
}

int fclose(FILE *f)
{
    int error = inject(CALL_fclose, CALLER), r = REAL(fclose)(f);

    if (!error)
        return r;
    errno = error;
    return EOF;
}

// The descriptor is closed all the same.
int close(int fd)
{
    int error = inject(CALL_close, CALLER), r = REAL(close)(fd);

    if (!error)
        return r;
    errno = error;
    return -1;
}

static int consider_fcntl(int command, const void *caller)
{
    switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return inject(CALL_fcntl_lock, caller);
    case F_SETLEASE:
        return inject(CALL_fcntl_lease, caller);
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return inject(CALL_dup, caller);
    default:
        return 0;
    }
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;
    int error = consider_fcntl(command, CALLER);

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL(fcntl)(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    int error = inject(CALL_ioctl, CALLER);
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL(ioctl)(fd, request, argument);
}

static bool is_file(int fd)
{
    struct stat st;

    return REAL(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int inject_transfer(int fd, enum faults_call file, enum faults_call other, const void *caller)
{
    if (is_file(fd))
        return inject(file, caller);
    return REAL(fcntl)(fd, F_GETFL) & O_NONBLOCK ? 0 : inject(other, caller);
}

ssize_t read(int fd, void *ret, size_t n)
{
    int error = inject_transfer(fd, CALL_read_file, CALL_read_other, CALLER);

    if (error && error != FAULTS_SHORT) {
        errno = error;
        return -1;
    }
    return REAL(read)(fd, ret, error && n > 1 ? n / 2 : n);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    int error = inject_transfer(fd, CALL_write_file, CALL_write_other, CALLER);

    if (error && error != FAULTS_SHORT) {
        errno = error;
        return -1;
    }
    return REAL(write)(fd, bytes, error && n > 1 ? n / 2 : n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    int error = inject_transfer(fd, CALL_write_file, CALL_write_other, CALLER);

    if (error && error != FAULTS_SHORT) {
        errno = error;
        return -1;
    }
    return REAL(pwrite)(fd, bytes, error && n > 1 ? n / 2 : n, offset);
}

WRAP(flock, int, flock, (int fd, int operation), (fd, operation), -1)
WRAP(dup, int, dup, (int fd), (fd), -1)
WRAP(stat, int, stat, (const char *path, struct stat *ret), (path, ret), -1)
WRAP(stat, int, lstat, (const char *path, struct stat *ret), (path, ret), -1)
WRAP(stat, int, fstatat, (int dir, const char *path, struct stat *ret, int flags), (dir, path, ret, flags), -1)

// Pipes and sockets always tell.
static int inject_fstat(mode_t mode, const void *caller)
{
    return S_ISREG(mode) || S_ISDIR(mode) ? inject(CALL_fstat, caller) : 0;
}

int fstat(int fd, struct stat *ret)
{
    int r = REAL(fstat)(fd, ret);
    int error = r == 0 ? inject_fstat(ret->st_mode, CALLER) : 0;

    if (!error)
        return r;
    errno = error;
    return -1;
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *ret)
{
    int r = REAL(statx)(dir, path, flags, mask, ret), error = 0;

    if (r == 0)
        error = flags & AT_EMPTY_PATH ? inject_fstat(ret->stx_mode, CALLER) : inject(CALL_statx, CALLER);
    if (!error)
        return r;
    errno = error;
    return -1;
}
WRAP(statfs, int, statfs, (const char *path, struct statfs *ret), (path, ret), -1)
WRAP(statfs, int, fstatfs, (int fd, struct statfs *ret), (fd, ret), -1)
WRAP(statfs, int, fstatvfs, (int fd, struct statvfs *ret), (fd, ret), -1)
WRAP(access, int, access, (const char *path, int mode), (path, mode), -1)
WRAP(readlink, ssize_t, readlink, (const char *path, char *ret, size_t n), (path, ret, n), -1)
WRAP(lseek, off_t, lseek, (int fd, off_t offset, int from), (fd, offset, from), -1)
WRAP(fallocate, int, fallocate, (int fd, int mode, off_t offset, off_t n), (fd, mode, offset, n), -1)
WRAP(ftruncate, int, ftruncate, (int fd, off_t size), (fd, size), -1)
WRAP(linkat, int, linkat, (int from, const char *path, int to, const char *new, int flags),
     (from, path, to, new, flags), -1)
WRAP(unlink, int, unlink, (const char *path), (path), -1)
WRAP(unlink, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), -1)
WRAP(rename, int, rename, (const char *from, const char *to), (from, to), -1)
WRAP(rename, int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), -1)
WRAP(mkdirat, int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), -1)
WRAP(chmod, int, chmod, (const char *path, mode_t mode), (path, mode), -1)
WRAP(chmod, int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(futimens, int, futimens, (int fd, const struct timespec times[2]), (fd, times), -1)
WRAP(fgetxattr, ssize_t, fgetxattr, (int fd, const char *name, void *ret, size_t n), (fd, name, ret, n), -1)
WRAP(fsetxattr, int, fsetxattr, (int fd, const char *name, const void *value, size_t n, int flags),
     (fd, name, value, n, flags), -1)
WRAP(sync, int, fsync, (int fd), (fd), -1)
WRAP(sync, int, fdatasync, (int fd), (fd), -1)
WRAP(sync, int, syncfs, (int fd), (fd), -1)
WRAP(sync_file_range, int, sync_file_range, (int fd, off_t offset, off_t n, unsigned flags), (fd, offset, n, flags), -1)
WRAP(inotify_init1, int, inotify_init1, (int flags), (flags), -1)
WRAP(inotify_add_watch, int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), -1)
