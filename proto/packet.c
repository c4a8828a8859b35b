// Packets with file descriptors, by sendmsg(2) and recvmsg(2): see packet.h.
#include "proto/packet.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/util/cleanup.h"

// A packet may carry one descriptor.  There is room for more, so that the surplus of a peer that breaks the rule is
// received and closed here.  What does not fit either, the kernel drops, and sets MSG_CTRUNC.
enum { MAX_RECEIVED_FDS = 4 };

int packet_send(int sock, const void *bytes, size_t n, int fd, int flags)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = (void *)bytes, .iov_len = n};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        struct cmsghdr *c;

        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    do
        sent = fd >= 0 ? sendmsg(sock, &m, flags | MSG_NOSIGNAL) : send(sock, bytes, n, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

// Takes all descriptors out of M and returns their number.  The first one goes to *RET_FD, the others are closed.
static int take_fds(struct msghdr *m, int *ret_fd)
{
    int n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int fd;

            memcpy(&fd, (char *)c + at, sizeof fd);
            if (n++ == 0)
                *ret_fd = fd;
            else
                close(fd);
        }
    }
    return n;
}

// recvmsg(2) returns 0 for an empty packet and for the end of the stream alike: tells the two apart.
static bool has_hung_up(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLRDHUP};

    int n;

    do
        n = poll(&p, 1, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

ssize_t packet_receive_reply(int sock, void *bytes, size_t size, int flags, int *ret_fd, bool *ret_fd_lost)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_RECEIVED_FDS * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = bytes, .iov_len = size};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
    _cleanup_close_ int fd = -1;
    bool reset = false;
    ssize_t n;
    int n_fds;

    do {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        n = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
        // The other end was closed before it had read all.  The kernel says so once; what it sent before can still be
        // read.
        reset = n < 0 && errno == ECONNRESET && !reset;
    } while (n < 0 && (errno == EINTR || reset));
    if (n < 0)
        return -errno;

    n_fds = take_fds(&m, &fd);
    if (m.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
    if (n_fds > 1)
        return -EBADMSG;
    *ret_fd_lost = m.msg_flags & MSG_CTRUNC;
    if (n == 0)
        return n_fds || !has_hung_up(sock) ? -EBADMSG : 0;
    *ret_fd = *ret_fd_lost ? -1 : steal_fd(&fd);
    return n;
}

ssize_t packet_receive(int sock, void *bytes, size_t size, int flags, int *ret_fd)
{
    _cleanup_close_ int fd = -1;
    bool fd_lost = false;
    ssize_t n = packet_receive_reply(sock, bytes, size, flags, &fd, &fd_lost);

    if (n >= 0 && fd_lost)
        return -EBADMSG;
    if (n > 0)
        *ret_fd = steal_fd(&fd);
    return n;
}

ssize_t packet_read(int sock, void *bytes, size_t size, int flags)
{
    struct iovec data = {.iov_base = bytes, .iov_len = size};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
    bool reset = false;
    ssize_t n;

    do {
        n = recvmsg(sock, &m, flags);
        reset = n < 0 && errno == ECONNRESET && !reset;
    } while (n < 0 && (errno == EINTR || reset));
    if (n < 0)
        return -errno;
    if (m.msg_flags & MSG_CTRUNC)
        return -EPERM;
    if (m.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
    return n > 0 || has_hung_up(sock) ? n : -EBADMSG;
}
