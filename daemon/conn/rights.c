// File descriptors that clients send.
//
// The protocol has no message that brings the daemon a descriptor.  A client may send some all the same, and each one
// is a danger: the file may lie on a file system that the client serves itself (FUSE needs no rights), and closing the
// file then waits for that client, for ever and past SIGKILL.  A descriptor that was received is flushed when it is
// closed.  The last reference to a file writes back its pages and releases the file, in the thread that drops the
// reference: by closing a descriptor, by receiving a packet without room for descriptors, or by closing a socket with
// unread packets.
//
// So nothing of this may happen in the daemon.  Since Linux 6.16 the kernel refuses descriptors on a socket where
// SO_PASSRIGHTS is off: sendmsg(2) fails for the client.  A socket inherits this from the listening socket when the
// client connects.  A client may have connected to systemd's socket before the daemon started, and older kernels do
// not know the option.  There the daemon looks at each packet before it receives the packet: MSG_PEEK drops no last
// reference, and tells by MSG_CTRUNC that descriptors are there.  The connection then ends without the packet being
// received, and a child process closes the socket.  The child may hang; it has no memory and no files that others
// need, holds no lock, and does not keep the daemon from ending.
#include "daemon/conn/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

// Debian 12's headers lack the constant.
#ifndef SO_PASSRIGHTS
#if defined(__sparc__)
#define SO_PASSRIGHTS 0x005c
#elif defined(__hppa__)
#define SO_PASSRIGHTS 0x4051
#else
#define SO_PASSRIGHTS 83
#endif
#endif

enum {
    MOST_DROPPED = 4096, // packets, before a socket is left to a child process unseen
    AT_ONCE = 64,        // sockets of the backlog that one child closes
};

bool rights_refuse(int sock)
{
    int passes = 1, off = 0;
    socklen_t size = sizeof passes;

    if (getsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &passes, &size) == 0 && !passes)
        return true;
    setsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
    return false;
}

bool rights_come_next(int sock)
{
    struct msghdr m = {0}; // without room for control messages: no descriptor is installed

    return recvmsg(sock, &m, MSG_PEEK | MSG_DONTWAIT) >= 0 && m.msg_flags & MSG_CTRUNC;
}

// Looks at the next packet as rights_come_next.  *RET_BRINGS: it brings descriptors.  False: there is no packet.  An
// empty packet and the end look alike, but with SO_PASSCRED each packet has credentials: there is room for these only.
static bool look(int sock, bool *ret_brings)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr m = {.msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(sock, &m, MSG_PEEK | MSG_DONTWAIT);

    // ECONNRESET comes once, before the packets: the client has closed the connection without reading everything.
    if (n < 0 && errno == ECONNRESET) {
        m.msg_controllen = sizeof control.bytes;
        n = recvmsg(sock, &m, MSG_PEEK | MSG_DONTWAIT);
    }
    *ret_brings = m.msg_flags & MSG_CTRUNC;
    return n >= 0 && (m.msg_controllen > 0 || *ret_brings);
}

bool rights_remain(int sock)
{
    static const int on = 1;
    bool brings = false;

    shutdown(sock, SHUT_RD);
    if (setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return true;
    for (int i = 0; i < MOST_DROPPED; i++) {
        if (!look(sock, &brings))
            return false;
        if (brings)
            return true;
        recv(sock, NULL, 0, MSG_DONTWAIT | MSG_TRUNC);
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

// In the child, where other threads may hold any lock: only system calls.  FDS are sorted.  The child's copies must be
// the last ones, so it waits until the daemon has closed its own: then GO ends.
_Noreturn static void close_in_child(const int *fds, size_t n, int go)
{
    unsigned from = 0;
    char c;

    for (size_t i = 0; i < n; i++) {
        if ((unsigned)fds[i] > from)
            close_range(from, (unsigned)fds[i] - 1, 0);
        from = (unsigned)fds[i] + 1;
    }
    close_range(from, ~0U, 0);
    while (read(go, &c, 1) < 0 && errno == EINTR)
        continue;
    _exit(0);
}

pid_t rights_close(int *fds, size_t n)
{
    _cleanup_free_ int *kept = malloc((n + 1) * sizeof *kept);
    int ends[2];
    pid_t pid;

    if (!kept)
        return -ENOMEM;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    qsort(fds, n, sizeof *fds, compare);
    for (size_t i = 0; i < n; i++)
        kept[i] = fds[i];
    kept[n] = ends[0];
    qsort(kept, n + 1, sizeof *kept, compare);
    pid = fork();
    if (pid == 0)
        close_in_child(kept, n + 1, ends[0]);
    if (pid < 0)
        pid = -errno;
    for (size_t i = 0; pid > 0 && i < n; i++)
        close(fds[i]);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

void rights_close_backlog(int sock)
{
    int fds[AT_ONCE], fd;
    size_t n = 0;

    if (rights_refuse(sock))
        return;
    shutdown(sock, SHUT_RD); // nobody can connect any more
    while ((fd = accept4(sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (rights_refuse(fd) || !rights_remain(fd))
            close(fd);
        else
            fds[n++] = fd;
        if (n == AT_ONCE && rights_close(fds, n) > 0)
            n = 0;
        if (n == AT_ONCE)
            return;
    }
    if (n > 0)
        rights_close(fds, n);
}
