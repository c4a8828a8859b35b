// Opening files so that whoever gets the descriptor cannot change the file's size by ftruncate(2).
//
// Landlock restricts a thread for ever, and a file that the thread opens keeps the thread's restrictions wherever its
// descriptor is sent.  So there are threads for opening only, the openers.  An opener has declared that its files are
// not to be truncated (LANDLOCK_ACCESS_FS_TRUNCATE is handled, and no rule allows it), which takes no privilege.  The
// other threads of the daemon stay unrestricted: they grow and shrink files by descriptors of their own.
//
// An open may hang as long as the disk hangs.  An opener is started whenever a caller finds none idle, so that one that
// hangs holds up nobody else; each caller waits for its own file, so there are never more openers than threads that
// ask, and MOST_OPENERS at most.
//
// The restriction is needed only for descriptors that can write.  A holder who may open the file again by its path, or
// by /proc/self/fd, gets around it: root, and the daemon's own user.
#include "daemon/fence/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/thread.h"

// Debian 12's <linux/landlock.h> lacks the right to truncate.  It came with ABI 3 (Linux 6.2).
#define ACCESS_FS_TRUNCATE ((uint64_t)1 << 14)
enum {
    ABI_WITH_TRUNCATE = 3,
    GET_ABI = 1, // LANDLOCK_CREATE_RULESET_VERSION
    MOST_OPENERS = 32,
    STACK_SIZE = 64 * 1024, // bytes
};

// A call of landlock_run that is under way.
struct job {
    int (*open)(void *data);
    void *data;
    int result;
    bool ended;
    pthread_cond_t changed;
    TAILQ_ENTRY(job) entry;
};

struct landlock {
    int ruleset;
    pthread_mutex_t lock; // for all fields below
    pthread_cond_t more;
    TAILQ_HEAD(, job) jobs; // no opener has taken them yet
    unsigned n_jobs;        // the length of jobs
    unsigned n_idle;
    unsigned n_openers; // threads started
    bool stopping;
    pthread_t openers[MOST_OPENERS];
};

static int restrict_thread(int ruleset)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return -errno;
    return 0;
}

static void run_job(struct landlock *l, struct job *job)
{
    int result;

    TAILQ_REMOVE(&l->jobs, job, entry);
    l->n_jobs--;
    pthread_mutex_unlock(&l->lock);
    result = job->open(job->data);
    pthread_mutex_lock(&l->lock);
    job->result = result;
    job->ended = true;
    pthread_cond_signal(&job->changed);
}

static void fail_job(struct landlock *l, struct job *job, int error)
{
    TAILQ_REMOVE(&l->jobs, job, entry);
    l->n_jobs--;
    job->result = error;
    job->ended = true;
    pthread_cond_signal(&job->changed);
}

// A thread that cannot restrict itself must open nothing.  The kernel restricted the first opener, so that happens for
// want of memory only, and is tried again.
static void *opener_main(void *data)
{
    struct landlock *l = data;
    int r = restrict_thread(l->ruleset);

    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct job *job = TAILQ_FIRST(&l->jobs);

        if (job && r < 0)
            r = restrict_thread(l->ruleset);
        if (job && r < 0) {
            fail_job(l, job, r);
        } else if (job) {
            run_job(l, job);
        } else {
            l->n_idle++;
            pthread_cond_wait(&l->more, &l->lock);
            l->n_idle--;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

// With the lock.  0, or -errno: there is no further opener.
static int start_opener(struct landlock *l)
{
    int r = l->n_openers < MOST_OPENERS ? 0 : -EAGAIN;

    if (r == 0)
        r = thread_start(&l->openers[l->n_openers], STACK_SIZE, opener_main, l);
    l->n_openers += r == 0;
    return r;
}

int landlock_run(struct landlock *l, int (*open)(void *data), void *data)
{
    struct job job = {.open = open, .data = data, .changed = PTHREAD_COND_INITIALIZER};
    int r = 0;

    pthread_mutex_lock(&l->lock);
    if (l->n_idle <= l->n_jobs)
        r = start_opener(l);
    if (r == 0 || l->n_openers > 0) {
        TAILQ_INSERT_TAIL(&l->jobs, &job, entry);
        l->n_jobs++;
        pthread_cond_signal(&l->more);
        while (!job.ended)
            pthread_cond_wait(&job.changed, &l->lock);
        r = job.result;
    }
    pthread_mutex_unlock(&l->lock);
    pthread_cond_destroy(&job.changed);
    return r;
}

static int open_unnamed(void *data)
{
    int fd = openat(*(int *)data, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

// NULL: files that the openers open cannot be truncated.  A disk without room for a file proves nothing, and the kernel
// is believed.
static const char *check(struct landlock *l, int dir_fd)
{
    _cleanup_close_ int fd = landlock_run(l, open_unnamed, &dir_fd);

    if (fd == -EPERM || fd == -ENOSYS || fd == -EOPNOTSUPP || fd == -E2BIG)
        return "the kernel refuses it (the daemon's threads may not restrict themselves)";
    if (fd >= 0 && ftruncate(fd, 0) == 0)
        return "it does not work (a descriptor opened under it could be truncated)";
    return NULL;
}

int landlock_new(int dir_fd, struct landlock **ret, const char **ret_why)
{
    // The first member of struct landlock_ruleset_attr, which may be given alone.
    const uint64_t handled = ACCESS_FS_TRUNCATE;
    struct landlock *l;

    if (syscall(SYS_landlock_create_ruleset, NULL, 0, GET_ABI) < ABI_WITH_TRUNCATE) {
        *ret_why =
            "this machine lacks Landlock with the right to truncate (Linux 6.2 or later, and allowed for the service)";
        return -EOPNOTSUPP;
    }
    l = calloc(1, sizeof *l);
    *ret_why = "no memory";
    if (!l)
        return -ENOMEM;
    TAILQ_INIT(&l->jobs);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    l->ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    *ret_why = l->ruleset < 0 ? "the kernel makes no rules" : check(l, dir_fd);
    if (*ret_why) {
        landlock_free(l);
        return -EOPNOTSUPP;
    }
    *ret = l;
    return 0;
}

void landlock_free(struct landlock *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->more);
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < l->n_openers; i++)
        pthread_join(l->openers[i], NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->more);
    if (l->ruleset >= 0)
        close(l->ruleset);
    free(l);
}
