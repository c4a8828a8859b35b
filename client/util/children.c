// Children that share this process's regions.
//
// A forked child maps what its parent maps.  A shrink or discard by the parent would kill the child (SIGBUS), or
// change bytes under it.  The daemon does not know of the child, and the parent knows neither when the child ends nor
// when it runs another program.  The kernel tells by a witness that parent and child have: see witness.c.
//
// A process that forks often has several of them, MOST_WATCHES at most.  From then on a child shares the youngest one,
// which then stands for all these children.
//
// Nothing shows a child that was made without fork handlers (vfork, clone, posix_spawn).  Where no witness can be had,
// all children count as living.
#include "client/util/children.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/util/fork.h"
#include "client/util/witness.h"
#include "proto/util/clock.h"

enum {
    MOST_WATCHES = 16,
    ENDING_MS = 100, // between fork and exec
    PAUSE_MS = 2,
};

struct watch {
    struct witness witness;
    unsigned number; // of the last child that it stands for
};

// All guarded by the lock of the process.
static struct watch watches[MOST_WATCHES];
static unsigned n_watches;
static unsigned unseen; // number of the last child of which the kernel would not tell
static struct witness_ends childs_ends = {.pipe = -1, .memory = -1}; // during a fork
static LIST_HEAD(regions, shared_region) open_regions = LIST_HEAD_INITIALIZER(open_regions);
// Regions that were closed, copied, as long as a child may live that inherited them: the region may be opened again.
static struct regions closed_regions = LIST_HEAD_INITIALIZER(closed_regions);
static _Atomic unsigned n_children;
static _Atomic uint64_t forked_at; // ms, monotonic: the youngest of them
static struct fork_hook hook;
static bool hooked;

static void remove_watch(unsigned i, bool has_ended)
{
    witness_close(&watches[i].witness, has_ended);
    watches[i] = watches[--n_watches];
}

static void remove_all(void)
{
    while (n_watches > 0)
        remove_watch(n_watches - 1, false);
}

static void remove_ended(void)
{
    for (unsigned i = n_watches; i-- > 0;) {
        bool is_ours = witness_is_ours(&watches[i].witness);

        if (!is_ours && watches[i].number > unseen) // the program has closed it
            unseen = watches[i].number;
        if (!is_ours || !witness_has_child(&watches[i].witness))
            remove_watch(i, is_ours && !LIST_EMPTY(&open_regions));
    }
}

static struct watch *youngest(void)
{
    struct watch *best = NULL;

    for (unsigned i = 0; i < n_watches; i++)
        if (!best || watches[i].number > best->number)
            best = &watches[i];
    return best;
}

static struct watch *add_watch(void)
{
    struct watch *w = &watches[n_watches];

    if (!witness_make(&w->witness, &childs_ends))
        return NULL;
    n_watches++;
    return w;
}

static struct watch *share_watch(void)
{
    struct watch *w = youngest();

    return witness_share(&w->witness, &childs_ends) ? w : NULL;
}

static void prepare_fork(struct fork_hook *h)
{
    struct watch *w;

    (void)h;
    remove_ended();
    if (LIST_EMPTY(&open_regions) && LIST_EMPTY(&closed_regions))
        return;
    n_children++;
    forked_at = clock_now();
    w = n_watches < MOST_WATCHES ? add_watch() : share_watch();
    if (w)
        w->number = n_children;
    else
        unseen = n_children;
}

static void after_fork(struct fork_hook *h)
{
    (void)h;
    witness_close_ends(&childs_ends);
}

// The child has no children yet.
static void forked(struct fork_hook *h)
{
    struct shared_region *s;

    (void)h;
    remove_all();
    witness_close_spare();
    while ((s = LIST_FIRST(&closed_regions))) {
        LIST_REMOVE(s, entry);
        free(s);
    }
    LIST_FOREACH (s, &open_regions, entry)
        s->before = 0;
    unseen = 0;
    n_children = 0;
    witness_keep_ends(&childs_ends);
}

void children_watch(struct shared_region *s)
{
    fork_lock();
    if (!hooked) {
        hook = (struct fork_hook){.prepare = prepare_fork, .parent = after_fork, .child = forked};
        fork_register(&hook, FORK_REGION);
        hooked = true;
    }
    *s = (struct shared_region){.before = atomic_load(&n_children)};
    LIST_INSERT_HEAD(&open_regions, s, entry);
    fork_unlock();
}

// With the lock held.
static bool may_live(unsigned before)
{
    const struct watch *w;

    remove_ended();
    w = youngest();
    return unseen > before || (w && w->number > before);
}

static void take_before(struct shared_region *s, const struct regions *list)
{
    const struct shared_region *other;

    LIST_FOREACH (other, list, entry)
        if (other != s && other->before < s->before && strcmp(other->handle, s->handle) == 0)
            s->before = other->before;
}

// Looks through the lists only while a child lives.
void children_name(struct shared_region *s, const char *handle)
{
    fork_lock();
    snprintf(s->handle, sizeof s->handle, "%s", handle);
    if (s->handle[0] && s->before > 0 && may_live(0)) {
        take_before(s, &open_regions);
        take_before(s, &closed_regions);
    }
    fork_unlock();
}

static void forget_ended(void)
{
    struct shared_region *s, *next;

    for (s = LIST_FIRST(&closed_regions); s; s = next) {
        next = LIST_NEXT(s, entry);
        if (!may_live(s->before)) {
            LIST_REMOVE(s, entry);
            free(s);
        }
    }
}

void children_forget(struct shared_region *s)
{
    struct shared_region *copy = NULL;

    fork_lock();
    LIST_REMOVE(s, entry);
    if (!LIST_EMPTY(&closed_regions))
        forget_ended();
    if (s->handle[0] && n_children > s->before && may_live(s->before))
        copy = malloc(sizeof *copy);
    if (copy) {
        *copy = *s;
        LIST_INSERT_HEAD(&closed_regions, copy, entry);
    }
    if (LIST_EMPTY(&open_regions)) {
        witness_close_spare();
        if (LIST_EMPTY(&closed_regions))
            remove_all();
    }
    fork_unlock();
}

static bool lives(unsigned before)
{
    bool r;

    fork_lock();
    r = may_live(before);
    fork_unlock();
    return r;
}

bool children_were_made(const struct shared_region *s)
{
    return n_children > s->before;
}

bool children_live(const struct shared_region *s)
{
    uint64_t until = forked_at + ENDING_MS;

    if (n_children <= s->before)
        return false;
    while (lives(s->before)) {
        if (unseen > s->before || clock_left(until) == 0)
            return true;
        poll(NULL, 0, PAUSE_MS);
    }
    return false;
}
