// The struct of the server, shared by server.c, lane.c and answer.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fence/server/control.h"
#include "daemon/fence/server/node.h"
#include "daemon/fence/server/slow.h"

enum {
    SERVER_MOST_WRITE = 4096,       // bytes of a write, which is refused; the least that the kernel takes
    SERVER_MOST_READ = 128 * 1024,  // bytes
    SERVER_BUFFER_SIZE = 64 * 1024, // bytes: of any request
    SERVER_MOST_NODES = 256 * 1024, // of a lane
};

// A mount, with a connection to the kernel of its own: that of one user, or of several if there are very many.
struct server_lane {
    int fuse;                          // the connection
    unsigned n_nodes;                  // the kernel knows these
    struct passthrough_packet awaited; // the daemon opens a node, or has not yet said that this open has returned
    bool awaits;
    int file;         // the disk's file for that node; -1: not any more
    uint32_t backing; // the kernel's number of that file; 0: none
};

struct server {
    int asks, opens; // sockets, see control.h
    int dir_fd;      // the spill directory
    int epoll;
    struct slow *slow;
    struct server_node_table nodes;
    struct server_lane lanes[PASSTHROUGH_MOST_LANES];
    unsigned n_lanes;
    // Requests are read to this place.
    uint8_t buffer[SERVER_BUFFER_SIZE] __attribute__((aligned(8)));
};

// lane.c:

// Makes a mount and *LANE of it.  *RET_DIR is a descriptor of its directory, the caller's.  0; -EOPNOTSUPP: this kernel
// has no passthrough; -errno.
int server_lane_open(struct server_lane *lane, int *ret_dir);
// The open of a node that the daemon had announced has returned.
void server_lane_opened(struct server_lane *lane);
// Reads the announcements that there are.
void server_read_announcements(struct server *s);

// answer.c:

// Reads and answers one request.  False: there was none.
bool server_serve(struct server *s, unsigned lane);
// Answers the request for which JOB was done.
void server_answer_slow(struct server *s, const struct slow_job *job);
