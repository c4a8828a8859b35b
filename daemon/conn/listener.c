// The listening socket: see listener.h.
#include "daemon/conn/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conn/conn.h"
#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/unix_socket.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    ACCEPTS_A_TURN = 8, // connections at most, before other events are looked at
    ACCEPT_US = 15,     // and none that would begin later
    PAUSE_SECONDS = 1,  // when descriptors have run out
    KEPT_FDS = 64,      // descriptors that connections do not get: for files of workers and files sent to clients
};

struct listener {
    struct conn_env *conns;
    int fd;
    int most_fd;         // a connection with this descriptor or a higher one is not accepted
    char *path;          // of the socket that this daemon made and removes; NULL: systemd made it
    ino_t inode;         // of the socket at PATH
    struct event *event; // a client connects
    struct event *pause; // a timer: accept again
};

static int refuse(char **ret_error, int error, const char *path, const char *why)
{
    if (asprintf(ret_error, "socket %s: %s", path, why) < 0)
        *ret_error = NULL;
    return error;
}

// Stops accepting until listener_resume is called or the pause is over.  Without a pause the socket would stay
// readable, and the loop would spin.
static void pause_accepting(struct listener *l, int error)
{
    static const struct timeval pause = {.tv_sec = PAUSE_SECONDS};

    if (log_may(LOG_KIND_DESCRIPTORS, geteuid()))
        log_warning("no further connections are accepted until a descriptor is free: %s", strerror(error));
    // Without the pause nobody would accept again: rather the loop spins.
    if (event_add(l->pause, &pause) == 0)
        event_del(l->event);
}

// If the socket can't be watched, that is tried again after another pause.  (The pause was added before, so that
// libevent has the memory for it.)
static void accept_again(struct listener *l)
{
    static const struct timeval pause = {.tv_sec = PAUSE_SECONDS};

    if (event_add(l->event, NULL) < 0)
        event_add(l->pause, &pause);
}

// The kernel gives out the lowest free descriptor, so that a high number tells that descriptors run short.
static int most_fd(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur > INT_MAX)
        return INT_MAX;
    return files.rlim_cur > 2UL * KEPT_FDS ? (int)files.rlim_cur - KEPT_FDS : (int)files.rlim_cur;
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
    const uint64_t began = clock_now_us();
    struct listener *l = data;

    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN && clock_now_us() - began < ACCEPT_US; i++) {
        int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (conn >= l->most_fd) {
            close(conn);
            pause_accepting(l, EMFILE);
            return;
        }
        if (conn >= 0) {
            conn_accept(l->conns, conn);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(l, errno);
            return;
        }
        if (errno == EAGAIN)
            return;
        // Any other error may last as well, and the socket stays readable.
        if (errno != EINTR && errno != ECONNABORTED) {
            pause_accepting(l, errno);
            return;
        }
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *data)
{
    struct listener *l = data;

    (void)fd;
    (void)what;
    accept_again(l);
}

void listener_resume(struct listener *l)
{
    if (!event_pending(l->pause, EV_TIMEOUT, NULL))
        return;
    event_del(l->pause);
    accept_again(l);
}

// Takes FD.
static int listener_new(struct event_base *base, struct conn_env *conns, int fd, struct listener **ret)
{
    struct listener *l = calloc(1, sizeof *l);

    if (!l) {
        close(fd);
        return -ENOMEM;
    }
    l->conns = conns;
    l->fd = fd;
    l->most_fd = most_fd();
    l->event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
    l->pause = evtimer_new(base, on_pause_over, l);
    if (!l->event || !l->pause || event_add(l->event, NULL) < 0) {
        listener_close(l);
        return -ENOMEM;
    }
    *ret = l;
    return 0;
}

int listener_from_fd(struct event_base *base, struct conn_env *conns, int fd, struct listener **ret, char **ret_error)
{
    int type = 0, accepts = 0;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) < 0 || type != SOCK_SEQPACKET || !accepts)
        return refuse(ret_error, -EINVAL, "from systemd", "the unit must use ListenSequentialPacket=");
    rights_refuse(fd);
    if (evutil_make_socket_nonblocking(fd) < 0)
        return refuse(ret_error, -errno, "from systemd", strerror(errno));
    return listener_new(base, conns, fd, ret);
}

int listener_open(struct event_base *base, struct conn_env *conns, const char *path, unsigned mode,
                  struct listener **ret, char **ret_error)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ino_t inode = 0;
    int r;

    *ret_error = NULL;
    if (fd < 0)
        return refuse(ret_error, -errno, path, strerror(errno));
    rights_refuse(fd); // before anybody can connect
    r = unix_socket_listen(fd, path, mode, &inode, ret_error);
    if (r < 0)
        return r;
    r = listener_new(base, conns, steal_fd(&fd), ret);
    if (r < 0)
        return refuse(ret_error, r, path, strerror(-r));
    (*ret)->inode = inode;
    (*ret)->path = strdup(path);
    return 0;
}

void listener_close(struct listener *l)
{
    if (!l)
        return;
    if (l->path) {
        unix_socket_remove(l->path, l->inode);
        rights_close_backlog(l->fd);
    }
    if (l->event)
        event_free(l->event);
    if (l->pause)
        event_free(l->pause);
    close(l->fd);
    free(l->path);
    free(l);
}
