// Looking at a region's file after it was changed, and making it again what is granted.
//
// op_verify_suspects runs on the loop when a suspect is due (suspects.c) and submits one op_verify for it.  In the
// region's own queue nothing else is at work on the file, so what is granted is certain.  On a worker the operation
// compares the file with that.  What lies behind the granted size is cut off, never more; a file that was made shorter
// gets its size back; and granted bytes that have lost their blocks get blocks again, whose zeros are the doing of
// whoever punched the holes.  So blocks, charge and record agree again, and a granted byte has a block.
//
// The daemon's own grows and shrinks make suspects as well.  While they go on, the operation looks at size and number
// of blocks only, which costs next to nothing; a region that has been quiet for a moment gets a deep look.
//
// The log tells of the first change of a region and who has it attached, and when the region is frozen; a few times a
// minute for one owner.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/size.h"

enum {
    QUIET_MS = 1000,     // events of the daemon's own changes are read much sooner
    TOLD_MS = 60 * 1000, // in this time, the log tells of MOST_TOLD changes by one owner
    MOST_TOLD = 4,
    WRITERS_SIZE = 160, // bytes
};

static int prepare_verify(struct op *op)
{
    const struct region *r = op->region;

    if (r->state != REGION_LIVE)
        return OP_NOTHING_TO_DO;
    op->deep = op->noted && clock_now() - r->changed_at > QUIET_MS;
    return 0;
}

static struct store_grant grant_of(const struct op *op)
{
    const struct region *r = op->region;

    return (struct store_grant){.size = r->size,
                                .discarded = &r->discarded,
                                .sparse = r->record.flags & RECORD_SPARSE,
                                .has_odd_end = r->has_odd_end};
}

static bool deviates(const struct store_deviation *d)
{
    return d->longer || d->shorter || d->extra || d->missing;
}

static enum work_status look(struct op *op)
{
    const struct store_grant grant = grant_of(op);
    int r = op_open_file(op);

    if (r == 0)
        r = store_compare(op_store(op), op->file, &grant, op->deep, &op->deviation);
    if (r < 0 || !deviates(&op->deviation))
        return op_finish_run(op, r);
    // Mending takes as long as the change was large: that is no work for the worker that is kept for brief work.
    op->work.brief = false;
    return WORK_AGAIN;
}

static enum work_status end_mending(struct op *op, int error)
{
    op->mend_error = error;
    return op_finish_run(op, 0);
}

// Some file systems allocate blocks behind the end by themselves, and keep them.
static bool has_odd_end(struct op *op)
{
    const struct store_grant grant = grant_of(op);
    struct store_deviation d;

    return store_compare(op_store(op), op->file, &grant, true, &d) == 0 && d.behind > 0;
}

// Discarded parts are punched again: a store through a mapping has given them blocks.
static int discard_again(struct op *op)
{
    const struct ranges *discarded = &op->region->discarded;
    int r = 0;

    for (size_t i = 0; r == 0 && i < discarded->n; i++)
        r = store_punch(op_store(op), op->file, discarded->items[i].offset, discarded->items[i].length);
    return r;
}

static enum work_status cut(struct op *op)
{
    const struct store_deviation *d = &op->deviation;
    int r = 0;

    op->is_cut = true;
    if (d->longer || d->extra)
        r = store_truncate(op_store(op), op->file, op->region->size);
    if (r == 0 && d->extra > d->behind)
        r = discard_again(op);
    if (r == 0 && d->behind && !d->longer && has_odd_end(op))
        op->region->has_odd_end = true;
    if (r < 0 || (!d->shorter && !d->missing))
        return end_mending(op, r);
    return WORK_AGAIN;
}

// The size comes last, as in a grow: below it, bytes have blocks.
static enum work_status fill_piece(struct op *op)
{
    const struct region *region = op->region;
    uint64_t to = u64_min(op->at + SPILLFILE_PIECE, region->size);
    int r = 0;

    if (op->deviation.missing)
        r = store_fill(op_store(op), op->file, op->at, to, &region->discarded);
    op->at = to;
    if (r == 0 && op->deviation.missing && to < region->size)
        return WORK_AGAIN;
    if (op->deviation.shorter) {
        int size_error = store_truncate(op_store(op), op->file, region->size);

        r = r < 0 ? r : size_error;
    }
    return end_mending(op, r);
}

static enum work_status run_verify(struct op *op)
{
    if (op->file < 0)
        return look(op);
    return op->is_cut ? fill_piece(op) : cut(op);
}

const struct op_type op_verify = {
    .tally = TALLY_VERIFY,
    .prepare = prepare_verify,
    .run = run_verify,
};

// "uid 1000 (pid 12, pid 13)" and so on: those who could have made the change as far as the daemon knows.
static void list_writers(const struct region *r, char ret[static WRITERS_SIZE], pid_t *ret_first)
{
    const struct attachment *a;
    size_t n = 0;

    *ret_first = 0;
    ret[0] = '\0';
    TAILQ_FOREACH (a, &r->holders.attachments, of_region) {
        if (a->read_only || n >= WRITERS_SIZE)
            continue;
        if (n == 0)
            *ret_first = a->holder.pid;
        n += (size_t)snprintf(ret + n, WRITERS_SIZE - n, "%suid %u pid %d", n ? ", " : "", a->holder.uid,
                              (int)a->holder.pid);
    }
    if (n == 0)
        snprintf(ret, WRITERS_SIZE, "nobody has it attached for writing now");
}

static const char *describe(const struct store_deviation *d, char ret[static 2 * SIZE_TEXT_MAX + 64])
{
    char a[SIZE_TEXT_MAX];

    if (d->shorter)
        sprintf(ret, "%s were cut off", size_format(d->shorter, a));
    else if (d->longer)
        sprintf(ret, "it was %s longer than granted", size_format(d->longer, a));
    else if (d->extra)
        sprintf(ret, "it had %s of blocks more than granted", size_format(d->extra, a));
    else
        sprintf(ret, "%s had no blocks any more", size_format(d->missing, a));
    return ret;
}

static void tell(const struct op *op, enum suspects_verdict verdict)
{
    const struct region *r = op->region;
    char handle[HANDLE_TEXT_LENGTH + 1], writers[WRITERS_SIZE], what[2 * SIZE_TEXT_MAX + 64];
    struct log_fields fields = {
        .message_id = LOG_ID_TAMPERED, .has_user = true, .uid = r->record.owner_uid, .handle = handle};

    handle_format(&r->record.handle, handle);
    list_writers(r, writers, &fields.pid);
    describe(&op->deviation, what);
    op_report(op, REPORT_TAMPERED, what);
    log_with(LOG_LEVEL_WARNING, &fields,
             "region %s of uid %u: its file was changed behind the daemon's back (%s); attached for writing: %s; %s%s",
             handle, fields.uid, what, writers, op->mend_error ? "it could not be mended: " : "mended",
             op->mend_error               ? strerror(-op->mend_error)
             : verdict == SUSPECTS_FROZEN ? ", and frozen for ten minutes, because this was the second time"
                                          : "; not logged again for this region");
}

// A client that changes very many regions must not fill the log.
static bool may_tell(struct user *owner, uint64_t now)
{
    if (owner->tampering_told_at == 0 || now - owner->tampering_told_at >= TOLD_MS) {
        owner->tampering_told_at = now;
        owner->n_tampering_told = 0;
    }
    return owner->n_tampering_told++ < MOST_TOLD;
}

// The file system may allocate a little behind the end by itself; and a large page at the edge of a discarded part may
// have been written whole, though only its other half was stored to.
static bool is_harmless(const struct op *op)
{
    const uint64_t large_page = 2 << 20;
    const struct store_deviation *d = &op->deviation;

    return !d->longer && !d->shorter && !d->missing && d->behind < 64UL * 1024 &&
           d->extra - d->behind <= 2 * large_page * op->region->discarded.n;
}

static void note_deviation(struct op *op)
{
    enum suspects_verdict verdict;
    uint64_t now = clock_now();

    op->env->n_mended += op->mend_error == 0;
    if (is_harmless(op))
        return;
    verdict = suspects_offence(op->region, now);
    op->env->tally.fence_tampered++;
    op->env->tally.fence_frozen += verdict == SUSPECTS_FROZEN;
    if (verdict != SUSPECTS_KNOWN && may_tell(op->region->owner, now))
        tell(op, verdict);
}

static void verify_done(struct op *op)
{
    struct region *r = op->region;
    bool failed = op->result < 0 || op->mend_error < 0, live = r->state == REGION_LIVE;

    if (op->result == 0 && live && deviates(&op->deviation))
        note_deviation(op);
    suspects_looked_at(op->env->suspects, r, live && op->deep != op->noted, live && failed);
    free(op);
}

void op_verify_suspects(struct op_env *env, uint64_t now)
{
    struct region *r;
    bool noted;

    while ((r = suspects_take_due(env->suspects, now, &noted))) {
        struct op *op = malloc(sizeof *op);

        if (!op) {
            suspects_looked_at(env->suspects, r, true, true);
            continue;
        }
        op_init(op, env, &op_verify, r);
        op->noted = noted;
        op->done = verify_done;
        op_submit(op);
    }
}

int op_check_frozen(struct op *op)
{
    if (!op->region->suspicion || !suspects_is_frozen(op->region, clock_now()))
        return 0;
    op->why = "the region's file was changed behind the daemon's back more than once: it does not grow, and cannot be "
              "attached for writing, until ten minutes have passed without that";
    return -EACCES;
}
