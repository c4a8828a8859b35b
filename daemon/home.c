// The files that are of no single disk: see home.h.
//
// The order of the disks in the configuration may change between two starts, and so may the first one.  A disk that was
// the first one before has its files still, and may be lost meanwhile and come back.
//
// Of the quotas that were set at run time, the later change of each key holds (daemon/config/merge.c).  Of the grace
// periods, the newest file counts: the daemon writes it on the first disk only, so a copy that was left behind is older
// than what was written later.
#include "daemon/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config/settings.h"
#include "daemon/grace.h"
#include "daemon/log.h"
#include "daemon/state.h"
#include "daemon/store/small_file.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

static struct daemon_disk *of(struct disk *disk)
{
    return container_of(disk, struct daemon_disk, disk);
}

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

// The disk with the newest grace periods; the first disk if none has any.
static struct disk *find_newest(struct daemon *d)
{
    struct disk *newest = d->home;
    struct timespec time = {0};

    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next) {
        struct stat st;

        if (fstatat(store_dir_fd(disk->store), GRACE_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !is_newer(&st.st_mtim, &time))
            continue;
        newest = disk;
        time = st.st_mtim;
    }
    return newest;
}

// Without them grace periods begin anew, which does no harm.
static void copy_grace(struct daemon *d)
{
    const struct disk *from = find_newest(d);
    _cleanup_free_ char *text = NULL;
    int r;

    if (from == d->home)
        return;
    r = small_file_read(store_dir_fd(from->store), GRACE_FILE, &text);
    if (r == 0)
        r = small_file_write(store_dir_fd(d->home->store), GRACE_FILE, text);
    if (r < 0)
        log_error("%s/%s cannot be copied to the first spill directory, %s: %s", store_dir(from->store), GRACE_FILE,
                  store_dir(d->home->store), strerror(-r));
    else
        log_notice("%s/%s was copied to the first spill directory, %s", store_dir(from->store), GRACE_FILE,
                   store_dir(d->home->store));
}

void home_settle(struct daemon *d)
{
    for (struct disk *disk = d->home->next; disk; disk = disk->next)
        of(disk)->quotas_wait = settings_merge_runtime(d->settings, disk->store) < 0;
    copy_grace(d);
}

static void merge_done(struct settings_change *change)
{
    struct daemon_disk *x = change->owner;

    x->quotas_wait = change->result < 0 || change->merge_result < 0;
    if (change->result < 0 && change->result != -ESHUTDOWN)
        log_error(
            "%s; the quotas that were set in %s do not hold until that is mended and the daemon is told to reload",
            change->error ? change->error : strerror(-change->result), store_dir(change->from));
    settings_change_free(change);
}

void home_take_over(struct daemon *d, struct disk *disk)
{
    struct settings_change *change = calloc(1, sizeof *change);

    if (!change) {
        log_error("out of memory: the quotas that were set in %s do not hold until the daemon is told to reload",
                  store_dir(disk->store));
        of(disk)->quotas_wait = true;
        return;
    }
    change->from = disk->store;
    change->done = merge_done;
    change->owner = of(disk);
    settings_submit(d->settings, change);
}

void home_try_again(struct daemon *d)
{
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        if (of(disk)->quotas_wait)
            home_take_over(d, disk);
}
