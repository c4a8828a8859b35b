// A connection serves any number of threads, and the library has no thread to read it.  So the threads that wait
// for answers read the connection for each other: the first one that finds nobody reading reads, gives every reply to
// the call that waits for it, and hands the reading over when its own reply has come (read.c).  No thread waits for
// the daemon, or for a full socket, with the lock held.
//
// Losing the connection ends an *epoch*.  Every call in flight learns that the connection is lost; each then makes a
// new connection, or waits for the thread that does, and repeats its request (call.c).  The thread that makes the
// connection first attaches again the regions that the client holds (reconnect.c), so that no request meets a daemon
// that does not know its region.  The memory of regions is not touched by any of that.
//
// A descriptor is used only while it is the socket that was opened (connection_is_ours): programs close all
// descriptors and open their own.  Such a program costs itself a new connection, and no byte of ours gets into its
// file.
//
// Closing a region waits for nobody: its attachment goes to the list `leaving`.  The daemon is told when the socket
// has room, at the latest before the next request, and the replies to that are dropped by the thread that reads next.
//
// The files, from the lowest: link.c (the struct, its life, how a connection is lost), read.c, send.c, attach.c,
// reconnect.c, call.c (requests that are waited for), post.c (requests whose answer is looked for later), look.c
// (what others do with the client's regions; news.c notes that, below read.c), poll.c (events).
//
// Lock order: the lock of a link is taken under the lock of a region.  Under it only fork_lock is taken, which guards
// the making and the closing of sockets.
#include "client/link/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/link/link_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

void answer_deinit(struct answer *a)
{
    wire_reply_free(a->reply);
    cleanup_close(&a->fd);
    *a = (struct answer){.fd = -1};
}

int link_new(const char *path, const struct diskalloc_options *options, struct link **ret)
{
    struct link *link = calloc(1, sizeof *link);
    int r = -ENOMEM;

    if (!link)
        return -ENOMEM;
    link->path = strdup(path);
    link->client_name = strdup(options->client_name ? options->client_name : program_invocation_short_name);
    link->reconnect_timeout_ms = options->reconnect_timeout_ms;
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->reconnected, NULL);
    pthread_cond_init(&link->turn, NULL);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    TAILQ_INIT(&link->closed);
    events_init(&link->events);
    link->events_deadline.latest = UINT64_MAX;
    link->events_pause_ms = EVENTS_FIRST_PAUSE_MS;
    if (link->path && link->client_name)
        r = connection_open(path, link->client_name, &link->connection);
    if (r < 0) {
        link_free(link);
        return r == -EAGAIN ? -EMFILE : r;
    }
    link->was_connected = true;
    *ret = link;
    return 0;
}

static void free_attachments(struct link *link)
{
    struct attachment *next;

    for (struct attachment *a = TAILQ_FIRST(&link->leaving); a; a = next) {
        next = TAILQ_NEXT(a, entry);
        free(a);
    }
    TAILQ_INIT(&link->leaving);
}

void link_free(struct link *link)
{
    connection_unref(link->connection);
    events_deinit(&link->events);
    free_attachments(link);
    pthread_cond_destroy(&link->reconnected);
    pthread_cond_destroy(&link->turn);
    pthread_mutex_destroy(&link->lock);
    free(link->path);
    free(link->client_name);
    free(link);
}

// The calls belonged to threads that the child does not have, and the attachments to the parent.  The fork hook of
// the connection has closed the socket in this process already.  The epoll instance is shared with the parent: it is
// closed, not changed.
void link_forked(struct link *link)
{
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->reconnected, NULL);
    pthread_cond_init(&link->turn, NULL);
    link->connection = NULL;
    events_deinit(&link->events);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    TAILQ_INIT(&link->closed);
    link->reading = link->connecting = link->was_connected = false;
    link->events_deadline.set = false;
    link->absence = (struct absence){0};
    link->n_unawaited = 0;
    link->n_waiting = 0;
    link->epoch++;
}

void link_lose(struct link *link)
{
    struct call *c;

    if (!link->connection)
        return;
    events_unwatch(&link->events, link->connection);
    if (connection_is_ours(link->connection))
        shutdown(link->connection->sock.fd, SHUT_RDWR);
    connection_unref(link->connection);
    link->connection = NULL;
    link->reading = false;
    link->n_unawaited = 0;
    link->epoch++;
    TAILQ_FOREACH (c, &link->calls, entry) {
        c->lost = true;
        pthread_cond_signal(&c->changed);
    }
    link->events_pause_ms = EVENTS_FIRST_PAUSE_MS;
    events_call_in(&link->events, link->events_pause_ms);
}

void link_sleep(struct link *link, pthread_cond_t *changed, uint64_t until)
{
    struct timespec at = clock_timespec(until);

    if (until == UINT64_MAX)
        pthread_cond_wait(changed, &link->lock);
    else
        pthread_cond_clockwait(changed, &link->lock, CLOCK_MONOTONIC, &at);
}

bool link_renew(struct link *link)
{
    bool renewed;

    pthread_mutex_lock(&link->lock);
    renewed = link->connection && link->connection->uid != geteuid();
    if (renewed)
        link_lose(link);
    pthread_mutex_unlock(&link->lock);
    return renewed;
}

bool link_has_feature(struct link *link, uint64_t feature)
{
    bool has;

    pthread_mutex_lock(&link->lock);
    has = link->connection && link->connection->features & feature;
    pthread_mutex_unlock(&link->lock);
    return has;
}
