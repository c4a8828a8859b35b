// When to ask whether an orphan may be removed.
//
// A closed connection does not prove that a client has ended: a forked child may go on with the memory, and a client
// that computes may not have noticed that the daemon was restarted.  So a region that loses its last attachment is
// not removed but becomes an orphan.  A probe (op/reap.c) asks the kernel whether anybody still has the file open or
// mapped, and removes the region if nobody has.  This file decides when each orphan is probed; it probes nothing
// itself.
//
// All functions run on the loop.  An orphan is probed at once, then 1, 2, 4 ... 1024 ms after the last probe, then
// each second for half a minute, then every ten seconds, until it is removed, attached or named.  Until then the region
// stays charged, whoever holds it.  While the short delays last, the region counts as "releasing": growth that is
// refused waits a moment for its charge to come back.
//
// A client that dies may leave very many regions.  So at most 16 probes of one owner run at a time, and owners take
// turns: the regions that are due stand in a queue for each owner, and the owners that have some stand in a ring.
//
// This file relies on one queue of operations a region: an attach that comes while a probe runs waits for the probe,
// and then finds the region, or finds none.  It does not watch processes, and it leaves regions with a name alone.
#include "daemon/orphans.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/region.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    N_QUICK = 12,         // probes with short delays: 0, 1, 2, 4 ... 1024 ms
    N_STEADY = 30,        // probes after these
    STEADY_MS = 1000,     // the delay before each of them
    SWEEP_MS = 10 * 1000, // the delay before each later probe
    N_QUEUES = N_QUICK + 2,
    MOST_OF_OWNER = 16, // probes that may run at the same time
    MOST_MADE_DUE = 64, // regions in one call; if there are more, the caller is to call again at once
};

TAILQ_HEAD(orphan_queue, region);
TAILQ_HEAD(owner_ring, user);

struct orphans {
    struct region_table *regions;
    void (*wake)(void *data, uint64_t at);
    void *data;
    // One queue for each delay: so each queue is in the order of its deadlines.
    struct orphan_queue queues[N_QUEUES];
    struct owner_ring owners; // those with regions that are due; the next to be served first
};

int orphans_new(struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data, struct orphans **ret)
{
    struct orphans *o = calloc(1, sizeof *o);

    if (!o)
        return -ENOMEM;
    o->regions = regions;
    o->wake = wake;
    o->data = data;
    for (unsigned i = 0; i < N_QUEUES; i++)
        TAILQ_INIT(&o->queues[i]);
    TAILQ_INIT(&o->owners);
    *ret = o;
    return 0;
}

void orphans_free(struct orphans *o)
{
    free(o);
}

static unsigned queue_index(const struct region *r)
{
    return r->n_probes < N_QUICK ? r->n_probes : r->n_probes < N_QUICK + N_STEADY ? N_QUICK : N_QUICK + 1;
}

static uint64_t delay_ms(unsigned index)
{
    if (index == 0)
        return 0;
    return index < N_QUICK ? (uint64_t)1 << (index - 1) : index == N_QUICK ? STEADY_MS : SWEEP_MS;
}

static void add(struct orphans *o, struct region *r)
{
    unsigned index = queue_index(r);

    r->probe_at = clock_now() + delay_ms(index);
    r->orphaned = true;
    region_set_releasing(o->regions, r, index < N_QUICK);
    o->regions->n_orphans++;
    TAILQ_INSERT_TAIL(&o->queues[index], r, orphan);
    if (TAILQ_FIRST(&o->queues[index]) == r) // for those before it, that was done
        o->wake(o->data, r->probe_at);
}

// The region is due: it waits for its owner's turn.
static void set_due(struct orphans *o, struct region *r)
{
    struct user *owner = r->owner;

    TAILQ_REMOVE(&o->queues[queue_index(r)], r, orphan);
    if (TAILQ_EMPTY(&owner->due_orphans))
        TAILQ_INSERT_TAIL(&o->owners, owner, of_orphans);
    TAILQ_INSERT_TAIL(&owner->due_orphans, r, orphan);
    r->orphan_is_due = true;
}

static void take(struct orphans *o, struct region *r)
{
    struct user *owner = r->owner;

    if (r->orphan_is_due) {
        TAILQ_REMOVE(&owner->due_orphans, r, orphan);
        if (TAILQ_EMPTY(&owner->due_orphans))
            TAILQ_REMOVE(&o->owners, owner, of_orphans);
    } else {
        TAILQ_REMOVE(&o->queues[queue_index(r)], r, orphan);
    }
    r->orphaned = r->orphan_is_due = false;
}

void orphans_consider(struct orphans *o, struct region *r)
{
    bool is_orphan = r->state == REGION_LIVE && region_is_transient(r) && r->holders.n_attached == 0;

    // While an operation is at work on it, such as a look at its file, the region is on its way back all the same.
    if (is_orphan && !r->orphaned && region_is_busy(r))
        region_set_releasing(o->regions, r, true);
    else if (is_orphan && !r->orphaned)
        add(o, r);
    if (is_orphan)
        return;
    if (r->orphaned) {
        take(o, r);
        o->regions->n_orphans--;
    }
    r->n_probes = 0;
    region_set_releasing(o->regions, r, false);
}

static void find_due(struct orphans *o, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    unsigned n = 0;

    for (unsigned i = 0; i < N_QUEUES; i++) {
        struct region *r;

        while ((r = TAILQ_FIRST(&o->queues[i])) && r->probe_at <= now && n++ < MOST_MADE_DUE)
            set_due(o, r);
        if (r)
            next = u64_min(next, r->probe_at);
    }
    if (next != UINT64_MAX)
        o->wake(o->data, next);
}

struct region *orphans_take_due(struct orphans *o, uint64_t now)
{
    struct user *owner;
    struct region *r;

    find_due(o, now);
    TAILQ_FOREACH (owner, &o->owners, of_orphans)
        if (owner->n_probes < MOST_OF_OWNER)
            break;
    if (!owner)
        return NULL;
    // The owner's turn is over: it goes to the end of the ring.
    TAILQ_REMOVE(&o->owners, owner, of_orphans);
    TAILQ_INSERT_TAIL(&o->owners, owner, of_orphans);
    owner->n_probes++;
    r = TAILQ_FIRST(&owner->due_orphans);
    take(o, r);
    return r;
}

void orphans_probed(struct orphans *o, struct region *r)
{
    r->n_probes++;
    o->regions->n_orphans--; // unless orphans_consider finds it to be one still
    // The owner may have been passed over.
    if (r->owner->n_probes-- == MOST_OF_OWNER)
        o->wake(o->data, clock_now());
}
