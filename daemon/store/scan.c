// Reading the spill directory at start.  The files are not trusted: an entry that is not exactly as the daemon would have made it is left
// alone and reported.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "daemon/store/store.h"
#include "daemon/store/store_internal.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

// Bytes that a file may own beyond its size, for metadata of the file system.  A file with more may have an unfinished grow.
enum { BLOCK_SLACK = 64 * 1024 };

struct scan {
    struct store *store;
    int (*found)(void *data, struct store_found *region);
    void *data;
    uint64_t n_foreign;
};

static int foreign(struct scan *scan, const char *dir, const char *name, const char *why)
{
    scan->n_foreign++;
    log_warning("%s/%s%s%s: %s; left alone", scan->store->dir, dir, *dir ? "/" : "", name, why);
    return 0;
}

// Drops the blocks that an unfinished grow left behind the end of the file: nobody is charged for them.
static int undo_half_growth(struct store *s, uid_t uid, const struct record *record, const struct stat *st)
{
    _cleanup_close_ int fd = -1;
    uint64_t charged;

    if (!checked_align_up((uint64_t)st->st_size, s->block_size, &charged) ||
        (uint64_t)st->st_blocks * 512 <= charged + charged / 256 + BLOCK_SLACK)
        return 0;
    fd = store_open_file(s, uid, &record->handle, O_RDWR);
    return fd < 0 ? fd : s->ops->truncate(fd, (uint64_t)st->st_size);
}

// A file without a record and without content belongs to nobody, and is removed.  A file with content may come from a backup without
// attributes, and stays.
static int remove_half_made(struct scan *scan, const char *dir, const char *name)
{
    char path[512];
    int r;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    r = scan->store->ops->unlink_at(scan->store->dir_fd, path, 0);
    return r < 0 ? foreign(scan, dir, name, strerror(-r)) : 0;
}

static const char *why_no_record(int error)
{
    switch (error) {
    case -ENODATA:
        return "a file without a record";
    case -EPROTONOSUPPORT:
        return "its record is of a newer version";
    case -EBADMSG:
        return "its record is damaged";
    default:
        return strerror(-error);
    }
}

static int scan_file(struct scan *scan, const char *dir, uid_t uid, const char *name)
{
    struct store *s = scan->store;
    struct store_found region = {0};
    const struct record *record = &region.record;
    struct handle handle;
    struct stat st;
    _cleanup_close_ int fd = -1;
    int r;

    if (handle_parse(name, &handle) < 0)
        return foreign(scan, dir, name, "not the name of a region");
    fd = store_open_file(s, uid, &handle, O_RDONLY);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return foreign(scan, dir, name, strerror(-fd));
    r = s->ops->stat(fd, &st);
    if (r < 0 || !S_ISREG(st.st_mode))
        return foreign(scan, dir, name, r < 0 ? strerror(-r) : "not a regular file");
    r = record_load(s->ops, fd, &region.record);
    if (r == -ENODATA && st.st_size == 0)
        return remove_half_made(scan, dir, name);
    if (r < 0)
        return foreign(scan, dir, name, why_no_record(r));
    if (!handle_equal(&record->handle, &handle) || record->owner_uid != uid)
        return foreign(scan, dir, name, "its record is another region's");
    region.size = (uint64_t)st.st_size;
    r = undo_half_growth(s, uid, record, &st);
    if (r < 0)
        log_warning("%s/%s/%s: cannot give back the blocks of an unfinished grow: %s", s->dir, dir, name, strerror(-r));
    r = 0;
    if (record->flags & RECORD_HAS_HOLES)
        r = spillfile_read_holes(fd, region.size, s->block_size, &region.discarded);
    if (r < 0)
        log_warning("%s/%s/%s: cannot tell what of it is discarded: %s", s->dir, dir, name, strerror(-r));
    r = scan->found(scan->data, &region);
    ranges_deinit(&region.discarded);
    return r;
}

static int scan_user(struct scan *scan, const char *name, uid_t uid)
{
    _cleanup_closedir_ DIR *dir = NULL;
    struct dirent *entry;
    int fd = scan->store->ops->open_at(scan->store->dir_fd, name, O_RDONLY | O_DIRECTORY, 0), r = 0;

    if (fd < 0)
        return foreign(scan, "", name, fd == -ENOTDIR ? "not a directory" : strerror(-fd));
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    while (r == 0 && (errno = 0, entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = scan_file(scan, name, uid, entry->d_name);
    return r < 0 ? r : -errno;
}

static bool is_known_neighbour(const char *name)
{
    static const char *const known[] = {".", "..", STORE_LOCK_NAME, STORE_RESERVE_NAME, "lost+found"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return strncmp(name, STORE_QUOTA_NAME, strlen(STORE_QUOTA_NAME)) == 0; // and the temporary file of its replacement
}

int store_scan(struct store *s, int (*found)(void *data, struct store_found *region), void *data, uint64_t *ret_foreign)
{
    struct scan scan = {.store = s, .found = found, .data = data};
    _cleanup_closedir_ DIR *dir = store_open_top(s);
    struct dirent *entry;
    int r = 0;

    if (!dir)
        return -errno;
    while (r == 0 && (errno = 0, entry = readdir(dir))) {
        uid_t uid;

        if (is_known_neighbour(entry->d_name))
            continue;
        if (store_parse_uid(entry->d_name, &uid))
            r = scan_user(&scan, entry->d_name, uid);
        else
            foreign(&scan, "", entry->d_name, "not a user's directory");
    }
    if (r == 0 && errno)
        r = -errno;
    *ret_foreign = scan.n_foreign;
    return r;
}
