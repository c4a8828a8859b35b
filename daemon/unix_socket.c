// Listening sockets with a path: see unix_socket.h.
#include "daemon/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/proc.h"
#include "proto/util/cleanup.h"

static int refuse(char **ret_error, int error, const char *path, const char *why)
{
    if (asprintf(ret_error, "socket %s: %s", path, why) < 0)
        *ret_error = NULL;
    return error;
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
static int check_nobody_answers(int type, const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

// Binds the socket under another name and renames that to PATH.  So clients find the old socket or one that answers,
// and never one that does not listen yet.
static int bind_at(int fd, const char *path, unsigned mode, ino_t *ret_inode)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s.%d", path, (int)getpid()), r = 0;

    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    unlink(address.sun_path);
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

int unix_socket_listen(int sock, const char *path, unsigned mode, ino_t *ret_inode, char **ret_error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int type = 0, r;
    socklen_t size = sizeof type;

    *ret_error = NULL;
    if (strlen(path) >= sizeof address.sun_path)
        return refuse(ret_error, -ENAMETOOLONG, path, "the path is too long for a socket");
    strcpy(address.sun_path, path);
    if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return refuse(ret_error, -errno, path, strerror(errno));
    r = check_nobody_answers(type, &address);
    if (r == -EADDRINUSE)
        return refuse(ret_error, r, path, "another daemon listens there");
    if (r == -EEXIST || r == -EPROTOTYPE)
        return refuse(ret_error, r, path, "the file there is not a socket of this kind");
    if (r == 0)
        r = bind_at(sock, path, mode, ret_inode);
    return r < 0 ? refuse(ret_error, r, path, strerror(-r)) : 0;
}

void unix_socket_remove(const char *path, ino_t inode)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == inode)
        unlink(path);
}
