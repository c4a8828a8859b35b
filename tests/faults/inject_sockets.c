// Sockets and what waits for them: calls that fail.
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#pragma GCC visibility push(default)

WRAP(socket, int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
WRAP(connect, int, connect, (int fd, const struct sockaddr *address, socklen_t n), (fd, address, n), -1)
WRAP(bind, int, bind, (int fd, const struct sockaddr *address, socklen_t n), (fd, address, n), -1)
WRAP(listen, int, listen, (int fd, int backlog), (fd, backlog), -1)

// A socket always knows its cookie.
int getsockopt(int fd, int level, int name, void *restrict ret, socklen_t *restrict n)
{
    int error = name == SO_COOKIE ? 0 : inject(CALL_getsockopt, CALLER);

    if (!error)
        return REAL(getsockopt)(fd, level, name, ret, n);
    errno = error;
    return -1;
}

WRAP(setsockopt, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
     (fd, level, name, value, n), -1)

// Only when there is somebody to accept: an error that the kernel would have reported.
int accept4(int fd, struct sockaddr *ret, socklen_t *n, int flags)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int error = REAL(poll)(&p, 1, 0) > 0 ? inject(CALL_accept4, CALLER) : 0;

    if (!error)
        return REAL(accept4)(fd, ret, n, flags);
    if (error == ECONNABORTED) {
        int conn = REAL(accept4)(fd, ret, n, flags);

        if (conn >= 0)
            REAL(close)(conn);
    }
    errno = error;
    return -1;
}

// True if the call fails, and errno is set.  The peer of a socket that sends EPIPE has gone.
static bool fails_to_send(int fd, int flags, int error)
{
    if (error == EPIPE || error == ECONNRESET)
        REAL(shutdown)(fd, SHUT_RDWR);
    if (!error || (error == EAGAIN && !(flags & MSG_DONTWAIT)))
        return false;
    errno = error;
    return true;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (fails_to_send(fd, flags, inject(m->msg_controllen ? CALL_sendmsg_fd : CALL_sendmsg, CALLER)))
        return -1;
    return REAL(sendmsg)(fd, m, flags);
}

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    if (fails_to_send(fd, flags, inject(CALL_sendmsg, CALLER)))
        return -1;
    return REAL(send)(fd, bytes, n, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t size)
{
    if (fails_to_send(fd, flags, inject(CALL_sendmsg, CALLER)))
        return -1;
    return REAL(sendto)(fd, bytes, n, flags, to, size);
}

// As the kernel does it when the process may not open more files.
static void lose_fds(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, (char *)c + at, sizeof fd);
            REAL(close)(fd);
        }
        m->msg_flags |= MSG_CTRUNC;
    }
    m->msg_controllen = 0;
}

static bool has_packet(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return REAL(poll)(&p, 1, 0) > 0;
}

int inject_receive(int fd, const void *caller)
{
    int error = has_packet(fd) ? inject(CALL_recv, caller) : 0;

    if (error == ECONNRESET)
        REAL(shutdown)(fd, SHUT_RDWR);
    return error;
}

ssize_t recv(int fd, void *ret, size_t n, int flags)
{
    int error = inject_receive(fd, CALLER);

    if (!error)
        return REAL(recv)(fd, ret, n, flags);
    errno = error;
    return -1;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    int error = has_packet(fd) ? inject(CALL_recvmsg, CALLER) : 0;
    ssize_t n;

    if (error && error != FAULTS_LOST_FD) {
        if (error == ECONNRESET)
            REAL(shutdown)(fd, SHUT_RDWR);
        errno = error;
        return -1;
    }
    n = REAL(recvmsg)(fd, m, flags);
    if (error && n >= 0)
        lose_fds(m);
    return n;
}

WRAP(poll, int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout), -1)
WRAP(epoll_create1, int, epoll_create1, (int flags), (flags), -1)
WRAP(epoll_wait, int, epoll_wait, (int fd, struct epoll_event *ret, int n, int timeout), (fd, ret, n, timeout), -1)
WRAP(eventfd, int, eventfd, (unsigned count, int flags), (count, flags), -1)
WRAP(timerfd_create, int, timerfd_create, (int clock, int flags), (clock, flags), -1)
WRAP(timerfd_settime, int, timerfd_settime, (int fd, int flags, const struct itimerspec *value, struct itimerspec *ret),
     (fd, flags, value, ret), -1)
WRAP(pipe2, int, pipe2, (int fds[2], int flags), (fds, flags), -1)

// Only adding takes memory.
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int r = REAL(epoll_ctl)(epoll, operation, fd, event);
    int error = r == 0 && operation == EPOLL_CTL_ADD ? inject(CALL_epoll_ctl, CALLER) : 0;

    if (!error)
        return r;
    REAL(epoll_ctl)(epoll, EPOLL_CTL_DEL, fd, event);
    errno = error;
    return -1;
}
