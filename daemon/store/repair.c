// Makes a file of the spill directory what its record says, at start.
//
// The record says how many bytes are granted.  The file may differ: the daemon may have been killed in the middle of
// a grow or a shrink; a client may have changed the size, or taken blocks, by the descriptor that it has; the spill
// directory may have been copied by a program that makes holes of zeros (rsync -S, tar -S, cp --sparse) or shares the
// blocks (cp --reflink).  So the file is cut, or made longer, to the granted size; blocks that nobody is charged for
// are dropped; and holes that are not discarded parts get blocks.  If the disk has no room for them, the region is
// reported.
//
// Blocks below the granted size are looked for only if the file is a copy (file_id is not the record's), too short,
// or has fewer blocks than it must have: so a start with very many regions asks the kernel for the extents of few of
// them.
//
// Most of that happens during the scan.  Only files that a process uses are left for later, when the daemon does it
// as an operation on the region (op/repair.c): the lock of such a file may be held for ever.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/store/store_internal.h"
#include "proto/spill/file_id.h"
#include "proto/spill/holes.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

// Bytes that a file may own beyond its size, for metadata of the file system.
enum { BLOCK_SLACK = 64 * 1024 };

static void complain(const struct store_entry *e, const char *what, int error)
{
    log_warning("%s/%s/%s: %s: %s", e->store->dir, e->dir, e->name, what, strerror(-error));
}

// A descriptor for writing.  The file is opened a second time for that, because most files need no change.
static int open_for_change(const struct store_entry *e)
{
    return store_open_file(e->store, e->region.record.owner_uid, &e->region.record.handle, O_RDWR);
}

// An older daemon believed the size of the file.  A size that the disk cannot have is not believed: blocks end before.
static uint64_t granted_by_older_daemon(const struct store_entry *e)
{
    const uint64_t size = (uint64_t)e->st.st_size;
    struct store_space space;
    struct ranges holes = {0};
    uint64_t end = size;

    if (e->region.record.flags & RECORD_SPARSE || store_space(e->store, &space) < 0 || size <= space.total)
        return size;
    if (spillfile_read_holes(e->fd, size, e->store->block_size, &holes) == 0 && holes.n > 0 &&
        holes.items[holes.n - 1].offset + holes.items[holes.n - 1].length >= size)
        end = holes.items[holes.n - 1].offset;
    ranges_deinit(&holes);
    return end;
}

// Whether the file is another one than the record was written for: the spill directory was copied.  Copying can turn
// zeros into holes.
static bool is_copy(const struct store_entry *e)
{
    uint64_t noted = e->region.record.file_id;

    // Earlier daemons noted the inode number.
    return noted != 0 && noted != e->id && noted != e->st.st_ino;
}

// The bytes of blocks that the file must have.
static uint64_t charged_bytes(const struct store_entry *e)
{
    return align_up(e->region.size, e->store->block_size) - e->region.discarded.sum;
}

// Must be asked before the file is opened for writing: a lease is refused while it is.
static bool needs_blocks(const struct store_entry *e)
{
    if (e->region.record.flags & RECORD_SPARSE || !e->store->guarantee.can_allocate)
        return false;
    if (!is_copy(e) && (uint64_t)e->st.st_size >= e->region.size && (uint64_t)e->st.st_blocks * 512 >= charged_bytes(e))
        return false;
    // An anonymous region that nobody maps will be removed: it is not filled before.
    return e->region.record.name_length > 0 || store_is_unused(e->fd) != 1;
}

// The file has another size than what is granted, or blocks behind its end: a grow or shrink has not ended, or a client
// went round the daemon.
static bool has_wrong_end(const struct store_entry *e)
{
    uint64_t charged = charged_bytes(e);

    return (uint64_t)e->st.st_size != e->region.size ||
           (uint64_t)e->st.st_blocks * 512 > charged + charged / 256 + BLOCK_SLACK;
}

// Makes blocks exist for every granted byte.
static void repair_blocks(struct store_entry *e, int fd)
{
    int r = holes_fill(e->store->ops, fd, 0, e->region.size, &e->region.discarded);

    e->region.lacks_blocks = r < 0;
    if (r < 0)
        complain(e, "some granted bytes have no blocks on the disk, and storing to them may fail", r);
    else
        log_notice("%s/%s/%s: granted bytes had no blocks on the disk; they have them now", e->store->dir, e->dir,
                   e->name);
}

// The discarded parts are the holes of the file, if it has any by its record.  A copy has lost the difference between
// them and zeros: all of it is granted again.
static void find_discarded(struct store_entry *e)
{
    struct record *record = &e->region.record;
    int r;

    if (!(record->flags & RECORD_HAS_HOLES))
        return;
    if (is_copy(e)) {
        record->flags &= ~(uint32_t)RECORD_HAS_HOLES;
        return;
    }
    // Bytes behind the end of the file are no discarded part: a client has cut them off.
    r = spillfile_read_holes(e->fd, u64_min(e->region.size, (uint64_t)e->st.st_size), e->store->block_size,
                             &e->region.discarded);
    if (r < 0)
        complain(e, "cannot tell what of it is discarded", r);
}

// A file that is in use can be pinned: a process that has it open holds its lock, and everything that needs the lock
// hangs.  That is left to store_repair, on a worker.
static bool is_left_for_later(struct store_entry *e)
{
    const struct record *record = &e->region.record;
    bool wants = record->granted == RECORD_UNKNOWN_SIZE || record->file_id != e->id ||
                 record->flags & RECORD_HAS_HOLES || e->store->lock.is_haunted || has_wrong_end(e) || needs_blocks(e);

    return wants && store_is_unused(e->fd) != 1;
}

static void repair(struct store_entry *e)
{
    struct record *record = &e->region.record;
    bool stale_record, lacks, wrong_end;
    _cleanup_close_ int fd = -1;
    int r = 0;

    stale_record = record->granted != e->region.size || record->file_id != e->id;
    find_discarded(e);
    lacks = needs_blocks(e);
    wrong_end = lacks || has_wrong_end(e);
    if (!stale_record && !lacks && !wrong_end)
        return;
    fd = open_for_change(e);
    if (fd >= 0 && wrong_end)
        r = store_truncate(e->store, fd, e->region.size);
    if (fd < 0 || r < 0)
        complain(e, "cannot make it as long as its record says", fd < 0 ? fd : r);
    if (fd >= 0 && lacks)
        repair_blocks(e, fd);
    record->granted = e->region.size;
    record->file_id = e->id;
    r = fd >= 0 && stale_record ? store_write_record(e->store, fd, record) : 0;
    if (r < 0)
        complain(e, "cannot write its record", r);
}

void repair_entry(struct store_entry *e)
{
    const uint64_t granted = e->region.record.granted;

    e->region.size = granted == RECORD_UNKNOWN_SIZE ? (uint64_t)e->st.st_size : granted;
    e->region.needs_repair = is_left_for_later(e);
    if (e->region.needs_repair) {
        // Nothing that may hang: blocks end at the end of the file, as a rule.
        if (granted == RECORD_UNKNOWN_SIZE)
            e->region.size = u64_min(e->region.size, (uint64_t)e->st.st_blocks * 512);
        return;
    }
    if (granted == RECORD_UNKNOWN_SIZE)
        e->region.size = granted_by_older_daemon(e);
    repair(e);
}

// The call in which a thread of a former daemon hangs comes first: the kernel gives the lock to those that wait for a
// long time in their order.  The record that it may write is replaced by this one.
static int wait_for_ghosts(struct store_entry *e)
{
    _cleanup_close_ int fd = open_for_change(e);

    return fd < 0 ? fd : store_write_record(e->store, fd, &e->region.record);
}

int store_repair(struct store *s, struct store_found *region)
{
    const struct record *record = &region->record;
    char dir[16], name[HANDLE_TEXT_LENGTH + 1];
    struct store_entry e = {.store = s, .dir = dir, .name = name, .region = *region};
    int r = 0;

    snprintf(dir, sizeof dir, "%u", record->owner_uid);
    handle_format(&record->handle, name);
    e.region.discarded = (struct ranges){0};
    e.fd = store_open_file(s, record->owner_uid, &record->handle, O_RDONLY);
    if (e.fd < 0)
        return e.fd;
    if (s->lock.is_haunted)
        r = wait_for_ghosts(&e);
    if (r == 0)
        r = s->ops->stat(e.fd, &e.st);
    if (r == 0) {
        e.id = file_id(e.fd, &e.st);
        if (record->granted == RECORD_UNKNOWN_SIZE)
            e.region.size = granted_by_older_daemon(&e);
        repair(&e);
        e.region.needs_repair = false;
        *region = e.region;
    }
    close(e.fd);
    return r;
}
