#include "tests/bench/thp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

static int write_mode(const char *file, const char *mode)
{
    _cleanup_close_ int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, mode, strlen(mode)) < 0 ? -errno : 0;
}

// The word in brackets: "always [madvise] never".  A word alone stands for itself.
static int read_mode(const char *file, char *ret, size_t size)
{
    _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
    char text[256], *from, *to;
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (n < 0)
        return -errno;
    text[n] = 0;
    from = strchr(text, '[');
    from = from ? from + 1 : text;
    to = from + strcspn(from, "]\n");
    if ((size_t)(to - from) >= size)
        return -EINVAL;
    memcpy(ret, from, (size_t)(to - from));
    ret[to - from] = 0;
    return 0;
}

// Reading ends when all who hold the other end have closed it or have ended.
__attribute__((noreturn)) static void guard(int socket, const char *file, const char *mode)
{
    char byte;

    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    while (read(socket, &byte, 1) < 0 && errno == EINTR)
        ;
    _exit(write_mode(file, mode) < 0);
}

int thp_set(struct thp *t, const char *file, const char *mode)
{
    char before[64];
    int ends[2], r = read_mode(file, before, sizeof before);
    pid_t pid;

    t->guard = -1;
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (fork() == 0)
            guard(ends[0], file, before);
        _exit(0);
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    t->guard = ends[1];
    r = pid < 0 ? -EAGAIN : write_mode(file, mode);
    if (r < 0)
        thp_restore(t);
    return r;
}

void thp_restore(struct thp *t)
{
    char byte;

    if (t->guard < 0)
        return;
    shutdown(t->guard, SHUT_WR);
    while (read(t->guard, &byte, 1) < 0 && errno == EINTR)
        ;
    close(t->guard);
    t->guard = -1;
}
