// The backend that needs no daemon: spill files in a directory.  An anonymous region is a file without a name
// (O_TMPFILE).  A named region is a file of that name, with the record that the daemon writes too.  Other files in
// the directory are never touched.
#include "client/local/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/local/blocks.h"
#include "client/local/lock.h"
#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/util/cleanup.h"

enum { OPEN_ATTEMPTS = 100 }; // other processes may make and unlink the same name meanwhile

// On btrfs, allocated blocks are kept for a file only if it is not copied on write.  That can be chosen while the
// file is empty.
static void avoid_copy_on_write(const struct local *l, int fd)
{
    int flags = 0;

    if (strcmp(l->guarantee.file_system, "btrfs") != 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= FS_NOCOW_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

// Makes a file without a name, of the size asked for.  The descriptor, or -errno.
static int make_file(const struct local *l, const struct backing_request *q, int flags)
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

static int local_create(struct backend *backend, const struct backing_request *q, struct backing **ret)
{
    struct local *l = (struct local *)backend;
    struct record record = {.flags = q->flags & DISKALLOC_REGION_SPARSE ? RECORD_SPARSE : 0};
    int r = handle_random(&record.handle), fd;

    if (r == 0)
        r = local_hold_directory(l);
    if (r == 0 && q->early)
        r = local_check_early(l->dir.fd, q->size);
    if (r < 0)
        return r;
    fd = make_file(l, q, O_EXCL);
    return fd < 0 ? fd : local_backing_new(l, fd, &record, q->flags, ret);
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

// The file gets its name last, when its size and its record are complete.
static int create_named(struct local *l, const char *name, const struct backing_request *q)
{
    _cleanup_close_ int fd = make_file(l, q, 0);
    struct record record = {
        .owner_uid = geteuid(),
        .owner_gid = getegid(),
        .mode = q->mode,
        .flags = q->flags & DISKALLOC_REGION_SPARSE ? RECORD_SPARSE : 0,
        .created = (uint64_t)time(NULL),
        .name_length = (uint8_t)strlen(name),
    };
    int r;

    if (fd < 0)
        return fd;
    strcpy(record.name, name);
    r = handle_random(&record.handle);
    // The mode comes before the record: setting an attribute needs the owner's write permission, which a umask may
    // have taken.
    if (r == 0 && fchmod(fd, q->mode | 0600) < 0)
        r = -errno;
    if (r == 0)
        r = record_store(&file_ops_system, fd, &record);
    if (r == -EOPNOTSUPP)
        return error_why(r, "this file system has no user extended attributes, and named regions need one");
    if (r == 0)
        r = give_name(l, fd, &record);
    return r < 0 && r != -EEXIST ? local_refused(l, r) : r;
}

static int open_existing(struct local *l, const struct region_name *name, uid_t owner, uint32_t flags,
                         struct backing **ret)
{
    bool read_only = flags & DISKALLOC_REGION_READ_ONLY;
    struct record record;
    int fd = local_open_named(l, name->name, owner, read_only, &record, NULL);

    return fd < 0 ? fd
                  : local_backing_new(l, fd, &record,
                                      flags & (DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_SOLE_WRITER), ret);
}

// A region is made in one's own name only.
static int check_creation(const struct region_name *name, uid_t owner)
{
    return owner == geteuid() ? 0 : error_why(-EACCES, "only %s can make regions of that user", name->user);
}

// ESTALE: the file was unlinked between its opening and its locking.  To this call the region does not exist.
static int local_open(struct backend *backend, const struct region_name *name, const struct backing_request *q,
                      struct backing **ret)
{
    struct local *l = (struct local *)backend;
    bool create = q->flags & DISKALLOC_REGION_CREATE, exclusive = q->flags & DISKALLOC_REGION_EXCLUSIVE;
    uid_t owner;
    int r = local_find_owner(name, &owner);

    if (r == 0)
        r = local_hold_directory(l);
    if (r == 0 && exclusive)
        r = local_check_absent(l, name->name);
    for (int i = 0; r == 0 && i < OPEN_ATTEMPTS; i++) {
        if (!exclusive || i > 0) {
            r = open_existing(l, name, owner, q->flags, ret);
            if (r == -ESTALE)
                r = -ENOENT;
            if (r != -ENOENT)
                return r;
            if (!create)
                return error_why(r, "there is no region %s", name->name);
        }
        r = check_creation(name, owner);
        if (r == 0)
            r = create_named(l, name->name, q);
        if (r == -EEXIST && !exclusive)
            r = 0;
        else if (r == -EEXIST)
            return error_why(r, "%s is there", name->name);
    }
    return r < 0 ? r : -EAGAIN;
}

static int local_attach(struct backend *backend, const struct handle *handle, uint32_t flags, struct backing **ret)
{
    struct local *l = (struct local *)backend;
    bool read_only = flags & DISKALLOC_REGION_READ_ONLY;
    struct record record = {.handle = *handle};
    int fd = local_reopen(handle, read_only), r = -ENODATA;

    if (fd >= 0)
        r = record_load(&file_ops_system, fd, &record);
    else if (fd == -ENOENT)
        fd = local_find_by_handle(l, handle, read_only, &record);
    if (fd < 0)
        return fd;
    if (r == -ENODATA || r == -EOPNOTSUPP)
        record.handle = *handle;
    error_forget();
    return local_backing_new(l, fd, &record, flags, ret);
}

static int local_unlink(struct backend *backend, const struct region_name *name)
{
    struct local *l = (struct local *)backend;
    struct record record;
    uid_t owner;
    int r = local_find_owner(name, &owner), fd;

    if (r == 0 && owner != geteuid() && geteuid() != 0)
        r = error_why(-EACCES, "only %s can unlink that user's regions", name->user);
    if (r == 0)
        r = local_hold_directory(l);
    if (r < 0)
        return r;
    fd = local_open_named(l, name->name, owner, true, &record, NULL);
    if (fd < 0)
        return fd;
    cleanup_close(&fd);
    r = file_ops_system.unlink_at(l->dir.fd, name->name, 0);
    if (r == 0 && local_needs_gate(&record))
        local_remove_gate(l, &record.handle);
    return r;
}

static int local_get_usage(struct backend *backend, const char *subject, struct diskalloc_usage *ret)
{
    struct local *l = (struct local *)backend;
    struct statvfs fs = {0};
    int r = local_hold_directory(l);

    if (r == 0)
        r = file_ops_system.stat_fs(l->dir.fd, &fs);
    if (r < 0)
        return r;
    if (subject)
        return error_why(-EOPNOTSUPP, "a directory knows no subjects");
    *ret = (struct diskalloc_usage){
        .bytes_limit = UINT64_MAX,
        .regions_limit = UINT64_MAX,
        .connections_limit = UINT64_MAX,
        .warn_bytes = UINT64_MAX,
        .grantable_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
    };
    local_count(&ret->regions, &ret->bytes);
    return 0;
}

// A directory has no events.  The program gets a descriptor that never becomes readable.
static int local_event_fd(struct backend *backend)
{
    struct local *l = (struct local *)backend;
    int r = 0, sock;

    fork_lock();
    if (!descriptor_is_ours(&l->no_events)) {
        sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        r = sock < 0 ? -errno : descriptor_keep(&l->no_events, sock);
    }
    fork_unlock();
    return r < 0 ? r : l->no_events.fd;
}

static int local_next_event(struct backend *backend, struct diskalloc_event *ret)
{
    (void)backend;
    (void)ret;
    return 0;
}

static void local_forked(struct backend *backend)
{
    pthread_mutex_init(&((struct local *)backend)->lock, NULL);
}

static void local_backend_close(struct backend *backend)
{
    struct local *l = (struct local *)backend;

    descriptor_close(&l->dir);
    descriptor_close(&l->no_events);
    pthread_mutex_destroy(&l->lock);
    free(l->path);
    free(l);
}

static const struct backend_ops local_backend_ops = {
    .create = local_create,
    .open = local_open,
    .attach = local_attach,
    .unlink = local_unlink,
    .get_usage = local_get_usage,
    .list = local_list,
    .event_fd = local_event_fd,
    .next_event = local_next_event,
    .forked = local_forked,
    .close = local_backend_close,
};

static int open_directory(struct local *l, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    if (fd < 0)
        return error_why(-errno, "%s", path);
    r = descriptor_keep(&l->dir, fd);
    if (r == 0)
        r = spillfile_probe(l->dir.fd, false, &l->guarantee);
    if (r == 0)
        local_keep_from_aging(l->dir.fd);
    return r < 0 ? error_why(r, "%s can't hold spill files", path) : 0;
}

int local_backend_new(const char *path, struct backend **ret)
{
    struct local *l = calloc(1, sizeof *l);
    int r;

    if (!l)
        return -ENOMEM;
    l->base.ops = &local_backend_ops;
    l->dir = l->no_events = DESCRIPTOR_NONE;
    pthread_mutex_init(&l->lock, NULL);
    l->path = strdup(path);
    r = l->path ? open_directory(l, path) : -ENOMEM;
    if (r < 0)
        local_backend_close(&l->base);
    else
        *ret = &l->base;
    return r;
}
