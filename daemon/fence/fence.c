// Which fences hold: see fence.h.
#include "daemon/fence/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/fence/landlock.h"
#include "daemon/fence/passthrough.h"
#include "daemon/fence/passthrough_try.h"
#include "daemon/log.h"
#include "daemon/store/store.h"
#include "proto/util/cleanup.h"

struct fence {
    struct store *store;
    struct passthrough *passthrough; // NULL: it does not hold
    struct landlock *landlock;       // NULL: it does not hold
    struct projects *projects;       // NULL: it does not hold
    struct tripwire *tripwire;       // NULL: there is none
    atomic_bool blind;               // the kernel refused to watch a directory
    atomic_uint n_dirs_made;         // store_dirs_made, when the tripwire forgot what it watches
    char names[64];
    char missing[1024];
};

static void note_missing(struct fence *f, const char *fence, const char *why)
{
    size_t n = strlen(f->missing);

    snprintf(f->missing + n, sizeof f->missing - n, "%s%s: %s", n ? "; " : "", fence, why);
}

static int demand(const struct fence *f, const char *wanted, char **ret_error)
{
    if (asprintf(ret_error, "fence = %s: %s", wanted, f->missing) < 0)
        *ret_error = NULL;
    return -EOPNOTSUPP;
}

static void start_passthrough(struct fence *f)
{
    const char *why;
    int r = passthrough_new(store_dir_fd(f->store), &f->passthrough, &why);

    if (r == 0)
        r = passthrough_try(f->passthrough, store_dir_fd(f->store), &why);
    if (r == 0)
        return;
    note_missing(f, "passthrough", why);
    passthrough_free(f->passthrough);
    f->passthrough = NULL;
}

// Passthrough does more than Landlock, but costs more at each attach, and needs a right that the daemon does not have
// by itself: so the administrator has to ask for it.  See diskallocd(8).
static void set_up(struct fence *f, enum config_fence wanted)
{
    const char *why;

    if (wanted == CONFIG_FENCE_PASSTHROUGH)
        start_passthrough(f);
    else if (landlock_new(store_dir_fd(f->store), &f->landlock, &why) < 0)
        note_missing(f, "landlock", why);
    if (tripwire_new(store_dir_fd(f->store), &f->tripwire) < 0)
        f->blind = true;
    if (f->blind)
        note_missing(f, "tripwire",
                     "this machine lacks inotify instances for the daemon's user (fs.inotify.max_user_instances)");
}

// This fence needs a mount option and a right that the daemon does not have by itself.  Where both are given, it is
// wanted; the configuration cannot demand it.
static void start_projects(struct fence *f)
{
    const char *why;

    if (projects_new(&project_ops_system, store_dir_fd(f->store), &f->projects, &why) < 0)
        note_missing(f, "project quotas", why);
}

static void name_fence(struct fence *f, bool holds, const char *name)
{
    size_t n = strlen(f->names);

    if (holds)
        snprintf(f->names + n, sizeof f->names - n, "%s%s", n ? ", " : "", name);
}

int fence_new(enum config_fence wanted, struct store *store, struct fence **ret, char **ret_error)
{
    struct fence *f = calloc(1, sizeof *f);
    static const char *const demanded[] = {
        [CONFIG_FENCE_LANDLOCK] = "landlock", [CONFIG_FENCE_PASSTHROUGH] = "passthrough"};

    *ret_error = NULL;
    if (!f)
        return -ENOMEM;
    f->store = store;
    if (wanted != CONFIG_FENCE_OFF)
        set_up(f, wanted);
    if ((wanted == CONFIG_FENCE_LANDLOCK || wanted == CONFIG_FENCE_PASSTHROUGH) && f->missing[0]) {
        int r = demand(f, demanded[wanted], ret_error);

        fence_free(f);
        return r;
    }
    if (wanted != CONFIG_FENCE_OFF)
        start_projects(f);
    if (wanted == CONFIG_FENCE_AUTO)
        note_missing(f, "passthrough", "it has to be asked for, by fence = passthrough");
    name_fence(f, f->passthrough, "passthrough");
    name_fence(f, f->landlock, "landlock");
    name_fence(f, f->tripwire, "tripwire");
    name_fence(f, f->projects, "project quotas");
    *ret = f;
    return 0;
}

void fence_free(struct fence *f)
{
    if (!f)
        return;
    passthrough_free(f->passthrough);
    landlock_free(f->landlock);
    tripwire_free(f->tripwire);
    projects_free(f->projects);
    free(f);
}

const char *fence_names(const struct fence *f)
{
    return f->names;
}

const char *fence_missing(const struct fence *f)
{
    return f->missing;
}

void fence_watch(struct fence *f, uid_t owner)
{
    unsigned n = store_dirs_made(f->store);
    int r;

    if (!f->tripwire)
        return;
    // A directory that was removed by hand has taken its watch with it.
    if (atomic_exchange(&f->n_dirs_made, n) != n)
        tripwire_forget(f->tripwire);
    r = tripwire_watch(f->tripwire, owner);
    if (r == 0 || r == -ENOENT || atomic_exchange(&f->blind, true))
        return;
    log_warning("cannot watch the files of uid %u: %s (see fs.inotify.max_user_watches); all files are looked at from "
                "time to time instead",
                owner, strerror(-r));
}

struct projects *fence_projects(const struct fence *f)
{
    return f->projects;
}

struct tripwire *fence_tripwire(const struct fence *f)
{
    return f->tripwire;
}

bool fence_is_blind(const struct fence *f)
{
    return f->blind;
}

struct opening {
    struct store *store;
    uid_t owner;
    const struct handle *handle;
    int flags;
};

static int open_file(void *data)
{
    const struct opening *o = data;

    return store_open_file(o->store, o->owner, o->handle, o->flags);
}

static int open_passthrough(struct fence *f, const struct fence_order *o, struct opening *opening,
                            uint64_t *ret_generation)
{
    const struct passthrough_order order = {
        .user = o->user, .owner = o->owner, .handle = o->handle, .identity = o->identity, .is_mark = o->is_mark};
    _cleanup_close_ int fd = open_file(opening);

    return fd < 0 ? fd : passthrough_open(f->passthrough, fd, &order, ret_generation);
}

// A descriptor for reading only can change nothing: it needs no Landlock.
int fence_open(struct fence *f, const struct fence_order *o, uint64_t *ret_generation)
{
    struct opening opening = {.store = f->store, .owner = o->owner, .handle = o->handle, .flags = o->flags};

    *ret_generation = 0;
    if (o->flags != O_RDONLY)
        fence_watch(f, o->owner);
    if (f->passthrough)
        return open_passthrough(f, o, &opening, ret_generation);
    return f->landlock && o->flags != O_RDONLY ? landlock_run(f->landlock, open_file, &opening) : open_file(&opening);
}

bool fence_waits(const struct fence *f)
{
    return f->passthrough;
}

uint64_t fence_generation(struct fence *f)
{
    return f->passthrough ? passthrough_generation(f->passthrough) : 0;
}

int fence_is_alone(struct fence *f, uint64_t generation, const struct handle *handle, uint64_t identity)
{
    return f->passthrough ? passthrough_is_alone(f->passthrough, generation, handle, identity) : 0;
}
