// The spill directory.
//
// Guarantees: a region's file has its name only when it has a complete record and its first size is granted (it is
// made by O_TMPFILE, and named last).  The record says how many bytes are granted: writing it is the one step that
// makes a grow or a shrink true.  Nothing outside the spill directory is reached, and no symbolic link in it is
// followed, whatever lies there (openat2 with RESOLVE_BENEATH, proto/spill/fileops.c).
//
// It relies on: a directory that only the daemon's user and root may write to (checked), user extended attributes and
// O_TMPFILE (checked), and the lock that keeps a second daemon out (lock.c).
//
// It does not: decide anything, or remember anything about a region.  It closes each file that it opens itself; files
// that its callers open through it are theirs (daemon/op/kept_file.c keeps some open).
//
// Threads: store_open and store_scan at start, on the main thread; the other functions on workers, several at a time.
#include "daemon/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/lease.h"
#include "daemon/store/own_file.h"
#include "daemon/store/store_internal.h"
#include "proto/spill/copy.h"
#include "proto/spill/file_id.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"

enum { PATH_LENGTH = 48 }; // bytes: "4294967295/", a handle and a NUL

static void region_path(char path[static PATH_LENGTH], uid_t uid, const struct handle *handle)
{
    char text[HANDLE_TEXT_LENGTH + 1];

    handle_format(handle, text);
    snprintf(path, PATH_LENGTH, "%u/%s", uid, text);
}

static bool is_full(int r)
{
    return r == -ENOSPC || r == -EDQUOT;
}

static int open_reserve(struct store *s)
{
    int fd = own_file_open(s->dir_fd, STORE_RESERVE_NAME, STORE_RESERVE_SIZE);

    if (fd == -EEXIST && own_file_clear(s->dir_fd, STORE_RESERVE_NAME) == 0)
        fd = own_file_open(s->dir_fd, STORE_RESERVE_NAME, STORE_RESERVE_SIZE);
    return fd;
}

// A reserve of blocks and of an inode: on a full disk, removing a file or lowering a quota may need some.  A full disk
// is not reported.
int store_begin_reserve(struct store *s)
{
    int fd = s->reserve_fd;

    if (fd < 0)
        fd = open_reserve(s);
    s->reserve_fd = fd < 0 ? -1 : fd;
    if (fd < 0)
        return fd;
    fallocate(fd, 0, 0, STORE_RESERVE_SIZE);
    return 0;
}

void store_free_reserve(struct store *s)
{
    int r;

    pthread_mutex_lock(&s->reserve_lock);
    if (s->reserve_fd < 0)
        return;
    // Both: at the limit of one of its quotas, btrfs unlinks files and does not truncate them.
    r = ftruncate(s->reserve_fd, 0);
    if (s->ops->unlink_at(s->dir_fd, STORE_RESERVE_NAME, 0) == 0) {
        close(s->reserve_fd);
        s->reserve_fd = -1;
        r = 0;
    }
    if (r == 0)
        store_settle(s);
}

void store_make_reserve(struct store *s)
{
    store_begin_reserve(s);
    pthread_mutex_unlock(&s->reserve_lock);
}

bool store_parse_uid(const char *text, uid_t *ret)
{
    uint64_t value;

    if ((text[0] == '0' && text[1]) || !number_parse(text, 10, UINT32_MAX - 1, &value))
        return false;
    *ret = (uid_t)value;
    return true;
}

DIR *store_open_top(struct store *s)
{
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

struct store_lock *store_lock(struct store *s)
{
    return &s->lock;
}

const struct spillfile_guarantee *store_guarantee(const struct store *s)
{
    return &s->guarantee;
}

uint32_t store_block_size(const struct store *s)
{
    return s->block_size;
}

void store_set_block_size(struct store *s, uint32_t n)
{
    s->block_size = n;
}

int store_dir_fd(const struct store *s)
{
    return s->dir_fd;
}

dev_t store_device(const struct store *s)
{
    return s->device;
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

bool store_settle(struct store *s)
{
    return spillfile_settle(s->ops, s->dir_fd);
}

unsigned store_dirs_made(const struct store *s)
{
    return s->n_dirs_made;
}

int store_create(struct store *s, uid_t owner, int *ret_fd)
{
    char dir[16];
    int fd, r;

    snprintf(dir, sizeof dir, "%u", owner);
    fd = s->ops->open_at(s->dir_fd, dir, O_TMPFILE | O_RDWR, 0600);
    if (fd == -ENOENT) {
        if (mkdirat(s->dir_fd, dir, 0700) < 0 && errno != EEXIST)
            return -errno;
        s->n_dirs_made++;
        // A file that is made durable later must not be lost with its directory.
        r = s->ops->sync(s->dir_fd);
        if (r < 0)
            return r;
        fd = s->ops->open_at(s->dir_fd, dir, O_TMPFILE | O_RDWR, 0600);
    }
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

int store_link(struct store *s, int fd, struct record *record)
{
    char path[PATH_LENGTH];
    struct stat st;
    int r = s->ops->stat(fd, &st);

    if (r < 0)
        return r;
    record->file_id = file_id(fd, &st);
    r = record_store(s->ops, fd, record);
    if (r < 0)
        return r;
    region_path(path, record->owner_uid, &record->handle);
    return s->ops->link_at(fd, s->dir_fd, path);
}

int store_open_file(struct store *s, uid_t uid, const struct handle *handle, int flags)
{
    char path[PATH_LENGTH];

    region_path(path, uid, handle);
    return s->ops->open_at(s->dir_fd, path, flags | O_NONBLOCK, 0);
}

int store_unlink(struct store *s, uid_t uid, const struct handle *handle)
{
    char path[PATH_LENGTH];
    int r;

    region_path(path, uid, handle);
    r = s->ops->unlink_at(s->dir_fd, path, 0);
    if (is_full(r)) {
        store_free_reserve(s);
        r = s->ops->unlink_at(s->dir_fd, path, 0);
        store_make_reserve(s);
    }
    return r;
}

int store_write_record(struct store *s, int fd, const struct record *record)
{
    int r = record_store(s->ops, fd, record);

    // Giving space back begins with the record, and must work on a full disk.
    if (is_full(r)) {
        store_free_reserve(s);
        r = record_store(s->ops, fd, record);
        store_make_reserve(s);
    }
    return r;
}

int store_sync(struct store *s, int fd, uid_t uid)
{
    _cleanup_close_ int dir = -1;
    char path[16];
    int r = s->ops->sync(fd);

    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%u", uid);
    dir = s->ops->open_at(s->dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
    return dir < 0 ? dir : s->ops->sync(dir);
}

int store_allocate_piece(struct store *s, int fd, uint64_t *at, uint64_t to)
{
    if (s->guarantee.can_allocate)
        return spillfile_allocate_piece(s->ops, fd, at, to, FALLOC_FL_KEEP_SIZE);
    *at = to;
    return 0;
}

int store_extend_piece(struct store *s, int fd, uint64_t *at, uint64_t to)
{
    if (s->guarantee.can_allocate)
        return spillfile_allocate_piece(s->ops, fd, at, to, 0);
    *at = to;
    return store_truncate(s, fd, to);
}

// Giving space back takes some first, on file systems that copy on write.
int store_truncate(struct store *s, int fd, uint64_t size)
{
    int r = s->ops->truncate(fd, size);

    if (is_full(r)) {
        store_free_reserve(s);
        r = s->ops->truncate(fd, size);
        store_make_reserve(s);
    }
    return r;
}

int store_punch(struct store *s, int fd, uint64_t offset, uint64_t length)
{
    int r = spillfile_punch(s->ops, fd, offset, length);

    if (is_full(r)) {
        store_free_reserve(s);
        r = spillfile_punch(s->ops, fd, offset, length);
        store_make_reserve(s);
    }
    return r;
}

int store_write_out(struct store *s, int fd)
{
    return s->ops->write_out(fd);
}

// Each subvolume of btrfs has a device number of its own.
bool store_may_share(const struct store *a, const struct store *b)
{
    const struct spillfile_guarantee *ga = &a->guarantee, *gb = &b->guarantee;
    bool are_btrfs = strcmp(ga->file_system, "btrfs") == 0 && strcmp(gb->file_system, "btrfs") == 0;

    return ga->can_share && gb->can_share && (a->device == b->device || are_btrfs);
}

int store_share(struct store *s, int fd, int from)
{
    return s->ops->share(fd, from);
}

int store_copy_piece(struct store *s, int from, int to, uint64_t *at, uint64_t end)
{
    return copy_piece(s->ops, from, to, at, end);
}

int store_is_unused(int fd)
{
    return lease_ask(fd);
}

int store_is_unwritten(int fd)
{
    return lease_ask_writers(fd);
}
