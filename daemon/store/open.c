// Opening the spill directory: it is looked at, locked and tried, and refused with a sentence that says what to do.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/store/advice.h"
#include "daemon/store/lease.h"
#include "daemon/store/mounted.h"
#include "daemon/store/store.h"
#include "daemon/store/store_internal.h"
#include "proto/spill/surroundings.h"
#include "proto/util/cleanup.h"

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
    if (r == -EEXIST)
        return refuse(ret_error, -EINVAL,
                      "spill directory %s: its lock file %s is not one that diskallocd has made: look whose it is and "
                      "move it out of the directory; the daemon makes a new one when it starts",
                      s->dir, STORE_LOCK_NAME);
    return r < 0 ? refuse(ret_error, r, "spill directory %s: cannot lock its file " STORE_LOCK_NAME ": %s", s->dir,
                          strerror(-r))
                 : 0;
}

// The daemon works without the reserve, but not as well.
static void begin_reserve(struct store *s)
{
    int r = store_begin_reserve(s);

    if (r == -EEXIST)
        log_warning("%s/%s is not a file that diskallocd has made, and is left alone: on a full disk, removing regions "
                    "and lowering quotas may fail; look whose it is, move it out of the directory, and restart the "
                    "daemon",
                    s->dir, STORE_RESERVE_NAME);
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

void store_require_mount(struct store *s, bool require_mount)
{
    s->require_mount = require_mount;
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
        begin_reserve(s);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

// Reading the names and making an unnamed file need the disk, unless the kernel's caches know the answer.  Nothing is
// flushed: an fsync may have to write what others have stored on that file system, and takes long on a healthy disk
// that is busy.
void store_touch(const char *dir)
{
    _cleanup_closedir_ DIR *names = opendir(dir);
    _cleanup_close_ int fd = names ? openat(dirfd(names), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

    (void)fd; // opening the file was all
    while (names && readdir(names))
        continue;
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
