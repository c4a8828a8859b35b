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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/conn/conn.h"
#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/proc.h"
#include "proto/util/cleanup.h"

enum {
    ACCEPTS_A_TURN = 8, // connections, before other events are looked at
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
    struct listener *l = data;

    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
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

// FD is connected: whether the daemon that listened was killed, and only threads that hang are left of it.
static bool is_of_zombie(int fd)
{
    struct ucred cred;
    socklen_t size = sizeof cred;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 && proc_is_zombie(cred.pid);
}

// 0: nobody answers at ADDRESS, a socket there can be replaced; -EADDRINUSE: a daemon answers; -EEXIST or -EPROTOTYPE:
// the file is not a socket of a daemon; another -errno.
static int check_nobody_answers(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    // EAGAIN: the backlog is full, so somebody listens.  EPROTOTYPE: a socket of another type.
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return errno == ECONNREFUSED || errno == ENOENT ? 0 : errno == EAGAIN ? -EADDRINUSE : -errno;
    return is_of_zombie(fd) ? 0 : -EADDRINUSE;
}

// Binds the socket under another name and renames it to PATH, so that clients find the old socket or one that answers,
// and never one that does not listen yet.
static int bind_at(int fd, const char *path, unsigned mode, ino_t *ret_inode)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s.%d", path, (int)getpid()), r = 0;

    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    unlink(address.sun_path);
    rights_refuse(fd); // before anybody can connect
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    if (chmod(address.sun_path, mode) < 0 || listen(fd, SOMAXCONN) < 0 || stat(address.sun_path, &st) < 0 ||
        rename(address.sun_path, path) < 0) {
        r = -errno;
        unlink(address.sun_path);
        return r;
    }
    *ret_inode = st.st_ino;
    return 0;
}

int listener_open(struct event_base *base, struct conn_env *conns, const char *path, unsigned mode,
                  struct listener **ret, char **ret_error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -1;
    ino_t inode = 0;
    int r;

    *ret_error = NULL;
    if (strlen(path) >= sizeof address.sun_path)
        return refuse(ret_error, -ENAMETOOLONG, path, "the path is too long for a socket");
    strcpy(address.sun_path, path);
    r = check_nobody_answers(&address);
    if (r == -EADDRINUSE)
        return refuse(ret_error, r, path, "another daemon listens there");
    if (r == -EEXIST || r == -EPROTOTYPE)
        return refuse(ret_error, r, path, "the file there is not a socket of this kind");
    fd = r < 0 ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r == 0)
        r = fd < 0 ? -errno : bind_at(fd, path, mode, &inode);
    if (r == 0)
        r = listener_new(base, conns, steal_fd(&fd), ret);
    if (r < 0)
        return refuse(ret_error, r, path, strerror(-r));
    (*ret)->inode = inode;
    (*ret)->path = strdup(path);
    return 0;
}

void listener_close(struct listener *l)
{
    struct stat st;

    if (!l)
        return;
    // Remove the socket that this daemon made, but not that of a successor at the same path.
    if (l->path && lstat(l->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == l->inode)
        unlink(l->path);
    if (l->path)
        rights_close_backlog(l->fd);
    if (l->event)
        event_free(l->event);
    if (l->pause)
        event_free(l->pause);
    close(l->fd);
    free(l->path);
    free(l);
}
