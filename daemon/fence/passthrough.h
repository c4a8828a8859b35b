// Descriptors that can be mapped, straight to the disk's file, and nothing else: nodes of a FUSE mount of the daemon's
// own.  See the essays in passthrough.c and server.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/util/name.h"

struct passthrough;

// Starts the server for the spill directory DIR_FD.  0; or -errno and *RET_WHY says what the machine lacks, in static
// storage.
int passthrough_new(int dir_fd, struct passthrough **ret, const char **ret_why);
void passthrough_free(struct passthrough *p); // no other call may be under way
// The reason, in static storage, for which this machine does not have the fence, if a call failed with ERROR (-errno).
const char *passthrough_explain(int error);

struct passthrough_order {
    uid_t user;  // the descriptor is for this user
    uid_t owner; // of the region
    const struct handle *handle;
    uint64_t identity; // of the process that gets it, see holder_identity
    bool is_mark;      // the process maps the file by it
};

// A descriptor by which the file of FD, which is the disk's and stays the caller's, can be mapped: for writing if FD
// was opened for writing.  *RET_GENERATION: of the server that knows of it.  The descriptor; -ETIMEDOUT: there is no
// server now, or it does not answer; another -errno.  Waits for some seconds at most.  On any thread but the loop's.
int passthrough_open(struct passthrough *p, int fd, const struct passthrough_order *o, uint64_t *ret_generation);

// Grows with each server.  What a server knew goes with it.
uint64_t passthrough_generation(struct passthrough *p);
// Whether no process maps the region by descriptors of the server GENERATION, but for one descriptor of the process
// with this identity.  1: so it is; 0: it is not, or that is not known.  On any thread but the loop's.
int passthrough_is_alone(struct passthrough *p, uint64_t generation, const struct handle *handle, uint64_t identity);
