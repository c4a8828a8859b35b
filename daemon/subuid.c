// Malformed lines of /etc/subuid lend nothing to anybody: see subuid.h.
//
// Many uids are looked up in the file, on several workers at a time, and the log must not repeat itself for each of
// them.  So the version of the file that the log has told of is kept, under a lock of its own.
#include "daemon/subuid.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "proto/util/nss.h"

enum { MAX_TOLD = 10 }; // lines that the log names for each version of the file

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stat told; // under the lock: the version that the log has told of

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same_version(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           is_same_time(&a->st_mtim, &b->st_mtim) && is_same_time(&a->st_ctim, &b->st_ctim);
}

static void tell_line(void *data, unsigned line, const char *why)
{
    unsigned *n = data;

    if (++*n <= MAX_TOLD)
        log_warning("/etc/subuid, line %u: %s; the line is ignored, the others hold", line, why);
}

void subuid_tell_malformed(void)
{
    struct stat version;
    unsigned n = 0;

    pthread_mutex_lock(&lock);
    if (stat("/etc/subuid", &version) == 0 && !is_same_version(&version, &told)) {
        told = version;
        nss_check_ranges(tell_line, &n);
    }
    pthread_mutex_unlock(&lock);
    if (n > MAX_TOLD)
        log_warning("/etc/subuid: %u more lines are malformed and ignored", n - MAX_TOLD);
}
