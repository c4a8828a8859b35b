// The packets between the daemon and the server of its FUSE mounts, which are two processes of one program.
#pragma once
#include <stdint.h>

#include "proto/util/name.h"

enum {
    PASSTHROUGH_ASKS_FD = 3,  // the server's end of the socket of questions, which are answered one by one
    PASSTHROUGH_OPENS_FD = 4, // the server's end of the socket of announcements, which are not answered
    PASSTHROUGH_MOST_LANES = 512,
};

#define PASSTHROUGH_OPTION "--serve-passthrough" // by which the daemon's program becomes the server

enum passthrough_kind {
    // Questions:
    PASSTHROUGH_HELLO,  // with a descriptor of the spill directory
    PASSTHROUGH_MOUNT,  // makes a mount for the lane; the answer brings a descriptor of its directory
    PASSTHROUGH_ALONE,  // are all nodes of the file, but for one at most, of the process `identity`?  1 or 0
    PASSTHROUGH_OPENED, // the open in the lane has returned
    // Announcements:
    PASSTHROUGH_OPEN, // with a descriptor of the disk's file: the daemon opens a node in the lane now
};

// Fields that a kind of packet does not need are 0.
struct passthrough_packet {
    uint32_t kind;
    uint32_t lane;
    uint32_t owner;     // of the region
    uint32_t read_only; // the descriptor is to be for reading only
    uint64_t inode;     // of the disk's file
    uint64_t identity;  // see holder_identity
    uint32_t is_mark;   // the node tells of a process that maps the file
    struct handle handle;
};

struct passthrough_answer {
    int64_t result; // 0 or more, or -errno
};
