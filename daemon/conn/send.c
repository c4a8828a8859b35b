// The packets that a connection has still to send: at once if the socket takes them, else from a bounded queue.
#include "daemon/conn/send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/packet.h"
#include "proto/util/cleanup.h"

enum { MAX_QUEUED = 256 }; // packets, while the peer does not read

struct queued_packet {
    int fd; // owned; -1: none
    size_t n;
    TAILQ_ENTRY(queued_packet) entry;
    uint8_t bytes[];
};

void send_queue_init(struct send_queue *q, int fd)
{
    q->fd = fd;
    q->n = 0;
    TAILQ_INIT(&q->packets);
}

static void drop_first(struct send_queue *q)
{
    struct queued_packet *packet = TAILQ_FIRST(&q->packets);

    TAILQ_REMOVE(&q->packets, packet, entry);
    q->n--;
    cleanup_close(&packet->fd);
    free(packet);
}

void send_queue_deinit(struct send_queue *q)
{
    while (q->n > 0)
        drop_first(q);
}

int send_packet(struct send_queue *q, const uint8_t *bytes, size_t n, int fd)
{
    _cleanup_close_ int owned = fd;
    struct queued_packet *packet;
    // Packets must not overtake those in the queue.
    int r = q->n > 0 ? -EAGAIN : packet_send(q->fd, bytes, n, fd, MSG_DONTWAIT);

    if (r != -EAGAIN && r != -ETOOMANYREFS)
        return r;
    packet = q->n < MAX_QUEUED ? malloc(sizeof *packet + n) : NULL;
    if (!packet)
        return -ENOBUFS;
    packet->fd = steal_fd(&owned);
    packet->n = n;
    memcpy(packet->bytes, bytes, n);
    TAILQ_INSERT_TAIL(&q->packets, packet, entry);
    q->n++;
    return r;
}

int send_flush(struct send_queue *q)
{
    struct queued_packet *packet;

    while ((packet = TAILQ_FIRST(&q->packets))) {
        int r = packet_send(q->fd, packet->bytes, packet->n, packet->fd, MSG_DONTWAIT);

        if (r < 0)
            return r;
        drop_first(q);
    }
    return 0;
}
