// The gate of a region: an empty file beside the region's file, on which writers lock each other out.
//
// Whoever may read a file can take read locks on it, and keep them for ever.  In a directory that several users share,
// a reader of a region could so keep a sole writer away.  So a region whose mode lets some users read and not write
// gets a gate, ".HANDLE.lock", which only those can open who may write to the region.
//
//   - The gate is made together with the region.  Its name has the region's handle, which is random, so nobody can take
//     the name before.
//   - Each writer holds a read lock on the gate, a sole writer the write lock.  The locks on the region's file (lock.h)
//     are taken too, but a read lock there keeps no sole writer out.
//   - A region without a gate has the locks on its file only: where nobody may read without writing, where an older
//     version made the region, or where the gate was removed.  A sole writer then gives way to any lock.  A file of
//     that name that does not belong to the region's owner is no gate, and is not opened.
//
// The open gate is kept by a mapping, not by a descriptor.  So the lock stays when the program closes all descriptors,
// and as long as a forked child has the region.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/local/local_internal.h"
#include "client/local/lock.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"
#include "proto/util/page.h"

enum { GATE_NAME_SIZE = 1 + HANDLE_TEXT_LENGTH + sizeof ".lock" };

bool local_needs_gate(const struct record *record)
{
    uint32_t read = record->mode & 0044, write = record->mode & 0022;

    return record->name_length > 0 && (read & ~(write << 1)) != 0;
}

static const char *name_gate(const struct handle *handle, char name[static GATE_NAME_SIZE])
{
    char text[HANDLE_TEXT_LENGTH + 1];

    handle_format(handle, text);
    snprintf(name, GATE_NAME_SIZE, ".%s.lock", text);
    return name;
}

int local_make_gate(const struct local *l, const struct record *record)
{
    char name[GATE_NAME_SIZE];
    uint32_t write = record->mode & 0222;
    _cleanup_close_ int fd = file_ops_system.open_at(l->dir.fd, name_gate(&record->handle, name),
                                                     O_RDWR | O_CREAT | O_EXCL | O_NOCTTY, 0600);

    if (fd < 0)
        return fd;
    if (fchmod(fd, 0600 | write | write << 1) == 0)
        return 0;
    local_remove_gate(l, &record->handle);
    return error_why(-EIO, "the mode of the region's lock file can't be set");
}

void local_remove_gate(const struct local *l, const struct handle *handle)
{
    char name[GATE_NAME_SIZE];

    file_ops_system.unlink_at(l->dir.fd, name_gate(handle, name), 0);
}

static bool is_gate(const struct stat *st, uid_t owner)
{
    return S_ISREG(st->st_mode) && st->st_uid == owner && st->st_nlink == 1;
}

// Before the file is opened: somebody else's file may be closed to this user, or have a lease, or be a pipe.
static bool has_gate(const struct local *l, const char *name, uid_t owner)
{
    struct stat st;

    return fstatat(l->dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_gate(&st, owner);
}

// A region can be attached by its handle through the client of another directory, which does not have the gate.
static int check_directory(const struct local_backing *b)
{
    struct stat region, named;
    int r = file_ops_system.stat(b->base.file.fd, &region);

    if (r < 0 || region.st_nlink == 0)
        return r;
    if (fstatat(b->local->dir.fd, b->name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == region.st_ino &&
        named.st_dev == region.st_dev)
        return 0;
    return error_why(-EOPNOTSUPP, "a region is attached for writing through a client of its own directory");
}

// The descriptor; -ENOENT: there is no gate; -errno.
static int open_gate(const struct local_backing *b)
{
    char name[GATE_NAME_SIZE];
    _cleanup_close_ int fd = -1;
    struct stat region = {0}, st;
    int r = check_directory(b);

    if (r == 0)
        r = file_ops_system.stat(b->base.file.fd, &region);
    if (r < 0)
        return r;
    name_gate(&b->base.handle, name);
    if (!has_gate(b->local, name, region.st_uid))
        return -ENOENT;
    fd = file_ops_system.open_at(b->local->dir.fd, name, O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0 && !has_gate(b->local, name, region.st_uid)) // it has just been replaced
        return -ENOENT;
    if (fd == -EACCES)
        return error_why(fd, "the region's lock file %s is closed to this user", name);
    if (fd < 0)
        return fd;
    r = file_ops_system.stat(fd, &st);
    if (r < 0)
        return r;
    return is_gate(&st, region.st_uid) ? steal_fd(&fd) : -ENOENT;
}

static int enter(struct local_backing *b, int fd)
{
    int r = local_lock_writing(fd, b->sole_writer, false);
    void *page;

    if (r == -EBUSY)
        return error_why(r, b->sole_writer ? "another user has the region for writing"
                                           : "another user is the region's sole writer");
    if (r < 0)
        return r;
    local_keep_from_aging(fd);
    page = mmap(NULL, page_size(), PROT_NONE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    b->gate = page;
    return 0;
}

int local_enter_gate(struct local_backing *b)
{
    _cleanup_close_ int fd = -1;
    int r;

    if (!b->needs_gate || b->gate)
        return b->gate ? 1 : 0;
    r = local_hold_directory(b->local);
    if (r < 0)
        return r;
    fd = open_gate(b);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = enter(b, fd);
    return r < 0 ? r : 1;
}

void local_leave_gate(struct local_backing *b)
{
    if (b->gate)
        munmap(b->gate, page_size());
    b->gate = NULL;
}
