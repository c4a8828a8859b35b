// The record of a region of a directory: an extended attribute of the region's file (proto/spill/record), which other
// processes read when they open the file.
#include <errno.h>
#include <unistd.h>

#include "client/local/local_internal.h"
#include "client/local/lock.h"
#include "proto/spill/file_id.h"

// An anonymous region has no record until it needs one.
static int load_or_make_record(const struct backing *b, struct record *ret)
{
    int r = record_load(&file_ops_system, b->file.fd, ret);

    if (r != -ENODATA || b->named)
        return r;
    *ret = (struct record){
        .handle = b->handle,
        .owner_uid = geteuid(),
        .owner_gid = getegid(),
        .mode = 0600,
        .flags = b->sparse ? RECORD_SPARSE : 0,
    };
    return 0;
}

int local_store_used(struct backing *b, uint64_t used, uint32_t element_size)
{
    struct record record;
    int r = load_or_make_record(b, &record);

    if (r < 0)
        return r;
    record.used = used;
    record.element_size = element_size;
    record.flags |= RECORD_COMMITTED;
    return record_store(&file_ops_system, b->file.fd, &record);
}

int local_note_holes(struct backing *b)
{
    struct record record;
    int r = load_or_make_record(b, &record);

    if (r < 0 || record.flags & RECORD_HAS_HOLES)
        return r;
    record.flags |= RECORD_HAS_HOLES;
    record.file_id = local_file_id(b->file.fd);
    return record_store(&file_ops_system, b->file.fd, &record);
}

uint64_t local_file_id(int fd)
{
    struct stat st;

    return file_ops_system.stat(fd, &st) < 0 ? 0 : file_id(fd, &st);
}

bool local_is_copy(int fd, const struct record *record)
{
    return record->file_id != 0 && record->file_id != local_file_id(fd);
}

int local_forget_holes(struct backing *b)
{
    struct record record;
    int r = local_lock_change(b->file.fd, 0);

    if (r < 0)
        return r;
    r = record_load(&file_ops_system, b->file.fd, &record);
    // Unless another process has done so, and has discarded parts of its own since.
    if (r == 0 && record.flags & RECORD_HAS_HOLES && local_is_copy(b->file.fd, &record)) {
        record.flags &= ~(uint32_t)RECORD_HAS_HOLES;
        r = record_store(&file_ops_system, b->file.fd, &record);
    }
    local_unlock_change(b->file.fd);
    return r;
}

void local_take_committed(struct backing *b, const struct record *record)
{
    b->committed = record->flags & RECORD_COMMITTED;
    if (b->committed) {
        b->used = record->used;
        b->element_size = record->element_size;
    }
}

int local_lower_used(struct backing *b, uint64_t size, uint64_t *ret_before)
{
    struct record record;
    int r = b->committed ? record_load(&file_ops_system, b->file.fd, &record) : -ENODATA;

    *ret_before = r < 0 ? 0 : record.used;
    if (r == -ENODATA || r == -EOPNOTSUPP || (r == 0 && record.used <= size))
        return 0;
    if (r == 0)
        r = local_store_used(b, size, record.element_size);
    if (r == 0)
        b->used = size;
    return r;
}

void local_raise_used_again(struct backing *b, uint64_t used)
{
    if (used > b->used && used <= b->size && local_store_used(b, used, b->element_size) == 0)
        b->used = used;
}

int local_sync(struct local_backing *l)
{
    int r = file_ops_system.sync(l->base.file.fd);

    if (r < 0 || !l->name[0])
        return r;
    r = local_hold_directory(l->local);
    return r < 0 ? r : file_ops_system.sync(l->local->dir.fd);
}

void local_take_commit_back(struct backing *b, uint64_t used, const struct record *before)
{
    struct record now;

    if (local_lock_change(b->file.fd, 0) < 0)
        return;
    if (record_load(&file_ops_system, b->file.fd, &now) == 0 && now.used == used)
        record_store(&file_ops_system, b->file.fd, before);
    local_unlock_change(b->file.fd);
}
