// The packets that a connection has still to send.  Knows a socket and nothing else of the connection.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct queued_packet;

struct send_queue {
    int fd;     // the socket; borrowed
    unsigned n; // packets in the queue
    TAILQ_HEAD(, queued_packet) packets;
};

// Results of sending, beside 0 (everything was sent):
//   -EAGAIN         packets are queued: flush when the socket is writable
//   -ETOOMANYREFS   packets are queued: flush after a pause.  Too many descriptors of this process are in flight to
//                   peers that have not received them, and the socket would be writable all the same
//   another -errno  the connection is of no use any more

void send_queue_init(struct send_queue *q, int fd);
void send_queue_deinit(struct send_queue *q); // drops what is queued
// Sends a packet, and FD with it unless that is -1; or queues both behind the earlier packets.  Takes FD.
int send_packet(struct send_queue *q, const uint8_t *bytes, size_t n, int fd);
int send_flush(struct send_queue *q);
