// New connections: who the client is, and how long it may be silent.
//
// A connection is charged to its user when Hello is granted.  Until Hello has come, nothing but the bounds here keeps
// a user from holding connections that no limit counts: a user may have so many at a time, and each one must say Hello
// within SPEAK_MS.  All users together have a bound as well.  When it is reached, the connection that has been silent
// for longest makes room for the new one: clients say Hello at once, so that it is not one of an honest client.
//
// Replies that a client does not read lie in memory of the kernel that is the daemon's.  Each of thousands of
// connections may have as much of it, and administrators may have set the default to megabytes.  So each connection
// gets a small buffer, but one that takes the longest packet: the kernel refuses longer packets (EMSGSIZE).  Where
// net.core.wmem_max allows less than that, a buffer that was set could not be raised to the default again.  So it is
// set on a socket of the daemon's own first, at start, which tells what would become of it.
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conn/connection.h"
#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/user.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum {
    SPEAK_MS = 10 * 1000,
    LEAST_SILENT = 16, // where the process may open few files
    MOST_SILENT = 4096,
    REFUSED_A_TICK = 16,                   // connections; if there are more, the next tick comes at once
    SEND_BUFFER = 48 * 1024,               // bytes; the kernel takes twice that, and counts some 800 for a small packet
    LEAST_SEND_BUFFER = PACKET_MAX + 1024, // bytes, as the kernel takes them; it wants 32 more than the packet has
};

static void refuse_silent(struct conn *c, const char *sentence)
{
    accept_spoke(c);
    request_breach(&c->peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, sentence);
}

// The connections are in the order in which they were accepted, which is that of their deadlines.
static void set_tick(struct conn_env *env)
{
    const struct conn *c = TAILQ_FIRST(&env->silent);
    struct timeval delay = {0};
    uint64_t left;

    if (!c || event_pending(env->silent_tick, EV_TIMEOUT, NULL))
        return;
    left = clock_left(c->speaks_by) + 1;
    delay.tv_sec = (time_t)(left / 1000);
    delay.tv_usec = (suseconds_t)(left % 1000 * 1000);
    event_add(env->silent_tick, &delay);
}

static void note_silent(struct conn *c)
{
    struct conn_env *env = c->env;

    if (env->n_silent >= env->most_silent)
        refuse_silent(TAILQ_FIRST(&env->silent), "too many connections are silent: Hello must come at once");
    c->silent = true;
    c->speaks_by = clock_after(SPEAK_MS);
    TAILQ_INSERT_TAIL(&env->silent, c, silent_entry);
    env->n_silent++;
    set_tick(env);
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct conn_env *env = data;
    uint64_t now = clock_now();
    struct conn *c;

    (void)fd;
    (void)what;
    for (int i = 0; i < REFUSED_A_TICK && (c = TAILQ_FIRST(&env->silent)) && c->speaks_by <= now; i++) {
        accept_spoke(c);
        if (c->queued) // it has sent something, and the user's budget is spent
            note_silent(c);
        else
            refuse_silent(c, "Hello must come within 10 s");
    }
    set_tick(env);
}

void accept_spoke(struct conn *c)
{
    if (!c->silent)
        return;
    c->silent = false;
    TAILQ_REMOVE(&c->env->silent, c, silent_entry);
    c->env->n_silent--;
}

// OPTION: SO_SNDBUF, or SO_SNDBUFFORCE, which needs CAP_NET_ADMIN.
static void set_send_buffer(int fd, int option)
{
    static const int size = SEND_BUFFER;

    setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
}

static int send_buffer_of(int fd)
{
    int size = 0;
    socklen_t length = sizeof size;

    return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length) < 0 ? 0 : size;
}

static bool machine_allows_bound(void)
{
    _cleanup_close_ int sample = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (sample >= 0)
        set_send_buffer(sample, SO_SNDBUF);
    return sample >= 0 && send_buffer_of(sample) >= LEAST_SEND_BUFFER;
}

int accept_init(struct conn_env *env)
{
    struct rlimit files;

    TAILQ_INIT(&env->silent);
    env->most_silent = MOST_SILENT;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 4 < MOST_SILENT)
        env->most_silent = files.rlim_cur / 4 > LEAST_SILENT ? (unsigned)(files.rlim_cur / 4) : LEAST_SILENT;
    env->bounds_buffers = machine_allows_bound();
    env->silent_tick = evtimer_new(env->base, on_tick, env);
    return env->silent_tick ? 0 : -ENOMEM;
}

void accept_deinit(struct conn_env *env)
{
    if (env->silent_tick)
        event_free(env->silent_tick);
}

// A reference to the client's user, and the client's pid, as the kernel knows them.  NULL: the client is refused.
static struct user *user_of(struct conn_env *env, int fd, pid_t *ret_pid)
{
    struct ucred cred;
    socklen_t size = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        return NULL;
    // The kernel shows this uid for every uid that does not exist in the daemon's user namespace: it could be anybody.
    if (cred.uid == env->overflow_uid || cred.uid == (uid_t)-1) {
        if (log_may(LOG_KIND_NAMESPACE, cred.uid))
            log_warning("a client was refused: it runs in another user namespace, and its uid is not visible here");
        return NULL;
    }
    *ret_pid = cred.pid;
    return user_ref(env->request->users, cred.uid);
}

// A user may have as many connections without a granted Hello as PEER says, and an eighth of all descriptors.
static bool may_be_silent(const struct conn_env *env, const struct user *u)
{
    if (u->n_silent < USER_MAX_SILENT && u->n_silent < env->most_silent / 2)
        return true;
    if (log_may(LOG_KIND_SILENT, u->uid))
        log_warning("uid %u has %u connections without Hello: further ones are refused", (unsigned)u->uid, u->n_silent);
    return false;
}

struct user *accept_identify(struct conn_env *env, int fd, pid_t *ret_pid)
{
    struct user *user = user_of(env, fd, ret_pid);

    if (!user || may_be_silent(env, user))
        return user;
    user_unref(user);
    return NULL;
}

// The supplementary groups that the process had when it connected (SO_PEERGROUPS, Linux 4.13).  Its primary group is
// not among them unless it is a supplementary group as well, and newgrp(1) can choose it: that is the same.
bool accept_has_group(const struct peer *peer, gid_t gid)
{
    const struct conn *c = container_of((struct peer *)peer, struct conn, peer);
    socklen_t size = 0;
    gid_t *groups, none;
    bool has = false;

    // The kernel shows this gid for every group that does not exist in the daemon's user namespace: it could be any.
    if (gid == c->env->overflow_gid)
        return false;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, &none, &size) == 0 || errno != ERANGE)
        return false;
    groups = malloc(size);
    if (groups && getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
        for (socklen_t i = 0; !has && i < size / sizeof *groups; i++)
            has = groups[i] == gid;
    free(groups);
    return has;
}

void accept_refuse(int fd)
{
    if (rights_refuse(fd) || !rights_remain(fd) || rights_close(&fd, 1) < 0)
        close(fd);
}

static void bound_send_buffer(struct conn_env *env, int fd)
{
    if (env->bounds_buffers)
        set_send_buffer(fd, SO_SNDBUF);
    if (send_buffer_of(fd) <
        LEAST_SEND_BUFFER) { // the default is as small, or the administrator has lowered the maximum
        env->bounds_buffers = false;
        set_send_buffer(fd, SO_SNDBUFFORCE);
    }
    if (!env->told_of_buffers && send_buffer_of(fd) < LEAST_SEND_BUFFER) {
        env->told_of_buffers = true;
        log_warning("the kernel gives sockets a send buffer of %d bytes, and long replies need %d: connections that "
                    "ask for them are lost; raise the sysctl net.core.wmem_default, or net.core.wmem_max",
                    send_buffer_of(fd), LEAST_SEND_BUFFER);
    }
}

void accept_begin(struct conn *c)
{
    bound_send_buffer(c->env, c->fd);
    c->careful = !rights_refuse(c->fd);
    note_silent(c);
}
