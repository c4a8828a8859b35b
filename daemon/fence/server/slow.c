// Requests of a client that only the disk can answer: the file's size, bytes and holes, and writing
// it out.
//
// The disk may take its time, or for ever, so these requests are done by N_THREADS threads.  Each lane (which is one
// user) has OF_LANE of them at most, and the oldest request of a lane that has fewer comes first: whoever has very much
// to be written out delays nobody else.  A lane may have MOST_QUEUED requests; then it gets EAGAIN.
//
// A thread opens the file by its name and closes it, so that the server holds no file of a client open.  A process that
// is killed while one of its threads hangs in the disk keeps what that thread has open.  That must not be the
// connections to the kernel: the daemon would wait for answers that never come.  So each thread has a table of
// descriptors of its own (unshare(2)), with nothing in it but the spill directory and the event that reports the end.
#include "daemon/fence/server/slow.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/fence/server/control.h"
#include "proto/spill/fileops.h"
#include "proto/util/cleanup.h"
#include "proto/util/thread.h"

enum {
    N_THREADS = 8,
    OF_LANE = 2,
    MOST_QUEUED = 128,
    STACK_SIZE = 64 * 1024, // bytes
    FIRST_FD = 3,
};

struct slow {
    int dir_fd, event;
    pthread_mutex_t lock; // for all fields below
    pthread_cond_t more;
    struct slow_job *first, **last; // not begun
    struct slow_job *ended;
    uint8_t n_running[PASSTHROUGH_MOST_LANES];
    uint8_t n_queued[PASSTHROUGH_MOST_LANES];
};

static int open_file(const struct slow *s, const struct slow_job *job)
{
    char path[16 + HANDLE_TEXT_LENGTH], text[HANDLE_TEXT_LENGTH + 1];
    struct stat st;
    int fd;

    handle_format(&job->handle, text);
    snprintf(path, sizeof path, "%u/%s", job->owner, text);
    fd = file_ops_system.open_at(s->dir_fd, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_ino != job->inode)) {
        close(fd);
        fd = -ESTALE;
    }
    return fd;
}

static int read_bytes(int fd, struct slow_job *job)
{
    ssize_t n;

    job->bytes = malloc(job->size > 0 ? job->size : 1);
    if (!job->bytes)
        return -ENOMEM;
    n = pread(fd, job->bytes, job->size, (off_t)job->offset);
    job->found = n < 0 ? 0 : (uint64_t)n;
    return n < 0 ? -errno : 0;
}

static int seek(int fd, struct slow_job *job)
{
    off_t found = lseek(fd, (off_t)job->offset, job->whence);

    job->found = found < 0 ? 0 : (uint64_t)found;
    return found < 0 ? -errno : 0;
}

static int do_job(int fd, struct slow_job *job)
{
    switch (job->kind) {
    case SLOW_STAT:
        return fstat(fd, &job->st) < 0 ? -errno : 0;
    case SLOW_READ:
        return read_bytes(fd, job);
    case SLOW_SEEK:
        return seek(fd, job);
    case SLOW_SYNC:
        return fsync(fd) < 0 ? -errno : 0;
    }
    return -ENOSYS;
}

static void run(const struct slow *s, struct slow_job *job)
{
    _cleanup_close_ int fd = open_file(s, job);

    job->result = fd < 0 ? fd : do_job(fd, job);
}

// With the lock.  NULL: there is none at the moment.
static struct slow_job *take_next(struct slow *s)
{
    struct slow_job **at = &s->first, *job;

    while (*at && s->n_running[(*at)->lane] >= OF_LANE)
        at = &(*at)->next;
    job = *at;
    if (!job)
        return NULL;
    *at = job->next;
    if (!*at)
        s->last = at;
    s->n_queued[job->lane]--;
    s->n_running[job->lane]++;
    return job;
}

// Keeps the spill directory and the event only.
static void keep_only(int a, int b)
{
    int low = a < b ? a : b, high = a < b ? b : a;

    close_range(FIRST_FD, (unsigned)low - 1, 0);
    if (low + 1 < high)
        close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0U, 0);
}

static void *thread_main(void *data)
{
    const uint64_t one = 1;
    struct slow *s = data;

    if (unshare(CLONE_FILES) < 0) // no memory: the daemon starts another server
        _exit(EXIT_FAILURE);
    keep_only(s->dir_fd, s->event);
    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct slow_job *job = take_next(s);

        if (!job) {
            pthread_cond_wait(&s->more, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        run(s, job);
        pthread_mutex_lock(&s->lock);
        s->n_running[job->lane]--;
        job->next = s->ended;
        s->ended = job;
        // The lane may have another one, which nobody was allowed to take.
        pthread_cond_signal(&s->more);
        (void)!write(s->event, &one, sizeof one);
    }
    return NULL;
}

int slow_new(int dir_fd, struct slow **ret)
{
    struct slow *s = calloc(1, sizeof *s);
    int r = 0;

    if (!s)
        return -ENOMEM;
    s->dir_fd = dir_fd;
    s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event < 0) {
        r = -errno;
        free(s);
        return r;
    }
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    for (unsigned i = 0; r == 0 && i < N_THREADS; i++) {
        pthread_t thread = 0;

        r = thread_start(&thread, STACK_SIZE, thread_main, s);
        if (r == 0)
            pthread_detach(thread);
    }
    *ret = s; // the threads have it, also after a failure
    return r;
}

int slow_fd(const struct slow *s)
{
    return s->event;
}

int slow_submit(struct slow *s, const struct slow_job *job)
{
    struct slow_job *copy = malloc(sizeof *copy);
    int r = 0;

    if (!copy)
        return -ENOMEM;
    *copy = *job;
    copy->next = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->n_queued[job->lane] < MOST_QUEUED) {
        s->n_queued[job->lane]++;
        *s->last = copy;
        s->last = &copy->next;
        pthread_cond_signal(&s->more);
    } else {
        r = -EAGAIN;
    }
    pthread_mutex_unlock(&s->lock);
    if (r < 0)
        free(copy);
    return r;
}

struct slow_job *slow_take_ended(struct slow *s)
{
    struct slow_job *job;
    uint64_t n;

    pthread_mutex_lock(&s->lock);
    job = s->ended;
    if (job)
        s->ended = job->next;
    else
        (void)!read(s->event, &n, sizeof n);
    pthread_mutex_unlock(&s->lock);
    return job;
}

void slow_free(struct slow_job *job)
{
    free(job->bytes);
    free(job);
}
