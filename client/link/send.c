// Sending to the connection.  The socket is never waited for with the lock held.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/link/link_internal.h"
#include "proto/packet.h"

// The socket is full.  The reason may be replies that nobody reads: the daemon stops reading while its own replies
// are stuck.  So each thread that waits here watches for replies too, and reads one when no other thread does.
void link_wait_sendable(struct link *link, int timeout_ms)
{
    struct connection *mine = connection_ref(link->connection);
    struct pollfd p = {.fd = mine->sock.fd, .events = POLLIN | POLLOUT};
    uint64_t epoch = link->epoch;

    pthread_mutex_unlock(&link->lock);
    if (connection_is_ours(mine))
        poll(&p, 1, timeout_ms);
    pthread_mutex_lock(&link->lock);
    connection_unref(mine);
    if (epoch == link->epoch && p.revents & POLLIN && !link->reading)
        link_read_one(link, MSG_DONTWAIT);
}

int link_try_send(struct link *link, const uint8_t *bytes, size_t n)
{
    if (!connection_is_ours(link->connection))
        return -EPIPE;
    return packet_send(link->connection->sock.fd, bytes, n, -1, MSG_DONTWAIT);
}

int link_flush_leaving(struct link *link)
{
    struct attachment *a;

    while (link->n_unawaited > 0 && !link->reading && link_read_one(link, MSG_DONTWAIT))
        ;
    while (link->connection && (a = TAILQ_FIRST(&link->leaving))) {
        Diskalloc__V1__DetachRegion detach = DISKALLOC__V1__DETACH_REGION__INIT;
        WireRequest q = WIRE_REQUEST_INIT;
        uint8_t bytes[REQUEST_MAX];
        size_t n = 0;
        int r;

        detach.handle = field_handle(&a->handle);
        detach.keeps_reading = a->keeps_reading;
        q.id = ++link->last_id;
        q.body_case = DISKALLOC__V1__REQUEST__BODY_DETACH_REGION;
        q.detach_region = &detach;
        request_pack(&q, bytes, &n);
        r = link_try_send(link, bytes, n);
        if (r == -EAGAIN)
            return r;
        if (r < 0) {
            link_lose(link);
            return 0;
        }
        link->n_unawaited++;
        TAILQ_REMOVE(&link->leaving, a, entry);
        free(a);
    }
    return 0;
}

int link_send_call(struct link *link, const struct call *c, const uint8_t *bytes, size_t n)
{
    int r = -EAGAIN;

    while (r == -EAGAIN && !c->lost) {
        r = link_flush_leaving(link);
        if (r == 0 && !c->lost)
            r = link_try_send(link, bytes, n);
        if (r == -EAGAIN && !c->lost)
            link_wait_sendable(link, -1);
    }
    if (r < 0 && !c->lost)
        link_lose(link);
    return c->lost ? -EPIPE : 0;
}
