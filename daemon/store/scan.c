// Reading the spill directory at start.  The files are not trusted: an entry that is not exactly as the daemon would
// have made it is left alone and reported.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "daemon/store/listing.h"
#include "daemon/store/store.h"
#include "daemon/store/store_internal.h"
#include "proto/spill/project.h"
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

// A file without a record and without content belongs to nobody, and is removed.  A file with content may come from a
// backup without attributes, and stays.
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

// True: the file is a region.  False: it is left alone, or was removed.
static bool check(struct scan *scan, const char *dir, uid_t uid, const struct listed_file *f)
{
    if (!f->is_region_name)
        foreign(scan, dir, f->name, "not the name of a region");
    else if (f->fd < 0 && f->fd != -ENOENT)
        foreign(scan, dir, f->name, strerror(-f->fd));
    if (f->fd < 0)
        return false;
    if (f->stat_result < 0 || !S_ISREG(f->st.st_mode))
        foreign(scan, dir, f->name, f->stat_result < 0 ? strerror(-f->stat_result) : "not a regular file");
    else if (f->record_result == -ENODATA && f->st.st_size == 0)
        remove_half_made(scan, dir, f->name);
    else if (f->record_result < 0)
        foreign(scan, dir, f->name, why_no_record(f->record_result));
    else if (!handle_equal(&f->record.handle, &f->handle) || f->record.owner_uid != uid)
        foreign(scan, dir, f->name, "its record is another region's");
    else
        return true;
    return false;
}

static int scan_file(struct scan *scan, const char *dir, uid_t uid, const struct listed_file *f)
{
    struct store_entry e = {.store = scan->store, .dir = dir, .name = f->name, .fd = f->fd, .st = f->st};
    int r;

    if (!check(scan, dir, uid, f))
        return 0;
    e.region.record = f->record;
    e.region.project = project_of(f->fd);
    r = store_read_cgroup(scan->store, f->fd, e.region.cgroup);
    if (r < 0)
        log_warning("%s/%s/%s: the control group that it counts in cannot be read: %s", scan->store->dir, dir, f->name,
                    strerror(-r));
    // The former file of a region that has moved is removed, or is of no use.
    if (f->record.flags & RECORD_MOVED)
        e.region.size = f->record.granted;
    else
        repair_entry(&e);
    r = scan->found(scan->data, &e.region);
    ranges_deinit(&e.region.discarded);
    return r;
}

static int scan_user(struct scan *scan, const char *name, uid_t uid)
{
    int fd = scan->store->ops->open_at(scan->store->dir_fd, name, O_RDONLY | O_DIRECTORY, 0), r;
    const struct listed_file *f;
    struct listing *l;

    if (fd < 0)
        return foreign(scan, "", name, fd == -ENOTDIR ? "not a directory" : strerror(-fd));
    r = listing_open(scan->store, fd, uid, &l);
    if (r < 0)
        return r;
    while (r == 0 && (f = listing_next(l)))
        r = scan_file(scan, name, uid, f);
    listing_close(l);
    return r;
}

static bool is_known_neighbour(const char *name)
{
    static const char *const known[] = {".", "..", STORE_LOCK_NAME, STORE_RESERVE_NAME, "lost+found"};
    // And the temporary files of their replacement.
    static const char *const replaced[] = {STORE_GRACE_NAME, STORE_QUOTA_NAME, STORE_DISKS_NAME};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++)
        if (strncmp(name, replaced[i], strlen(replaced[i])) == 0)
            return true;
    return false;
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
