// fork: the lock is taken around it, so that the lists are whole in the child; there every other lock is made new (the
// threads that may have held them do not exist) and every client forgets the connection that it shares with the parent.
#include "client/util/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#include "client/diskalloc.h"
#include "client/link/connection.h"
#include "client/region/region.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic unsigned generation;
static LIST_HEAD(, diskalloc) clients = LIST_HEAD_INITIALIZER(clients);
static LIST_HEAD(, diskalloc_region) regions = LIST_HEAD_INITIALIZER(regions);

static void forked(void)
{
    struct diskalloc *da;
    struct diskalloc_region *r;

    generation++;
    connections_forked();
    LIST_FOREACH (da, &clients, link) {
        background_forked(&da->background);
        da->backend->ops->forked(da->backend);
    }
    LIST_FOREACH (r, &regions, link)
        region_forked(r);
    pthread_mutex_unlock(&lock);
}

static void prepare(void)
{
    struct diskalloc *da;

    pthread_mutex_lock(&lock);
    LIST_FOREACH (da, &clients, link)
        background_prepare_fork(&da->background);
}

static void forked_parent(void)
{
    struct diskalloc *da;

    LIST_FOREACH (da, &clients, link)
        background_after_fork(&da->background);
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    pthread_atfork(prepare, forked_parent, forked);
}

void process_lock(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
}

void process_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

unsigned process_generation(void)
{
    return atomic_load(&generation);
}

void process_add_client(struct diskalloc *da)
{
    process_lock();
    LIST_INSERT_HEAD(&clients, da, link);
    process_unlock();
}

void process_remove_client(struct diskalloc *da)
{
    process_lock();
    LIST_REMOVE(da, link);
    process_unlock();
}

void process_add_region(struct diskalloc_region *r)
{
    process_lock();
    LIST_INSERT_HEAD(&regions, r, link);
    process_unlock();
}

void process_remove_region(struct diskalloc_region *r)
{
    process_lock();
    LIST_REMOVE(r, link);
    process_unlock();
}

// By /proc, not by dup: locks belong to the open file description.
static int reopen(int fd, bool read_only)
{
    char self[64];
    int opened;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    opened = open(self, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int process_reopen_file(const struct handle *handle, bool read_only)
{
    struct diskalloc_region *r;
    int fd = -ENOENT;

    process_lock();
    LIST_FOREACH (r, &regions, link) {
        if (r->backing->keeps_fd && !r->backing->is_callers_file && handle_equal(&r->backing->handle, handle)) {
            fd = reopen(r->backing->fd, read_only);
            break;
        }
    }
    process_unlock();
    return fd;
}
