// The backend that needs no daemon: spill files in a directory.  An anonymous region is a file without a name
// (O_TMPFILE).  A named region is a file of that name, with the record that the daemon writes too.  Other files in
// the directory are never touched.
#include "client/local/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/local/lock.h"
#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/util/cleanup.h"

enum { OPEN_ATTEMPTS = 100 }; // other processes may make and unlink the same name meanwhile

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
    fd = local_make_file(l, q, O_EXCL);
    return fd < 0 ? fd : local_backing_new(l, fd, &record, q->flags, ret);
}

// A named region that this call has made.
struct made {
    bool any;
    ino_t inode;
    struct record record;
};

static int create_named(struct local *l, const char *name, const struct backing_request *q, struct made *ret)
{
    _cleanup_close_ int fd = local_make_file(l, q, 0);
    struct stat st = {0};
    int r = fd < 0 ? fd : local_new_record(name, q, q->flags & DISKALLOC_REGION_SPARSE, &ret->record);

    if (r == 0)
        r = file_ops_system.stat(fd, &st);
    if (r == 0)
        r = local_name_file(l, fd, &ret->record);
    if (r < 0)
        return r;
    ret->inode = st.st_ino;
    ret->any = true;
    return 0;
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

// As open_existing.  A region that MADE tells of is gone again if it can't be opened.
static int open_made(struct local *l, const struct region_name *name, uid_t owner, uint32_t flags, struct made *made,
                     struct backing **ret)
{
    int r = open_existing(l, name, owner, flags, ret);

    if (r == 0)
        (*ret)->made = made->any && handle_equal(&(*ret)->handle, &made->record.handle);
    else if (made->any && r != -EBUSY) // others have it by then
        local_remove_made(l, &made->record, made->inode);
    made->any = false;
    return r;
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
    struct made made = {0};
    uid_t owner;
    int r = local_find_owner(name, &owner);

    if (r == 0)
        r = local_hold_directory(l);
    if (r == 0 && exclusive)
        r = local_check_absent(l, name->name);
    for (int i = 0; r == 0 && i < OPEN_ATTEMPTS; i++) {
        if (!exclusive || i > 0) {
            r = open_made(l, name, owner, q->flags, &made, ret);
            if (r == -ESTALE)
                r = -ENOENT;
            if (r != -ENOENT)
                return r;
            if (!create)
                return error_why(r, "there is no region %s", name->name);
        }
        r = check_creation(name, owner);
        if (r == 0)
            r = create_named(l, name->name, q, &made);
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
    strcpy(record.name, name->name);
    return local_remove_name(l, &record);
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

static void local_forked(struct backend *backend)
{
    pthread_mutex_init(&((struct local *)backend)->lock, NULL);
    local_forget_events((struct local *)backend);
}

static void local_backend_close(struct backend *backend)
{
    struct local *l = (struct local *)backend;

    descriptor_close(&l->dir);
    local_forget_events(l);
    pthread_mutex_destroy(&l->lock);
    free(l->path);
    free(l);
}

static const struct backend_ops local_backend_ops = {
    .create = local_create,
    .open = local_open,
    .attach = local_attach,
    .clone = local_clone,
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
    l->dir = l->events.fd = l->events.bell = DESCRIPTOR_NONE;
    pthread_mutex_init(&l->lock, NULL);
    l->path = strdup(path);
    r = l->path ? open_directory(l, path) : -ENOMEM;
    if (r < 0)
        local_backend_close(&l->base);
    else
        *ret = &l->base;
    return r;
}
