// The regions that exist, by handle and by name, and who has them attached.  Tables only: what touches the files is in op*.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/quota/quota.h"
#include "daemon/tree.h"
#include "proto/spill/record.h"
#include "proto/util/ranges.h"

struct op;
struct peer;
struct user;

struct attachment {
    struct region *region;
    struct peer *peer;
    bool read_only;
    TAILQ_ENTRY(attachment) of_region, of_peer;
};
TAILQ_HEAD(attachment_list, attachment);

enum region_state {
    REGION_BEING_MADE, // its file has no name yet
    REGION_LIVE,
    REGION_GONE, // out of the tables; exists until its queue of operations is empty
};

struct region {
    struct record record;
    uint64_t size;
    struct ranges discarded;    // whole blocks below size that are not granted
    struct quota_charge charge; // all that is granted of it: bytes and one region
    struct user *owner;         // a reference
    enum region_state state;
    struct attachment_list attachments;
    unsigned n_attachments;
    TAILQ_HEAD(, op) ops; // the first one is at work, the others wait for it
    unsigned n_parked;    // operations that wait for what a limit refused
    bool io_error_told;   // to the administrator
    int file;             // kept open between grows, see op_files.c; -1: it is not
    bool file_is_listed, file_was_used;
    TAILQ_ENTRY(region) with_file;
    bool maybe_shared; // found at start: others than those attached may map it
    // While nobody is attached and nothing keeps it: see orphans.c.
    bool orphaned, boot_is_over;
    bool releasing; // counted as about to give its charge back
    unsigned n_probes;
    uint64_t probe_at;
    TAILQ_ENTRY(region) orphan;
    RB_ENTRY(region) by_handle, by_name;
};
RB_HEAD(region_by_handle, region);
RB_HEAD(region_by_name, region);

struct region_table {
    struct region_by_handle by_handle;
    struct region_by_name by_name;
    uint64_t n_regions, n_orphans, n_releasing;
    TAILQ_HEAD(, region) with_file;
    unsigned n_files;
    uint32_t block_size;
};

void region_table_init(struct region_table *t, uint32_t block_size);
struct region *region_find(struct region_table *t, const struct handle *handle);
// The first region with a handle after AFTER (NULL: the first of all).
struct region *region_next(struct region_table *t, const struct handle *after);
struct region *region_find_name(struct region_table *t, uid_t owner, const char *name, size_t n);

// Into the tables, uncharged, with a reference to OWNER of its own.  NULL: no memory.
struct region *region_add(struct region_table *t, const struct record *record, struct user *owner);
// Out of the tables; gives its charge back.
void region_remove(struct region_table *t, struct region *r);
void region_free(struct region *r); // asserts that nobody is attached and nothing queued
void region_set_name(struct region_table *t, struct region *r, const char *name, size_t n); // n = 0: takes it away

// SIZE bytes rounded up to blocks: what they are charged as when nothing is discarded.  0, or -EOVERFLOW.
int region_charge_of(const struct region_table *t, uint64_t size, uint64_t *ret);
// Whether anybody but one who is attached may map it: then nothing of it is taken away.
bool region_is_shared(const struct region *r);
// Whether it is about to give its charge back, as far as one can see.
void region_set_releasing(struct region_table *t, struct region *r, bool releasing);
// Among those whose file is open.
void region_list_file(struct region_table *t, struct region *r, bool listed);
// Whether an operation on it is at work, queued or waiting for a limit.
bool region_is_busy(const struct region *r);
// Whether it goes when nobody holds it any more.
bool region_is_transient(const struct region *r);

struct attachment *region_attachment(const struct region *r, const struct peer *peer);
// 0 or -ENOMEM; one attachment a peer, made writable if either was.
int region_attach(struct region *r, struct peer *peer, struct attachment_list *of_peer, bool read_only);
void region_detach(struct attachment *a, struct attachment_list *of_peer);
