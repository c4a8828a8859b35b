// Reading the spill directory at start.  The files are not trusted: an entry that is not exactly as the daemon would
// have made it is left alone and reported.
//
// An entry that cannot be read says nothing about whose it is, so an error is not taken for a foreign entry.  A user's
// directory may hold many regions: if the disk cannot read it, the scan fails, and with it the disk (daemon/disks.c).
// A file that cannot be read costs only its own region: it is left alone and counted as unreadable.  Where the daemon
// itself lacks memory or descriptors, nothing is known of the entry, and the scan fails.
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
#include "proto/spill/file_id.h"
#include "proto/spill/project.h"
#include "proto/util/cleanup.h"

struct scan {
    struct store *store;
    int (*found)(void *data, struct store_found *region);
    void *data;
    struct store_left left;
};

static int foreign(struct scan *scan, const char *dir, const char *name, const char *why)
{
    scan->left.foreign++;
    log_warning("%s/%s%s%s: %s; left alone", scan->store->dir, dir, *dir ? "/" : "", name, why);
    return 0;
}

// For an entry of the daemon's own kind that fails with ERROR.  0; or ERROR, because it is the daemon's own want of
// memory or descriptors.
static int unreadable(struct scan *scan, const char *dir, const char *name, int error)
{
    if (store_is_shortage(error))
        return error;
    scan->left.unreadable++;
    log_error("%s/%s%s%s cannot be read: %s; left alone: what it holds is unavailable, and charged to nobody",
              scan->store->dir, dir, *dir ? "/" : "", name, strerror(-error));
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

// 0; or -errno, and the scan fails.
static int check_record(struct scan *scan, const char *dir, const struct listed_file *f)
{
    switch (f->record_result) {
    case -ENODATA:
        return f->st.st_size == 0 ? remove_half_made(scan, dir, f->name)
                                  : foreign(scan, dir, f->name, "a file without a record");
    case -EPROTONOSUPPORT:
        return foreign(scan, dir, f->name, "its record is of a newer version");
    case -EBADMSG:
        return foreign(scan, dir, f->name, "its record is damaged");
    default:
        return unreadable(scan, dir, f->name, f->record_result);
    }
}

// 1: the file is a region; 0: it is left alone, or was removed; -errno: the scan fails.
static int check(struct scan *scan, const char *dir, uid_t uid, const struct listed_file *f)
{
    if (!f->is_region_name)
        return foreign(scan, dir, f->name, "not the name of a region");
    if (f->fd == -ENOENT) // removed meanwhile
        return 0;
    if (f->fd == -ELOOP || f->fd == -ENXIO) // a symbolic link; a socket
        return foreign(scan, dir, f->name, "not a regular file");
    if (f->fd < 0 || f->stat_result < 0)
        return unreadable(scan, dir, f->name, f->fd < 0 ? f->fd : f->stat_result);
    if (!S_ISREG(f->st.st_mode))
        return foreign(scan, dir, f->name, "not a regular file");
    if (f->record_result < 0)
        return check_record(scan, dir, f);
    if (!handle_equal(&f->record.handle, &f->handle) || f->record.owner_uid != uid)
        return foreign(scan, dir, f->name, "its record is another region's");
    return 1;
}

static int scan_file(struct scan *scan, const char *dir, uid_t uid, const struct listed_file *f)
{
    struct store_entry e = {
        .store = scan->store, .dir = dir, .name = f->name, .fd = f->fd, .st = f->st, .id = file_id(f->fd, &f->st)};
    int r = check(scan, dir, uid, f);

    if (r <= 0)
        return r;
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

// A user's directory cannot be read.
static int fail(const struct scan *scan, const char *name, int error)
{
    log_error("%s/%s cannot be read: %s%s", scan->store->dir, name, strerror(-error),
              store_is_shortage(error) ? ""
                                       : ": check the disk (dmesg, fsck); if it cannot be mended, move that directory "
                                         "out of the spill directory: its regions are unavailable until it is back");
    return error;
}

// A user's directory cannot be opened.  0; or -errno, and the scan fails.
static int check_user(struct scan *scan, const char *name, int error)
{
    switch (error) {
    case -ENOENT: // removed meanwhile
        return 0;
    case -ENOTDIR:
    case -ELOOP:
        return foreign(scan, "", name, "not a directory");
    case -EACCES:
    case -EPERM: // somebody has made or changed it: a matter of this directory only
        return unreadable(scan, "", name, error);
    default:
        return fail(scan, name, error);
    }
}

static int scan_user(struct scan *scan, const char *name, uid_t uid)
{
    int fd = scan->store->ops->open_at(scan->store->dir_fd, name, O_RDONLY | O_DIRECTORY, 0), r;
    const struct listed_file *f;
    struct listing *l;

    if (fd < 0)
        return check_user(scan, name, fd);
    r = listing_open(scan->store, fd, uid, &l);
    if (r < 0)
        return fail(scan, name, r);
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

int store_scan(struct store *s, int (*found)(void *data, struct store_found *region), void *data,
               struct store_left *ret_left)
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
    *ret_left = scan.left;
    return r;
}
