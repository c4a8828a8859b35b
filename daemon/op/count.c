// What is counted of operations, for the metrics: how long they took, how they ended, and which limits refused.
//
// Two readings of the clock and an addition for each operation (some 60 ns, where a small grow takes 20 us).  The time
// that an operation waits for a limit, for the disk or for the agreement of others is counted apart, because it says
// nothing about the daemon.  Operations that failed are counted, and their time is not: most of them end at once.
#include <errno.h>
#include <time.h>

#include "daemon/op/op_internal.h"
#include "daemon/user.h"
#include "proto/util/clock.h"

static void remember(const struct op *op)
{
    const struct quota_refusal *why = &op->refusal;
    const uid_t uid = op->asker ? op->asker->uid : op->region->record.owner_uid;
    struct tally_refusal *r = tally_refusal_place(&op->env->tally, uid, why->limit_name, (uint64_t)time(NULL));

    r->limit = why->limit;
    r->used = why->used;
    r->asked = why->asked;
    r->counts_bytes = why->resource == QUOTA_BYTES;
}

static void count_refusal(const struct op *op)
{
    if (op->result == -EDQUOT)
        quota_count_refusal(&op->refusal);
    else
        tally_note_disk_refusal(&op->env->tally, op->refusal.limit_name);
    remember(op);
}

void op_count(const struct op *op)
{
    struct tally *t = &op->env->tally;
    const enum tally_operation kind = op->type->tally;
    const enum tally_result result = tally_result_of(op->result);

    t->results[kind][result]++;
    if (result == TALLY_DONE)
        tally_note(&t->operations[kind], clock_now_us() - op->began_us);
    if (op->early)
        t->early[result == TALLY_DONE]++;
    if (result == TALLY_LIMIT || result == TALLY_FULL)
        count_refusal(op);
    if (result == TALLY_IO && !op->why)
        t->io_errors++;
}

void op_begin_wait(struct op *op)
{
    op->began_us = clock_now_us();
}

void op_end_wait(struct op *op)
{
    const uint64_t now = clock_now_us();

    tally_note(&op->env->tally.waits, now - op->began_us);
    op->began_us = now;
}
