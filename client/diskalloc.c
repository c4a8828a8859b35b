// Opening and closing a client, and the calls that concern the client as a whole.  A client lives until
// diskalloc_close was called and its last region is closed.
#include "client/diskalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/address.h"
#include "client/growth.h"
#include "client/local/local.h"
#include "client/memory/dispose.h"
#include "client/memory/prefetch.h"
#include "client/options.h"
#include "client/remote/remote.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

const char *diskalloc_version(void)
{
    return DISKALLOC_VERSION;
}

static int fall_back(struct diskalloc *da, struct address *address)
{
    const char *dir = address_fallback_dir();

    if (!dir)
        return error_why(-ECONNREFUSED, "no daemon at %s, and neither $TMPDIR nor /var/tmp is on a disk",
                         address->path);
    *address = (struct address){.kind = ADDRESS_DIR, .path = dir};
    da->fallback = true;
    return local_backend_new(dir, &da->backend);
}

static int open_backend(struct diskalloc *da, struct address *address, const struct diskalloc_options *options)
{
    int r;

    if (address->kind == ADDRESS_DIR)
        return local_backend_new(address->path, &da->backend);
    r = remote_backend_new(address->path, options, &da->backend);
    if (r == -ENOENT && address->may_fall_back)
        return fall_back(da, address);
    return r == -ENOENT ? -ECONNREFUSED : r;
}

static void prepare_fork(struct fork_hook *hook)
{
    struct diskalloc *da = container_of(hook, struct diskalloc, fork);

    watch_prepare_fork(&da->watch);
    background_prepare_fork(&da->background);
}

static void forked_parent(struct fork_hook *hook)
{
    struct diskalloc *da = container_of(hook, struct diskalloc, fork);

    background_after_fork(&da->background);
    watch_after_fork(&da->watch);
}

static void forked_child(struct fork_hook *hook)
{
    struct diskalloc *da = container_of(hook, struct diskalloc, fork);

    background_forked(&da->background);
    watch_forked(&da->watch);
    region_list_forked(&da->list);
    da->backend->ops->forked(da->backend);
    pthread_mutex_init(&da->spare.lock, NULL);
    if (da->spare.forked)
        da->spare.forked(da);
}

static int client_open(const char *text, const struct diskalloc_options *options, struct diskalloc **ret)
{
    struct diskalloc_options checked;
    struct address address;
    _cleanup_free_ struct diskalloc *da = calloc(1, sizeof *da);
    int r;

    if (!da)
        return -ENOMEM;
    if (!ret)
        return error_why(-EINVAL, "ret is NULL");
    r = options_check(options, &checked);
    if (r < 0)
        return r;
    r = address_parse(text, &address);
    if (r < 0)
        return r;
    r = open_backend(da, &address, &checked);
    if (r < 0)
        return r;
    if (asprintf(&da->address, "%s:%s", address.kind == ADDRESS_DIR ? "dir" : "unix", address.path) < 0) {
        da->backend->ops->close(da->backend);
        return -ENOMEM;
    }
    da->refs = 1;
    da->first_size = GROWTH_FIRST_LEAST;
    da->threads = !(checked.flags & DISKALLOC_NO_THREADS);
    background_init(&da->background, da->threads && prefetch_is_possible());
    watch_init(&da->watch, &da->background);
    pthread_mutex_init(&da->spare.lock, NULL);
    region_list_init(&da->list);
    da->fork = (struct fork_hook){.prepare = prepare_fork, .parent = forked_parent, .child = forked_child};
    fork_lock();
    fork_register(&da->fork, FORK_CLIENT);
    fork_unlock();
    *ret = steal(&da);
    return 0;
}

int diskalloc_open(const char *address, const struct diskalloc_options *options, struct diskalloc **ret)
{
    error_begin("diskalloc_open");
    return error_end(client_open(address, options, ret));
}

struct diskalloc *client_ref(struct diskalloc *da)
{
    atomic_fetch_add(&da->refs, 1);
    return da;
}

void client_unref(struct diskalloc *da)
{
    if (!da || atomic_fetch_sub(&da->refs, 1) > 1)
        return;
    fork_lock();
    fork_unregister(&da->fork);
    fork_unlock();
    watch_deinit(&da->watch);
    pthread_mutex_destroy(&da->spare.lock);
    background_deinit(&da->background);
    region_list_deinit(&da->list);
    da->backend->ops->close(da->backend);
    free(da->address);
    free(da);
}

bool client_drop_spare(struct diskalloc *da)
{
    bool (*drop)(struct diskalloc * da);

    pthread_mutex_lock(&da->spare.lock);
    drop = da->spare.drop;
    pthread_mutex_unlock(&da->spare.lock);
    return drop && drop(da);
}

// A spare region holds a reference, and the client's thread must not be the one that gives the last one back: so it
// must not be about to close that region.
void diskalloc_close(struct diskalloc *da)
{
    if (da) {
        client_drop_spare(da);
        background_cancel(&da->background, &da->spare.make);
        background_cancel(&da->background, &da->spare.idle);
    }
    client_unref(da);
}

const char *diskalloc_address(const struct diskalloc *da)
{
    return da->address;
}

static int get_usage(struct diskalloc *da, const char *subject, struct diskalloc_usage *ret, size_t size)
{
    struct diskalloc_usage usage = {0};
    int r;

    if (!da || !ret || size == 0)
        return -EINVAL;
    client_drop_spare(da);
    dispose_await(&da->background, 0);
    r = da->backend->ops->get_usage(da->backend, subject, &usage);
    if (r < 0)
        return r;
    memset(ret, 0, size);
    memcpy(ret, &usage, size < sizeof usage ? size : sizeof usage);
    return 0;
}

static int get_adaptation(struct diskalloc *da, struct diskalloc_adaptation *ret, size_t size)
{
    struct diskalloc_adaptation a;

    if (!da || !ret || size == 0)
        return -EINVAL;
    a = (struct diskalloc_adaptation){
        .rounds = da->watch.n_rounds, .to_single = da->watch.n_single, .to_large = da->watch.n_large};
    memset(ret, 0, size);
    memcpy(ret, &a, size < sizeof a ? size : sizeof a);
    return 0;
}

int diskalloc_get_adaptation(struct diskalloc *da, struct diskalloc_adaptation *ret, size_t size)
{
    error_begin("diskalloc_get_adaptation");
    return error_end(get_adaptation(da, ret, size));
}

static int next_region(struct diskalloc *da, uint64_t *cursor, struct diskalloc_region_info *ret, size_t size)
{
    struct diskalloc_region_info info;
    int r;

    if (!da || !cursor || !ret || size == 0)
        return error_why(-EINVAL, "a NULL argument, or a size of 0");
    r = region_list_next(&da->list, da->backend, cursor, &info);
    if (r <= 0)
        return r;
    memset(ret, 0, size);
    memcpy(ret, &info, size < sizeof info ? size : sizeof info);
    return r;
}

int diskalloc_next_region(struct diskalloc *da, uint64_t *cursor, struct diskalloc_region_info *ret, size_t size)
{
    error_begin("diskalloc_next_region");
    return error_end(next_region(da, cursor, ret, size));
}

int diskalloc_event_fd(struct diskalloc *da)
{
    error_begin("diskalloc_event_fd");
    return error_end(da ? da->backend->ops->event_fd(da->backend) : -EINVAL);
}

static int next_event(struct diskalloc *da, struct diskalloc_event *ret, size_t size)
{
    struct diskalloc_event event = {0};
    int r;

    if (!da || !ret || size == 0)
        return -EINVAL;
    r = da->backend->ops->next_event(da->backend, &event);
    if (r <= 0)
        return r;
    memset(ret, 0, size);
    memcpy(ret, &event, size < sizeof event ? size : sizeof event);
    return r;
}

int diskalloc_next_event(struct diskalloc *da, struct diskalloc_event *ret, size_t size)
{
    error_begin("diskalloc_next_event");
    return error_end(next_event(da, ret, size));
}

int diskalloc_get_usage(struct diskalloc *da, const char *subject, struct diskalloc_usage *ret, size_t size)
{
    error_begin("diskalloc_get_usage");
    return error_end(get_usage(da, subject, ret, size));
}
