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
#include "proto/util/cleanup.h"

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

// Reads what the file is.  0: a region; 1: the file is left alone, or was removed.
static int load(struct scan *scan, struct store_entry *e, const struct handle *handle, uid_t uid)
{
    struct record *record = &e->region.record;
    int r = scan->store->ops->stat(e->fd, &e->st);

    if (r < 0 || !S_ISREG(e->st.st_mode))
        return foreign(scan, e->dir, e->name, r < 0 ? strerror(-r) : "not a regular file"), 1;
    r = record_load(scan->store->ops, e->fd, record);
    if (r == -ENODATA && e->st.st_size == 0)
        return remove_half_made(scan, e->dir, e->name), 1;
    if (r < 0)
        return foreign(scan, e->dir, e->name, why_no_record(r)), 1;
    if (!handle_equal(&record->handle, handle) || record->owner_uid != uid)
        return foreign(scan, e->dir, e->name, "its record is another region's"), 1;
    return 0;
}

static int scan_file(struct scan *scan, const char *dir, uid_t uid, const char *name)
{
    struct store *s = scan->store;
    struct store_entry e = {.store = s, .dir = dir, .name = name, .fd = -1};
    struct handle handle;
    int r;

    if (handle_parse(name, &handle) < 0)
        return foreign(scan, dir, name, "not the name of a region");
    e.fd = store_open_file(s, uid, &handle, O_RDONLY);
    if (e.fd == -ENOENT)
        return 0;
    if (e.fd < 0)
        return foreign(scan, dir, name, strerror(-e.fd));
    r = load(scan, &e, &handle, uid);
    if (r == 0) {
        repair_entry(&e);
        r = scan->found(scan->data, &e.region);
        ranges_deinit(&e.region.discarded);
    }
    close(e.fd);
    return r > 0 ? 0 : r;
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
