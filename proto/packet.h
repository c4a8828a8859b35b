// One packet of the seqpacket socket, with at most one file descriptor.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PACKET_MAX = 64 * 1024 };

// Sends N bytes and, unless FD is -1, a descriptor of it (which stays the caller's).  FLAGS as for sendmsg, MSG_NOSIGNAL is added.
// 0 or -errno: -EAGAIN when the socket is full (nothing was sent), -ETOOMANYREFS when too many descriptors are in flight.
int packet_send(int sock, const void *bytes, size_t n, int fd, int flags);

// Receives one packet of at most SIZE bytes.  FLAGS as for recvmsg.
// The packet's length ≥ 1, and in *RET_FD a CLOEXEC descriptor that the caller owns, or -1.
// 0 at the end of the stream; -EAGAIN; -EMSGSIZE: longer than SIZE; -EBADMSG: empty, or with more than one descriptor, or with
// descriptors lost because this process may not have more; -errno.  On failure no descriptor is left open.
ssize_t packet_receive(int sock, void *bytes, size_t size, int flags, int *ret_fd);

// The same for a client, to whom a reply without its descriptor still tells which request was answered: when a descriptor was
// lost because this process may not have more, *RET_FD_LOST is true, *RET_FD is -1 and the packet is there.
ssize_t packet_receive_reply(int sock, void *bytes, size_t size, int flags, int *ret_fd, bool *ret_fd_lost);
