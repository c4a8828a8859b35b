// The one seam between what a region is (address space, size, rules) and who provides its file: a daemon, a directory, or the
// caller.  Above it nothing can tell which.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/name.h"
#include "proto/util/ranges.h"

enum { DISCARD_BLOCK = 4096 }; // what is discarded is whole blocks

struct region_name {
    char user[128]; // "": the caller
    char name[NAME_MAX_LENGTH + 1];
};

struct backing_request {
    uint64_t size;
    uint32_t mode, flags; // DISKALLOC_REGION_...
};

// A region's file as the backend has it, held by the region.  One thread at a time, but for close of another.
struct backing {
    const struct backing_ops *ops;
    struct handle handle;
    int fd;        // of the file, opened and closed by the backing; -1: not open now
    bool keeps_fd; // fd stays open as long as the backing exists
    bool read_only, sparse, named;
    bool is_callers_file; // of diskalloc_region_from_fd
    bool unsure;          // an answer was lost: what is below may be wrong until a refresh
    uint64_t size;        // the five as last heard of
    uint64_t used;
    uint32_t element_size;
    bool committed;
    struct ranges discarded;
    _Atomic uint64_t
        fresh_from; // with keeps_fd: the size that the last grow found; what is behind it nobody has written to yet
};

// All but close: 0 or a negative errno, reasons noted; on success the backing's fields are as they are now.
struct backing_ops {
    int (*grow)(struct backing *b, uint64_t size); // to at least SIZE
    // NULL: there is nothing to be gained.  Before SIZE is needed: 0, it was asked for or done; refused, or not now.  Nothing is noted.
    int (*grow_early)(struct backing *b, uint64_t size);
    // NULL: grow_early has done it.  1: it was granted; 0: nothing was on its way; -EAGAIN, where not WAITing: not answered yet; -EDQUOT: it was refused;
    // another errno: nobody knows.
    int (*settle_early)(struct backing *b, bool wait);
    int (*shrink)(struct backing *b, uint64_t size); // from b->size; -EAGAIN: that was not the size, b->size is
    // NULL: trying again is all that can be done.  Without the region's lock: waits until a grow to SIZE may succeed, and for
    // nothing else; UNTIL is of client/clock.h.
    int (*await_room)(struct backing *b, uint64_t size, uint64_t until);
    int (*discard)(struct backing *b, uint64_t offset, uint64_t length); // both: whole blocks within the size
    int (*restore)(struct backing *b, uint64_t offset, uint64_t length);
    int (*refresh)(struct backing *b);
    int (*commit)(struct backing *b, uint64_t used, uint32_t element_size, bool durable);
    // The next two are NULL where keeps_fd.  The region has mapped the file: the backing may close b->fd.
    void (*mapped)(struct backing *b);
    // A new descriptor of the file, or -errno.  KEEP: it becomes b->fd and stays the backing's, until close; otherwise it is the
    // caller's, who closes it.
    int (*open_file)(struct backing *b, bool keep);
    void (*close)(struct backing *b, bool inherited); // frees; an inherited one is left alone on the other side
};

struct backend {
    const struct backend_ops *ops;
};

struct backend_ops {
    int (*create)(struct backend *backend, const struct backing_request *q, struct backing **ret);
    int (*open)(struct backend *backend, const struct region_name *name, const struct backing_request *q,
                struct backing **ret);
    int (*attach)(struct backend *backend, const struct handle *handle, uint32_t flags, struct backing **ret);
    int (*unlink)(struct backend *backend, const struct region_name *name);
    int (*get_usage)(struct backend *backend, const char *subject, struct diskalloc_usage *ret);
    int (*event_fd)(struct backend *backend);
    int (*next_event)(struct backend *backend, struct diskalloc_event *ret); // 1, 0 or -errno
    void (*forked)(struct backend *backend); // in the child: locks made new, nothing shared with the parent is used
    void (*close)(struct backend *backend);
};
