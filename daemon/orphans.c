// When to ask whether an orphan may be removed.
//
// A closed connection does not prove that a client has ended: a forked child may go on with the memory, and a client that
// computes may not have noticed that the daemon was restarted.  So a region that loses its last attachment is not removed
// but becomes an orphan.  A probe (op/reap.c) asks the kernel whether anybody still has the file open or mapped, and removes
// the region if nobody has.  This file decides when each orphan is probed; it probes nothing itself.
//
// All functions run on the loop.  An orphan is probed at once, then 1, 2, 4 ... 1024 ms after the last probe, then every ten
// seconds, until it is removed, attached or named.  Until then the region stays charged, whoever holds it.  While the short
// delays last, the region counts as "releasing": growth that is refused waits a moment for its charge to come back.
//
// At most 64 probes run at a time, so that the death of a client with very many regions does not crowd out other work.
//
// This file relies on one queue of operations a region: an attach that comes while a probe runs waits for the probe, and
// then finds the region, or finds none.  It does not watch processes, and it leaves regions with a name alone.
#include "daemon/orphans.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/region.h"
#include "proto/util/clock.h"

enum {
    N_QUICK = 12,         // probes with short delays: 0, 1, 2, 4 ... 1024 ms
    SWEEP_MS = 10 * 1000, // the delay before each later probe
    MOST_AT_ONCE = 64,    // probes that may run at the same time
};

TAILQ_HEAD(orphan_queue, region);

struct orphans {
    struct region_table *regions;
    void (*wake)(void *data, uint64_t at);
    void *data;
    // One queue for each delay: so each queue is in the order of its deadlines.
    struct orphan_queue queues[N_QUICK + 1];
    unsigned n_running; // probes taken and not yet ended
};

int orphans_new(struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data, struct orphans **ret)
{
    struct orphans *o = calloc(1, sizeof *o);

    if (!o)
        return -ENOMEM;
    o->regions = regions;
    o->wake = wake;
    o->data = data;
    for (unsigned i = 0; i <= N_QUICK; i++)
        TAILQ_INIT(&o->queues[i]);
    *ret = o;
    return 0;
}

void orphans_free(struct orphans *o)
{
    free(o);
}

static unsigned queue_index(const struct region *r)
{
    return r->n_probes < N_QUICK ? r->n_probes : N_QUICK;
}

static uint64_t delay_ms(unsigned index)
{
    if (index == 0)
        return 0;
    return index < N_QUICK ? (uint64_t)1 << (index - 1) : SWEEP_MS;
}

static void add(struct orphans *o, struct region *r)
{
    unsigned index = queue_index(r);

    r->probe_at = clock_now() + delay_ms(index);
    r->orphaned = true;
    region_set_releasing(o->regions, r, index < N_QUICK);
    o->regions->n_orphans++;
    TAILQ_INSERT_TAIL(&o->queues[index], r, orphan);
    if (o->n_running < MOST_AT_ONCE)
        o->wake(o->data, r->probe_at);
}

static void take(struct orphans *o, struct region *r)
{
    TAILQ_REMOVE(&o->queues[queue_index(r)], r, orphan);
    r->orphaned = false;
    o->regions->n_orphans--;
}

void orphans_consider(struct orphans *o, struct region *r)
{
    bool is_orphan = r->state == REGION_LIVE && region_is_transient(r) && r->n_attachments == 0;

    if (is_orphan && !r->orphaned && !region_is_busy(r))
        add(o, r);
    if (is_orphan)
        return;
    if (r->orphaned)
        take(o, r);
    r->n_probes = 0;
    region_set_releasing(o->regions, r, false);
}

struct region *orphans_take_due(struct orphans *o, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    if (o->n_running == MOST_AT_ONCE)
        return NULL;
    for (unsigned i = 0; i <= N_QUICK; i++) {
        struct region *r = TAILQ_FIRST(&o->queues[i]);

        if (r && r->probe_at <= now) {
            take(o, r);
            o->n_running++;
            return r;
        }
        if (r && r->probe_at < next)
            next = r->probe_at;
    }
    if (next != UINT64_MAX)
        o->wake(o->data, next);
    return NULL;
}

void orphans_probed(struct orphans *o, struct region *r)
{
    r->n_probes++;
    // Orphans may have become due while no further probe could start.
    if (o->n_running-- == MOST_AT_ONCE)
        o->wake(o->data, clock_now());
}
