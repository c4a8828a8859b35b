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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "daemon/store/advice.h"
#include "daemon/store/lease.h"
#include "daemon/store/mounted.h"
#include "daemon/store/store_internal.h"
#include "proto/spill/copy.h"
#include "proto/spill/surroundings.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"

enum { PATH_LENGTH = 48 }; // bytes: "4294967295/", a handle and a NUL

static void region_path(char path[static PATH_LENGTH], uid_t uid, const struct handle *handle)
{
    char text[HANDLE_TEXT_LENGTH + 1];

    handle_format(handle, text);
    snprintf(path, PATH_LENGTH, "%u/%s", uid, text);
}

static int refuse(char **ret_error, int error, const char *format, const char *dir, const char *detail)
{
    char advice[STORE_ADVICE_MAX];
    _cleanup_free_ char *sentence = NULL;

    if (asprintf(&sentence, format, dir, detail) < 0)
        sentence = NULL;
    if (!sentence || asprintf(ret_error, "%s%s", sentence, store_advice(error, dir, advice)) < 0)
        *ret_error = NULL;
    return error;
}

static int lock_dir(struct store *s, char **ret_error)
{
    char text[32];
    pid_t holder;
    int r = store_lock_take(&s->lock, s->dir_fd, &holder);

    snprintf(text, sizeof text, "pid %d", (int)holder);
    if (r == -EBUSY)
        return refuse(ret_error, r, "spill directory %s: another diskallocd has it (%s)", s->dir, text);
    return r < 0 ? refuse(ret_error, r, "spill directory %s: cannot lock it: %s", s->dir, strerror(-r)) : 0;
}

static int check_dir(struct store *s, char **ret_error)
{
    struct stat st;

    if (fstat(s->dir_fd, &st) < 0)
        return refuse(ret_error, -errno, "spill directory %s: %s", s->dir, strerror(errno));
    s->device = st.st_dev;
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return refuse(ret_error, -EPERM, "spill directory %s belongs to another user%s", s->dir, "");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return refuse(ret_error, -EPERM,
                      "spill directory %s: others may write to it; it must be for the daemon alone%s", s->dir, "");
    // A bind mount is one; a subvolume of btrfs is none, though it has a device number of its own.
    if (s->require_mount && !store_is_mounted(s->dir_fd, ""))
        return refuse(ret_error, -ENOTDIR, "spill directory %s is no mount point, but spill_dir_require_mount = yes%s",
                      s->dir, "");
    return 0;
}

static int check_leases(struct store *s, char **ret_error)
{
    int r;
    const char *why = lease_check(s->ops, s->dir_fd, STORE_RESERVE_NAME, &r);

    return why ? refuse(ret_error, r, "spill directory %s: %s", s->dir, why) : 0;
}

static int check_file_system(struct store *s, char **ret_error)
{
    struct record record = {0};
    struct statvfs fs;
    _cleanup_close_ int fd = -1;
    int r = s->ops->stat_fs(s->dir_fd, &fs);

    if (r < 0)
        return refuse(ret_error, r, "spill directory %s: %s", s->dir, strerror(-r));
    s->block_size = fs.f_frsize >= 512 && (fs.f_frsize & (fs.f_frsize - 1)) == 0 ? (uint32_t)fs.f_frsize : 4096;
    r = spillfile_probe(s->dir_fd, true, &s->guarantee);
    if (r < 0)
        return refuse(ret_error, r, "spill directory %s: unnamed files (O_TMPFILE) do not work there: %s", s->dir,
                      strerror(-r));
    spillfile_probe_surroundings(s->dir_fd, &s->guarantee);
    r = check_leases(s, ret_error);
    if (r < 0)
        return r;
    fd = s->ops->open_at(s->dir_fd, ".", O_TMPFILE | O_RDWR, 0600);
    r = fd < 0 ? fd : record_store(s->ops, fd, &record);
    if (r == -EOPNOTSUPP)
        return refuse(ret_error, r, "spill directory %s: %s has no user extended attributes, which diskallocd needs",
                      s->dir, s->guarantee.file_system);
    // A daemon must be able to start on a full disk.
    if (r < 0 && r != -ENOSPC && r != -EDQUOT)
        return refuse(ret_error, r, "spill directory %s: %s", s->dir, strerror(-r));
    return 0;
}

static bool is_full(int r)
{
    return r == -ENOSPC || r == -EDQUOT;
}

// A reserve of blocks and of an inode: on a full disk, removing a file or lowering a quota may need some.  A failure
// is not reported.
static void make_reserve(struct store *s)
{
    if (s->reserve_fd < 0)
        s->reserve_fd = openat(s->dir_fd, STORE_RESERVE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->reserve_fd >= 0)
        fallocate(s->reserve_fd, 0, 0, 1 << 20);
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
    make_reserve(s);
    pthread_mutex_unlock(&s->reserve_lock);
}

int store_open(const char *dir, bool require_mount, const struct file_ops *ops, struct store **ret, char **ret_error)
{
    struct store *s = calloc(1, sizeof *s);
    int r = -ENOMEM;

    *ret_error = NULL;
    if (!s)
        return r;
    *s = (struct store){.ops = ops, .dir = strdup(dir), .dir_fd = -1, .lock.fd = -1, .reserve_fd = -1};
    s->could_write = true;
    s->require_mount = require_mount;
    pthread_mutex_init(&s->reserve_lock, NULL);
    if (s->dir) {
        s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = s->dir_fd < 0 ? refuse(ret_error, -errno, "spill directory %s: %s", dir, strerror(errno)) : 0;
    }
    if (r == 0)
        r = check_dir(s, ret_error);
    if (r == 0)
        r = lock_dir(s, ret_error);
    if (r == 0)
        r = check_file_system(s, ret_error);
    if (r == 0)
        make_reserve(s);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
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

static void remove_empty_dirs(struct store *s)
{
    _cleanup_closedir_ DIR *dir = store_open_top(s);
    struct dirent *entry;
    uid_t uid;

    while (dir && (entry = readdir(dir)))
        if (store_parse_uid(entry->d_name, &uid))
            s->ops->unlink_at(s->dir_fd, entry->d_name, AT_REMOVEDIR);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->block_size) // the lock is held
        remove_empty_dirs(s);
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
    store_lock_release(&s->lock);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    pthread_mutex_destroy(&s->reserve_lock);
    free(s->dir);
    free(s);
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
    record->inode = st.st_ino;
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
