// The files that are of no single disk: see home.h.
//
// The order of the disks in the configuration may change between two starts, and so may the first one.  A disk that was
// the first one before has its files still.  Of each of them the newest one counts: the daemon writes a file on the
// first disk only, so a copy that was left behind is older than what was written later.
#include "daemon/home.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config/runtime.h"
#include "daemon/grace.h"
#include "daemon/log.h"
#include "daemon/state.h"
#include "daemon/store/small_file.h"
#include "proto/util/cleanup.h"

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

// The disk with the newest file of that name; the first disk if none has one.
static struct disk *find_newest(struct daemon *d, const char *name)
{
    struct disk *newest = d->home;
    struct timespec time = {0};

    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next) {
        struct stat st;

        if (fstatat(store_dir_fd(disk->store), name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_newer(&st.st_mtim, &time))
            continue;
        newest = disk;
        time = st.st_mtim;
    }
    return newest;
}

static int settle(struct daemon *d, const char *name)
{
    const struct disk *from = find_newest(d, name);
    _cleanup_free_ char *text = NULL;
    int r;

    if (from == d->home)
        return 0;
    r = small_file_read(store_dir_fd(from->store), name, &text);
    if (r == 0)
        r = small_file_write(store_dir_fd(d->home->store), name, text);
    if (r < 0)
        log_error("%s/%s cannot be copied to the first spill directory, %s: %s", store_dir(from->store), name,
                  store_dir(d->home->store), strerror(-r));
    else
        log_notice("%s/%s was copied to the first spill directory, %s", store_dir(from->store), name,
                   store_dir(d->home->store));
    return r < 0 ? r : 0;
}

int home_settle(struct daemon *d)
{
    int r = settle(d, CONFIG_RUNTIME_FILE);

    return r < 0 ? r : settle(d, GRACE_FILE);
}
