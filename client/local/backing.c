// A region of a directory.  Every change is made under a lock of the file (lock.h), and begins by reading the
// file's size: other processes may have changed it.
//
// The program may have closed the file's descriptor: see hold.c.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/local/blocks.h"
#include "client/local/local_internal.h"
#include "client/local/lock.h"
#include "client/util/discarded.h"
#include "client/util/error.h"
#include "proto/spill/holes.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

static int look_at_size(struct backing *b)
{
    struct local_backing *l = (struct local_backing *)b;
    struct stat st;
    int r = file_ops_system.stat(b->file.fd, &st);

    if (r < 0)
        return r;
    if (b->named && st.st_nlink == 0)
        return error_why(-ESTALE, "the region was unlinked");
    b->size = (uint64_t)st.st_size;
    l->record_is_due |= b->used > b->size;
    b->used = u64_min(b->used, b->size);
    local_count_bytes(l);
    return 0;
}

// Before the file grows: the record of an earlier shrink, which the disk had no room for.  With a shared lock others
// may be committing, and the record is theirs.
static int write_due_record(struct backing *b, enum local_lock lock)
{
    struct local_backing *l = (struct local_backing *)b;
    uint64_t before;
    int r;

    if (!l->record_is_due || lock == LOCK_SHARED)
        return 0;
    r = local_lower_used(b, b->size, &before);
    if (r < 0)
        return spill_refused(b->file.fd, r, 0);
    l->record_is_due = false;
    return 0;
}

static int grow_locked(struct backing *b, uint64_t size, enum local_lock lock)
{
    int r = look_at_size(b);

    b->fresh_from = b->size;
    if (r < 0 || b->size >= size)
        return r;
    r = write_due_record(b, lock);
    if (r < 0)
        return r;
    r = lock == LOCK_SHARED ? spill_grow_shared(b->file.fd, b->size, size, b->sparse)
                            : spill_grow(b->file.fd, b->size, size, b->sparse);
    if (r < 0)
        return r;
    b->size = size;
    local_count_bytes((struct local_backing *)b);
    return 0;
}

static int local_grow(struct backing *b, uint64_t size)
{
    int r = local_lock_change(b->file.fd, b->grow_until);

    if (r < 0)
        return r;
    r = grow_locked(b, size, (enum local_lock)r);
    local_unlock_change(b->file.fd);
    return r;
}

// A quarter of the disk must stay free, for users that need space now.
int local_check_early(int fd, uint64_t bytes)
{
    struct statvfs fs;
    int r = file_ops_system.stat_fs(fd, &fs);

    if (r < 0)
        return r;
    return bytes + (uint64_t)fs.f_blocks / 4 * fs.f_frsize > (uint64_t)fs.f_bavail * fs.f_frsize ? -EDQUOT : 0;
}

// No daemon has to be asked: the file grows before this returns.  Nothing is waited for.
static int local_grow_early(struct backing *b, uint64_t size)
{
    int r = local_check_early(b->file.fd, size - b->size);

    b->grow_until = 1;
    if (r == 0)
        r = local_grow(b, size);
    b->grow_until = 0;
    return r == -ENOSPC ? -EDQUOT : r;
}

// The record comes first: a call that fails there has changed nothing.  A full disk may have no room for it before the
// file is cut, nor afterwards if others are quicker: then whoever reads the record takes no more of it than the file
// has, and the next grow writes it first.  A truncate that fails may have cut the file all the same.
static int shrink_alone(struct backing *b, uint64_t size)
{
    uint64_t used = 0;
    int r = look_at_size(b), lowered;

    if (r < 0)
        return r;
    if (b->size < size)
        return -EAGAIN;
    lowered = local_lower_used(b, size, &used);
    if (lowered < 0 && lowered != -ENOSPC && lowered != -EDQUOT)
        return lowered;
    r = file_ops_system.truncate(b->file.fd, size);
    if (r < 0) {
        look_at_size(b);
        local_raise_used_again(b, used);
        return r;
    }
    b->size = size;
    local_count_bytes((struct local_backing *)b);
    ranges_cut(&b->discarded, size);
    if (lowered < 0) {
        ((struct local_backing *)b)->record_is_due = local_lower_used(b, size, &used) < 0;
        b->used = u64_min(b->used, size);
    }
    return 0;
}

static int local_shrink(struct backing *b, uint64_t size)
{
    int r = local_lock_alone(b->file.fd);

    if (r == -EBUSY)
        return error_why(r, "others have the region attached");
    if (r < 0)
        return r;
    r = shrink_alone(b, size);
    local_lock_attach(b->file.fd);
    return r;
}

static int discard_alone(struct backing *b, uint64_t offset, uint64_t length)
{
    int r = look_at_size(b);

    if (r == 0)
        r = local_note_holes(b);
    return r < 0 ? r : spill_discard(b->file.fd, &b->discarded, offset, length);
}

static int local_discard(struct backing *b, uint64_t offset, uint64_t length)
{
    int r;

    if (!((struct local_backing *)b)->can_discard)
        return error_why(-EOPNOTSUPP, "this file system can't tell later what was discarded");
    r = local_lock_alone(b->file.fd);
    if (r == -EBUSY)
        return error_why(r, "others have the region attached");
    if (r < 0)
        return r;
    r = discard_alone(b, offset, length);
    local_lock_attach(b->file.fd);
    return r;
}

// The holes of the file are filled, not the ones in b->discarded: another process may have restored them already, and
// may use them.
static int restore_locked(struct backing *b, uint64_t offset, uint64_t length, enum local_lock lock)
{
    struct ranges holes = {0}, without = {0};
    int r = look_at_size(b);

    if (r == 0)
        r = discarded_without(&b->discarded, offset, length, &without);
    if (r < 0)
        return r;
    r = spillfile_read_holes(b->file.fd, b->size, DISCARD_BLOCK, &holes);
    if (r == 0)
        r = spill_restore(b->file.fd, &holes, offset, length, lock == LOCK_SHARED);
    ranges_deinit(&holes);
    discarded_replace(&b->discarded, &without, r);
    return r;
}

static int local_restore(struct backing *b, uint64_t offset, uint64_t length)
{
    int r = local_lock_change(b->file.fd, 0);

    if (r < 0)
        return r;
    r = restore_locked(b, offset, length, (enum local_lock)r);
    local_unlock_change(b->file.fd);
    return r;
}

// Other processes may have committed, or restored discarded parts.
static int local_refresh(struct backing *b)
{
    struct ranges holes = {0};
    struct record record;
    int r = look_at_size(b);

    local_keep_from_aging(b->file.fd);
    if (r == 0 && record_load(&file_ops_system, b->file.fd, &record) == 0) {
        local_take_committed(b, &record);
        b->used = u64_min(b->used, b->size);
    }
    if (r < 0 || b->discarded.n == 0)
        return r;
    r = spillfile_read_holes(b->file.fd, b->size, DISCARD_BLOCK, &holes);
    discarded_replace(&b->discarded, &holes, r);
    return r;
}

static int local_commit(struct backing *b, uint64_t used, uint32_t element_size, bool durable)
{
    struct record before;
    bool has_record;
    int r = local_lock_change(b->file.fd, 0);

    if (r < 0)
        return r;
    r = look_at_size(b);
    has_record = r == 0 && record_load(&file_ops_system, b->file.fd, &before) == 0;
    if (r == 0)
        r = local_store_used(b, used, element_size);
    local_unlock_change(b->file.fd);
    // Without extended attributes the length is kept in memory only: just this process and its children can open an
    // anonymous region.
    if (r == -EOPNOTSUPP && !b->named)
        r = 0;
    if (r == 0 && durable) {
        r = local_sync((struct local_backing *)b);
        if (r < 0 && has_record)
            local_take_commit_back(b, used, &before);
    }
    if (r < 0)
        return r;
    b->used = used;
    b->element_size = element_size;
    b->committed = true;
    return 0;
}

static void local_close(struct backing *b, bool inherited)
{
    struct local_backing *l = (struct local_backing *)b;

    (void)inherited;
    local_unlist(l);
    local_leave_gate(l);
    descriptor_close(&b->file);
    ranges_deinit(&b->discarded);
    free(l);
}

// Others may have the region attached by now: then it stays.
static void local_abandon(struct backing *b)
{
    const struct local_backing *l = (struct local_backing *)b;
    struct record record;
    struct stat st;

    if (local_lock_alone(b->file.fd) == 0 && record_load(&file_ops_system, b->file.fd, &record) == 0 &&
        file_ops_system.stat(b->file.fd, &st) == 0 && strcmp(record.name, l->name) == 0)
        local_remove_made(l->local, &record, st.st_ino);
    local_close(b, false);
}

static const struct backing_ops local_backing_ops = {
    .grow = local_grow,
    .grow_early = local_grow_early,
    .shrink = local_shrink,
    .discard = local_discard,
    .restore = local_restore,
    .refresh = local_refresh,
    .commit = local_commit,
    .hold = local_hold,
    .close = local_close,
    .abandon = local_abandon,
};

// Takes over what the record says.
static void take_record(struct backing *b, const struct record *record)
{
    b->handle = record->handle;
    b->named = record->name_length > 0;
    b->sparse = record->flags & RECORD_SPARSE;
    strcpy(((struct local_backing *)b)->name, record->name);
    ((struct local_backing *)b)->needs_gate = local_needs_gate(record);
    local_take_committed(b, record);
}

// The record was read before the lock of a writer was had.  Another writer may have committed and closed the region in
// between: a sole writer would then take the region for empty, and others would write behind an older commit.
static int load_again(struct local_backing *l, struct record *ret)
{
    int r = record_load(&file_ops_system, l->base.file.fd, ret);

    if (r < 0)
        return error_why(r, "reading the region's record");
    take_record(&l->base, ret);
    return 0;
}

// The file may be a sparse copy of a region (cp --sparse, rsync -S, tar -S): zeros have become holes.  Where nothing is
// promised, it may share its blocks with a clone (clone.c), which is not undone.
static int fill_holes(const struct local *from, struct backing *b)
{
    const struct ranges none = {0};
    uint64_t empty;

    if (b->sparse || b->read_only)
        return 0;
    if (!local_is_hard(from) && holes_count_empty(b->file.fd, 0, b->size, &none, &empty) == 0 && empty == 0)
        return 0;
    return spill_fill_holes(b->file.fd, 0, b->size, &none, 0);
}

// The discarded parts are the holes of the file, if its record says that it has any.  A copy has lost the difference
// between them and zeros: all of it has blocks again.
static int look_at_holes(const struct local *from, struct local_backing *l, const struct record *record)
{
    struct backing *b = &l->base;
    bool has_holes = record->flags & RECORD_HAS_HOLES, is_copy = has_holes && local_is_copy(b->file.fd, record);
    int r;

    if (has_holes && !is_copy)
        return spillfile_read_holes(b->file.fd, b->size, DISCARD_BLOCK, &b->discarded);
    r = b->named ? fill_holes(from, b) : 0;
    return r == 0 && is_copy && !b->read_only ? local_forget_holes(b) : r;
}

int local_backing_new(struct local *from, int fd, const struct record *record, uint32_t flags, struct backing **ret)
{
    _cleanup_close_ int owned = fd;
    _cleanup_free_ struct local_backing *l = calloc(1, sizeof *l);
    struct descriptor file = DESCRIPTOR_NONE;
    struct record fresh;
    int r = l ? local_lock_attach(fd) : -ENOMEM;

    if (r == 0)
        r = descriptor_keep(&file, steal_fd(&owned));
    if (r < 0)
        return r;
    l->base = (struct backing){
        .ops = &local_backing_ops,
        .file = file,
        .keeps_fd = true,
        .agreed_to = UINT64_MAX,
        .read_only = flags & DISKALLOC_REGION_READ_ONLY,
        .sparse = flags & DISKALLOC_REGION_SPARSE,
    };
    l->local = from;
    l->sole_writer = flags & DISKALLOC_REGION_SOLE_WRITER;
    l->can_discard = from->guarantee.can_discard && from->guarantee.can_allocate;
    take_record(&l->base, record);
    local_keep_from_aging(file.fd);
    r = local_lock_writer(l);
    if (r == 0 && l->base.named && !l->base.read_only) {
        r = load_again(l, &fresh);
        record = &fresh;
    }
    if (r == 0)
        r = look_at_size(&l->base);
    if (r == 0)
        r = look_at_holes(from, l, record);
    if (r < 0) {
        local_leave_gate(l);
        descriptor_close(&l->base.file);
        local_uncount_bytes(l);
        ranges_deinit(&l->base.discarded);
        return r;
    }
    local_enlist(l);
    *ret = &steal(&l)->base;
    return 0;
}
