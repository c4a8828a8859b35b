// Making the file of a region: without a name first, and complete when it gets its name.
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/local/blocks.h"
#include "client/local/local_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"

static bool is_btrfs(const struct local *l)
{
    return strcmp(l->guarantee.file_system, "btrfs") == 0;
}

bool local_is_hard(const struct local *l)
{
    return l->guarantee.hard || is_btrfs(l);
}

// On btrfs, allocated blocks are kept for a file only if it is not copied on write.  That can be chosen while the
// file is empty.
static void avoid_copy_on_write(const struct local *l, int fd)
{
    int flags = 0;

    if (!is_btrfs(l) || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= FS_NOCOW_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int local_make_file(const struct local *l, const struct backing_request *q, int flags)
{
    _cleanup_close_ int fd = openat(l->dir.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);
    int r = 0;

    if (fd < 0)
        return local_refused(l, -errno);
    avoid_copy_on_write(l, fd);
    if (q->size > 0)
        r = spill_grow(fd, 0, q->size, q->flags & DISKALLOC_REGION_SPARSE);
    return r < 0 ? r : steal_fd(&fd);
}

// Makes the gate, too.  A gate without a region keeps nobody out.
static int give_name(const struct local *l, int fd, const struct record *record)
{
    bool gate = local_needs_gate(record);
    int r = gate ? local_make_gate(l, record) : 0;

    if (r < 0)
        return r;
    r = file_ops_system.link_at(fd, l->dir.fd, record->name);
    if (r < 0 && gate)
        local_remove_gate(l, &record->handle);
    return r;
}

int local_remove_name(const struct local *l, const struct record *record)
{
    int r = file_ops_system.unlink_at(l->dir.fd, record->name, 0);

    if (r == 0 && local_needs_gate(record))
        local_remove_gate(l, &record->handle);
    return r;
}

void local_remove_made(const struct local *l, const struct record *record, ino_t inode)
{
    struct stat st;

    if (fstatat(l->dir.fd, record->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode)
        local_remove_name(l, record);
}

// The file gets its name last, when its size and its record are complete.
int local_name_file(const struct local *l, int fd, const struct record *record)
{
    int r = 0;

    // The mode comes before the record: setting an attribute needs the owner's write permission, which a umask may
    // have taken.
    if (fchmod(fd, record->mode | 0600) < 0)
        r = -errno;
    if (r == 0)
        r = record_store(&file_ops_system, fd, record);
    if (r == -EOPNOTSUPP)
        return error_why(r, "this file system has no user extended attributes, and named regions need one");
    if (r == 0)
        r = give_name(l, fd, record);
    return r < 0 && r != -EEXIST ? local_refused(l, r) : r;
}

int local_new_record(const char *name, const struct backing_request *q, bool sparse, struct record *ret)
{
    *ret = (struct record){
        .owner_uid = geteuid(),
        .owner_gid = getegid(),
        .mode = q->mode,
        .flags = sparse ? RECORD_SPARSE : 0,
        .created = (uint64_t)time(NULL),
        .name_length = (uint8_t)strlen(name),
    };
    strcpy(ret->name, name);
    return handle_random(&ret->handle);
}
