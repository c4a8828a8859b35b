// The backend that needs no daemon: spill files in a directory.  An anonymous region is a file without a name (O_TMPFILE).  A named region
// is a file of that name, with the record that the daemon writes too.  Other files in the directory are never touched.
#include "client/local/local_internal.h"

#include <dirent.h>
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
#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

enum { OPEN_ATTEMPTS = 100 }; // other processes may make and unlink the same name meanwhile

// On btrfs, allocated blocks are kept for a file only if it is not copied on write.  That can be chosen while the file is empty.
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
        return error_why(-errno, "making a spill file");
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
    if (r < 0)
        return r;
    fd = make_file(l, q, O_EXCL);
    return fd < 0 ? fd : local_backing_new(l, fd, &record, q->flags, ret);
}

static int check_user(const struct region_name *name)
{
    _cleanup_free_ char *own = NULL;
    uid_t uid;
    gid_t gid;

    if (name->user[0] == '\0' || (id_parse(name->user, &uid) && uid == geteuid()))
        return 0;
    if (nss_read_user(geteuid(), &own, &gid) == 0 && strcmp(name->user, own) == 0)
        return 0;
    return error_why(-EOPNOTSUPP, "a directory has only one's own regions, none of %s", name->user);
}

// Opens the file NAME if it is a region, and reads its record.  The descriptor, or -errno.
static int open_record(const struct local *l, const char *name, bool read_only, struct record *ret)
{
    int access = read_only ? O_RDONLY : O_RDWR;
    _cleanup_close_ int fd = file_ops_system.open_at(l->dir.fd, name, access | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    int r;

    // ELOOP, ENXIO, EISDIR: a symlink, a socket, a directory.
    if (fd == -ELOOP || fd == -ENXIO || fd == -EISDIR)
        return error_why(-EEXIST, "%s is there and no region", name);
    if (fd < 0)
        return error_why(fd, "%s", name);
    r = file_ops_system.stat(fd, &st);
    if (r < 0)
        return r;
    r = S_ISREG(st.st_mode) ? record_load(&file_ops_system, fd, ret) : -ENODATA;
    if (r == -EPROTONOSUPPORT)
        return error_why(-EEXIST, "%s was made by a newer version", name);
    if (r == 0 && strcmp(ret->name, name) != 0)
        r = -ENODATA;
    if (r == -ENODATA || r == -EBADMSG || r == -EOPNOTSUPP)
        return error_why(-EEXIST, "%s is there and no region", name);
    return r < 0 ? r : steal_fd(&fd);
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
    // The mode comes before the record: setting an attribute needs the owner's write permission, which a umask may have taken.
    if (r == 0 && fchmod(fd, q->mode | 0600) < 0)
        r = -errno;
    if (r == 0)
        r = record_store(&file_ops_system, fd, &record);
    if (r == -EOPNOTSUPP)
        error_why(r, "this file system has no user extended attributes, and named regions need one");
    return r < 0 ? r : file_ops_system.link_at(fd, l->dir.fd, name);
}

static int open_existing(struct local *l, const char *name, uint32_t flags, struct backing **ret)
{
    struct record record;
    int fd = open_record(l, name, flags & DISKALLOC_REGION_READ_ONLY, &record);

    return fd < 0 ? fd : local_backing_new(l, fd, &record, flags & DISKALLOC_REGION_READ_ONLY, ret);
}

static int refuse_existing(struct local *l, const char *name)
{
    struct record record;
    _cleanup_close_ int fd = open_record(l, name, true, &record);

    return fd == -ENOENT ? 0 : fd < 0 && fd != -EACCES ? fd : error_why(-EEXIST, "%s is there", name);
}

// ESTALE: the file was unlinked between its opening and its locking.  To this call the region does not exist.
static int local_open(struct backend *backend, const struct region_name *name, const struct backing_request *q,
                      struct backing **ret)
{
    struct local *l = (struct local *)backend;
    bool create = q->flags & DISKALLOC_REGION_CREATE, exclusive = q->flags & DISKALLOC_REGION_EXCLUSIVE;
    int r = check_user(name);

    if (r == 0)
        r = local_hold_directory(l);
    if (r == 0 && exclusive)
        r = refuse_existing(l, name->name);
    for (int i = 0; r == 0 && i < OPEN_ATTEMPTS; i++) {
        if (!exclusive || i > 0) {
            r = open_existing(l, name->name, q->flags, ret);
            if (r == -ESTALE)
                r = -ENOENT;
            if (r != -ENOENT)
                return r;
            if (!create)
                return error_why(r, "there is no region %s", name->name);
        }
        r = create_named(l, name->name, q);
        if (r == -EEXIST && !exclusive)
            r = 0;
        else if (r == -EEXIST)
            return error_why(r, "%s is there", name->name);
    }
    return r < 0 ? r : -EAGAIN;
}

// Finds a named region of this directory by its handle.  A descriptor, or -errno.
static int find_by_handle(struct local *l, const struct handle *handle, bool read_only, struct record *ret)
{
    int held = local_hold_directory(l);
    int copy = held < 0 ? held : openat(l->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

    if (held < 0)
        return held;
    if (!d) {
        int r = -errno;

        cleanup_close(&copy);
        return r;
    }
    for (struct dirent *e; (e = readdir(d));) {
        int fd;

        if (name_check(e->d_name, strlen(e->d_name)) < 0 || (e->d_type != DT_REG && e->d_type != DT_UNKNOWN))
            continue;
        fd = open_record(l, e->d_name, read_only, ret);
        if (fd >= 0 && handle_equal(&ret->handle, handle))
            return fd;
        cleanup_close(&fd);
    }
    return error_why(-ENOENT, "no region with that handle in this process or directory");
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
        fd = find_by_handle(l, handle, read_only, &record);
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
    int r = check_user(name), held = r < 0 ? r : local_hold_directory(l);
    _cleanup_close_ int fd = held < 0 ? held : open_record(l, name->name, true, &record);

    return fd < 0 ? fd : file_ops_system.unlink_at(l->dir.fd, name->name, 0);
}

static int local_get_usage(struct backend *backend, const char *subject, struct diskalloc_usage *ret)
{
    struct local *l = (struct local *)backend;
    struct statvfs fs;
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
