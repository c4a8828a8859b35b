// Sending and receiving one packet of a SOCK_SEQPACKET socket, with at most one file descriptor.  Used by both sides.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PACKET_MAX = 64 * 1024 }; // bytes of a packet, HelloReply.max_packet

// Sends N bytes, and with them the descriptor FD unless FD is -1.  FD stays the caller's.  FLAGS are those of
// sendmsg(2); MSG_NOSIGNAL is added.
// 0; -EAGAIN: the socket is full, and nothing was sent; -ETOOMANYREFS: too many descriptors are in flight; another
// -errno.
int packet_send(int sock, const void *bytes, size_t n, int fd, int flags);

// Receives one packet of at most SIZE bytes.  FLAGS are those of recvmsg(2).
// Returns the length of the packet, at least 1, and in *RET_FD its descriptor (close-on-exec, the caller's) or -1; or
//   0: the other side has closed the connection;
//   -EAGAIN: there is no packet, with MSG_DONTWAIT or a timeout of the socket;
//   -EMSGSIZE: the packet is longer than SIZE;
//   -EBADMSG: the packet is empty, has more than one descriptor, or has lost one because this process may not open
//     more;
//   another -errno.
// On failure no descriptor is left open.
ssize_t packet_receive(int sock, void *bytes, size_t size, int flags, int *ret_fd);

// The same, but a packet whose descriptor was lost, because this process may not open more, is returned: *RET_FD_LOST
// is then true and *RET_FD is -1.  For clients, who need the packet to learn which request was answered.
ssize_t packet_receive_reply(int sock, void *bytes, size_t size, int flags, int *ret_fd, bool *ret_fd_lost);

// Receives one packet of at most SIZE bytes, without any descriptor.  FLAGS are those of recvmsg(2).
// Returns as packet_receive, but -EBADMSG for an empty packet only, and -EPERM for a packet that brought descriptors:
// the kernel has dropped them without making them this process's.
ssize_t packet_read(int sock, void *bytes, size_t size, int flags);
