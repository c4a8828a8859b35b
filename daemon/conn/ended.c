// Sockets of connections that have ended, and that are not closed yet.
//
// There are two reasons to wait.  A client that has not received descriptors which were sent to it keeps them in flight
// as long as its own end is open, whether the daemon's end is or not: if the daemon forgot the socket, a client could
// break the protocol on purpose, connect again, and have any number of descriptors in flight.  And a socket with
// unread packets that bring descriptors is closed by a child process (rights.c), which may hang.
//
// Until the socket is closed, the user is charged with a connection, and with the descriptors.  A user has one child at
// a time, and all users have MOST_CHILDREN, so that the number of hanging processes stays small.
#include "daemon/conn/ended.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/conn/connection.h"
#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/user.h"
#include "proto/util/cleanup.h"

enum {
    TICK_MS = 100,
    ASKED_A_TICK = 64, // sockets, and an eighth of the others
    MOST_CHILDREN = 16,
    MOST_OF_CHILD = 64, // sockets that one child closes
};

struct ended {
    int fd; // -1: a child closes it
    bool brings;
    bool said_hello;
    struct user *user; // a reference
    struct quota_charge charge;
    unsigned n_unread;
    struct child *child; // closes the socket; NULL: none
    TAILQ_ENTRY(ended) entry;
};

struct child {
    struct conn_env *env;
    const struct user *user;
    pid_t pid;
    int pidfd;
    struct event *event; // the child has ended
    LIST_ENTRY(child) entry;
};

static void tick_soon(struct conn_env *env)
{
    static const struct timeval soon = {.tv_usec = TICK_MS * 1000L};

    if (!event_pending(env->ended_tick, EV_TIMEOUT, NULL))
        event_add(env->ended_tick, &soon);
}

static void ended_free(struct conn_env *env, struct ended *e)
{
    TAILQ_REMOVE(&env->ended_conns, e, entry);
    env->n_ended--;
    cleanup_close(&e->fd);
    quota_charge_deinit(&e->charge);
    e->user->n_silent -= !e->said_hello;
    budget_give_back(&env->request->budget, e->user, e->n_unread);
    user_unref(e->user);
    free(e);
    if (env->ended)
        env->ended(env->ended_data);
}

static void child_free(struct child *child)
{
    LIST_REMOVE(child, entry);
    child->env->n_children--;
    if (child->event)
        event_free(child->event);
    cleanup_close(&child->pidfd);
    free(child);
}

static void on_child_end(evutil_socket_t fd, short what, void *data)
{
    struct child *child = data;
    struct conn_env *env = child->env;
    struct ended *e, *next;

    (void)fd;
    (void)what;
    waitpid(child->pid, NULL, WNOHANG);
    for (e = TAILQ_FIRST(&env->ended_conns); e; e = next) {
        next = TAILQ_NEXT(e, entry);
        if (e->child == child)
            ended_free(env, e);
    }
    child_free(child);
    if (env->n_ended > 0)
        tick_soon(env);
}

static bool has_child(const struct conn_env *env, const struct user *u)
{
    const struct child *child;

    LIST_FOREACH (child, &env->children, entry)
        if (child->user == u)
            return true;
    return false;
}

// The sockets of U that a child may close, up to MOST_OF_CHILD.
static size_t collect(const struct conn_env *env, const struct user *u, struct ended **ret, int *ret_fds)
{
    struct ended *e;
    size_t n = 0;

    TAILQ_FOREACH (e, &env->ended_conns, entry)
        if (e->user == u && e->brings && !e->child && e->n_unread == 0 && n < MOST_OF_CHILD) {
            ret_fds[n] = e->fd;
            ret[n++] = e;
        }
    return n;
}

static void start_child(struct conn_env *env, const struct user *u)
{
    struct ended *list[MOST_OF_CHILD];
    int fds[MOST_OF_CHILD];
    size_t n = collect(env, u, list, fds);
    struct child *child = n > 0 ? calloc(1, sizeof *child) : NULL;

    if (!child)
        return;
    child->pid = rights_close(fds, n);
    if (child->pid < 0) { // tried again at the next tick
        free(child);
        return;
    }
    child->env = env;
    child->user = u;
    LIST_INSERT_HEAD(&env->children, child, entry);
    env->n_children++;
    for (size_t i = 0; i < n; i++) {
        list[i]->fd = -1;
        list[i]->child = child;
    }
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pidfd >= 0)
        child->event = event_new(env->base, child->pidfd, EV_READ, on_child_end, child);
    // Without the event the sockets stay charged: better than a daemon that waits.
    if (child->event)
        event_add(child->event, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct conn_env *env = data;
    unsigned left = env->n_ended / 8 + ASKED_A_TICK;
    struct ended *e, *next;

    (void)fd;
    (void)what;
    for (e = TAILQ_FIRST(&env->ended_conns); e && left > 0; e = next, left--) {
        next = TAILQ_NEXT(e, entry);
        if (e->n_unread > 0 && unread_was_taken(e->fd)) {
            budget_give_back(&env->request->budget, e->user, e->n_unread);
            e->n_unread = 0;
        }
        if (!e->brings && e->n_unread == 0) {
            ended_free(env, e);
            continue;
        }
        TAILQ_REMOVE(&env->ended_conns, e, entry);
        TAILQ_INSERT_TAIL(&env->ended_conns, e, entry);
        if (e->brings && !e->child && e->n_unread == 0 && env->n_children < MOST_CHILDREN && !has_child(env, e->user))
            start_child(env, e->user);
    }
    if (env->n_ended > 0)
        tick_soon(env);
}

void ended_take(struct conn *c)
{
    struct conn_env *env = c->env;
    bool brings = c->careful && (c->brings || rights_remain(c->fd));
    struct ended *e;

    unread_remove(c);
    if (c->n_unread > 0 && unread_was_taken(c->fd)) {
        budget_give_back(&env->request->budget, c->peer.user, c->n_unread);
        c->n_unread = 0;
    }
    if (!brings && c->n_unread == 0) {
        close(c->fd);
        return;
    }
    e = calloc(1, sizeof *e);
    if (!e) { // leaves the descriptor open, and the connection uncharged
        budget_give_back(&env->request->budget, c->peer.user, c->n_unread);
        return;
    }
    shutdown(c->fd, SHUT_RDWR);
    *e = (struct ended){.fd = c->fd,
                        .brings = brings,
                        .said_hello = c->peer.said_hello,
                        .user = c->peer.user,
                        .charge = c->peer.charge,
                        .n_unread = c->n_unread};
    c->peer.charge = (struct quota_charge){0};
    e->user->n_refs++;
    e->user->n_silent += !e->said_hello;
    TAILQ_INSERT_HEAD(&env->ended_conns, e, entry);
    env->n_ended++;
    tick_soon(env);
}

int ended_init(struct conn_env *env)
{
    TAILQ_INIT(&env->ended_conns);
    LIST_INIT(&env->children);
    env->ended_tick = evtimer_new(env->base, on_tick, env);
    return env->ended_tick ? 0 : -ENOMEM;
}

void ended_abandon(struct conn_env *env)
{
    _cleanup_free_ int *fds = NULL;
    struct conn *c;
    size_t n = 0;

    TAILQ_FOREACH (c, &env->conns, entry)
        n += c->careful;
    fds = calloc(n + 1, sizeof *fds);
    n = 0;
    TAILQ_FOREACH (c, &env->conns, entry)
        if (fds && c->careful)
            fds[n++] = c->fd;
    if (n > 0)
        rights_close(fds, n);
    ended_deinit(env);
}

// The daemon ends: nothing waits any more.  A child that hangs goes on without the daemon.
void ended_deinit(struct conn_env *env)
{
    _cleanup_free_ int *fds = calloc(env->n_ended + 1, sizeof *fds);
    struct ended *e;
    size_t n = 0;

    if (env->ended_tick)
        event_free(env->ended_tick);
    while (!LIST_EMPTY(&env->children))
        child_free(LIST_FIRST(&env->children));
    while ((e = TAILQ_FIRST(&env->ended_conns))) {
        if (e->brings && e->fd >= 0 && fds) {
            fds[n++] = e->fd;
            e->fd = -1;
        }
        ended_free(env, e);
    }
    if (n > 0 && rights_close(fds, n) < 0)
        log_error("cannot start a process that closes the sockets of clients: this one may hang");
}
