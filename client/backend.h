// The seam between a region (address space, size, rules) and the provider of its file: a daemon, a directory, or the
// caller.  The code above this header cannot tell which of them it uses.
//
// A backend makes backings; a backing is one file.  Client and region call the functions; client/remote and
// client/local define them.  All functions but close return 0 or a negative errno, with the reason noted
// (client/util/error.h), unless something else is said.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/backing.h"
#include "proto/util/name.h"

struct region_name {
    char user[256]; // "": the caller
    char name[NAME_MAX_LENGTH + 1];
};

struct backing_request {
    uint64_t size;        // bytes
    uint32_t mode, flags; // permission bits; DISKALLOC_REGION_...
    // create: nobody needs the region yet.  It is refused where little would be left for others, and no connection is
    // waited for.
    bool early;
    bool at_once; // create: no connection is waited for
};

// A region that is cloned, as it was when that began.
struct clone_source {
    struct backing *backing; // used without its region's lock, as by await_room
    int fd;                  // of its file, where keeps_fd, with an offset of its own; else -1
    uint64_t size, used;     // bytes; used: of the last commit
    uint32_t element_size;   // bytes, of the last commit
    bool committed, sparse;
    struct ranges discarded;
};

enum { REGION_PAGE = 64 };

// Regions in the order of their handles.
struct region_page {
    size_t n; // fewer than REGION_PAGE: there may be more all the same
    bool more;
    struct handle last; // of the last one that was looked at
    struct handle handles[REGION_PAGE];
    struct diskalloc_region_info items[REGION_PAGE];
};

struct backend {
    const struct backend_ops *ops;
};

// Any thread may call them at any time.
struct backend_ops {
    int (*create)(struct backend *backend, const struct backing_request *q, struct backing **ret);
    int (*open)(struct backend *backend, const struct region_name *name, const struct backing_request *q,
                struct backing **ret);
    int (*attach)(struct backend *backend, const struct handle *handle, uint32_t flags, struct backing **ret);
    // A region that is a copy of SOURCE, with a name or without (NULL).  Of Q, mode and flags matter.
    int (*clone)(struct backend *backend, const struct clone_source *source, const struct region_name *name,
                 const struct backing_request *q, struct backing **ret);
    int (*unlink)(struct backend *backend, const struct region_name *name);
    int (*get_usage)(struct backend *backend, const char *subject, struct diskalloc_usage *ret);
    // The regions behind AFTER; NULL: the first ones.
    int (*list)(struct backend *backend, const struct handle *after, struct region_page *ret);
    int (*event_fd)(struct backend *backend);                                // the descriptor, or -errno
    int (*next_event)(struct backend *backend, struct diskalloc_event *ret); // 1: there was one; 0: none; -errno
    // In a forked child, by its one thread: makes the locks new and forgets everything that is shared with the parent.
    void (*forked)(struct backend *backend);
    void (*close)(struct backend *backend); // all backings are closed by now
};
