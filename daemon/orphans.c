// Who is alive.  A closed connection proves nothing: a forked child may go on with the memory, and a client that computes may
// not have noticed that the daemon was started anew.  So a region without attachments is only an orphan, and is removed when
// the kernel grants a write lease on its file, which it does when nobody else has it open or mapped.
//
// Guarantees: an anonymous or unlinked region without attachments is probed at once, then after 1, 2, 4 ... 1024 ms, then every
// ten seconds, until it can be removed or is attached again; probes of many orphans do not crowd out other work (so
// many at a time).  Until it is removed it stays linked and charged, whoever holds it.
//
// It relies on: operations of one region being serialised (an attach that comes while a probe runs waits for it and then
// finds the region or not), and on regions of an earlier boot being nobody's.
//
// It does not: touch named regions, or watch for processes to end.
#include "daemon/orphans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "proto/util/clock.h"

enum {
    N_QUICK = 12, // delays 0, 1, 2, 4 ... 1024 ms
    SWEEP_MS = 10 * 1000,
    MOST_AT_ONCE = 64,
};

TAILQ_HEAD(orphan_queue, region);

struct orphans {
    struct op_env *env;
    void (*wake)(void *data, uint64_t at);
    void *data;
    // One delay, one queue: each is in the order of its deadlines.
    struct orphan_queue queues[N_QUICK + 1];
    unsigned n_running;
};

int orphans_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct orphans **ret)
{
    struct orphans *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    a->env = env;
    a->wake = wake;
    a->data = data;
    for (unsigned i = 0; i <= N_QUICK; i++)
        TAILQ_INIT(&a->queues[i]);
    *ret = a;
    return 0;
}

void orphans_free(struct orphans *a)
{
    free(a);
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

static void add(struct orphans *a, struct region *r)
{
    unsigned index = queue_index(r);

    r->probe_at = clock_now() + delay_ms(index);
    r->orphaned = true;
    region_set_releasing(a->env->regions, r, index < N_QUICK);
    a->env->regions->n_orphans++;
    TAILQ_INSERT_TAIL(&a->queues[index], r, orphan);
    if (a->n_running < MOST_AT_ONCE)
        a->wake(a->data, r->probe_at);
}

static void take(struct orphans *a, struct region *r)
{
    TAILQ_REMOVE(&a->queues[queue_index(r)], r, orphan);
    r->orphaned = false;
    a->env->regions->n_orphans--;
}

void orphans_consider(struct orphans *a, struct region *r)
{
    bool is_orphan = r->state == REGION_LIVE && region_is_transient(r) && r->n_attachments == 0;

    if (is_orphan && !r->orphaned && !op_is_busy(r))
        add(a, r);
    if (!is_orphan && r->orphaned)
        take(a, r);
    if (!is_orphan) {
        r->n_probes = 0;
        region_set_releasing(a->env->regions, r, false);
    }
}

static void probe_done(struct op *op)
{
    struct orphans *a = op->owner;
    struct region *r = op->region;

    a->n_running--;
    if (op->result < 0 && op->result != -EBUSY && op->result != -ESHUTDOWN && r->n_probes == 0)
        log_warning("region of uid %u cannot be removed: %s; trying again later", r->record.owner_uid,
                    strerror(-op->result));
    r->n_probes++;
    if (a->n_running == MOST_AT_ONCE - 1)
        a->wake(a->data, clock_now());
    free(op);
    // The region's queue goes on from here: orphans_consider puts it back among the orphans if it still is one.
}

static void probe(struct orphans *a, struct region *r)
{
    struct op *op = malloc(sizeof *op);

    take(a, r);
    if (!op) {
        r->n_probes++;
        add(a, r);
        return;
    }
    op_init(op, a->env, &op_reap, r);
    op->done = probe_done;
    op->owner = a;
    a->n_running++;
    op_submit(op);
}

void orphans_run(struct orphans *a, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i <= N_QUICK; i++) {
        struct region *r;

        while (a->n_running < MOST_AT_ONCE && (r = TAILQ_FIRST(&a->queues[i])) && r->probe_at <= now)
            probe(a, r);
        r = TAILQ_FIRST(&a->queues[i]);
        if (r && r->probe_at < next)
            next = r->probe_at;
    }
    if (next != UINT64_MAX && a->n_running < MOST_AT_ONCE)
        a->wake(a->data, next);
}
