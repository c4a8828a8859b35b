// Operations that are held up by others.
//
// Whoever has a region's file open can hold the kernel's lock of the file for ever: by a write whose buffer never
// comes, or by such a read past the page cache.  An operation that changes the file, or its record, then sleeps on
// its worker, and nothing can wake it.  The pool gets another worker (work/overseer.c).  The region's other
// operations wait behind; and when as many of a lane are stuck as the lane may have workers, everything else of that
// lane waits too.
//
// op_end_stuck runs on the loop from time to time.  An operation is stuck when its present piece has run for ten
// seconds, and the disk has answered other questions that were asked at the end of that time: so a disk that hangs is
// waited for.  A clone or a move may be held up by either of two disks: both have to answer.  A durable commit writes
// all that the client has stored, which takes a slow disk minutes while it answers as ever: such a piece (struct
// work.slow) is stuck after an hour only.  An operation that waits for its next piece is stuck when the lane is: behind
// slow pieces, or many, it only has to wait.
//
// A stuck operation that can be undone is cancelled, and its client gets an answer.  The others, which take away what
// their client has given up, have no answer before they end.  What waits behind a stuck operation has not begun, and is
// ended with -ETIMEDOUT.
//
// When the lock is free at last, the operation goes on, is undone or succeeds, and is concluded as any other: the
// charge is exact all the time.
#include <errno.h>
#include <stdio.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "proto/util/checked.h"

enum {
    STUCK_MS = 10 * 1000,
    SLOW_STUCK_MS = 60 * 60 * 1000,
    MOST_NAMED = 8, // holders in a message of the log
};

static const char why_file[] = "a process that has the region's file open holds up every change of it";
static const char why_lane[] = "processes hold up so many files of this user that no further change is begun";

static size_t name_holders(const struct region *r, char *text, size_t size)
{
    const struct attachment *a;
    size_t n = 0;
    int named = 0;

    text[0] = '\0';
    TAILQ_FOREACH (a, &r->holders.attachments, of_region)
        if (n < size && named++ < MOST_NAMED)
            n += (size_t)snprintf(text + n, size - n, "%suid %u pid %d", named > 1 ? ", " : "", a->holder.uid,
                                  (int)a->holder.pid);
    return n;
}

// Once for each region, and not of many regions.
static void tell(const struct op *op)
{
    struct region *r = op->source ? op->source : op->region; // of a new region nobody has the file
    char handle[HANDLE_TEXT_LENGTH + 1], holders[MOST_NAMED * 40];
    const struct log_fields fields = {
        .message_id = LOG_ID_STUCK, .has_user = true, .uid = r->record.owner_uid, .pid = op->pid, .handle = handle};

    if (r->stuck_told)
        return;
    r->stuck_told = true;
    if (!log_may(LOG_KIND_STUCK, r->record.owner_uid))
        return;
    handle_format(&r->record.handle, handle);
    name_holders(r, holders, sizeof holders);
    log_with(LOG_LEVEL_WARNING, &fields,
             "region %s of uid %u: a process that has its file open holds the file's lock for more than ten seconds; "
             "attached: %s; not logged again for this region",
             handle, fields.uid, holders[0] ? holders : "nobody");
}

static void end_stuck(struct op *op)
{
    tell(op);
    if (op->type->undoes && op_cancel(op) && op->late) {
        op->why = why_file;
        op->late(op);
        op->why = NULL;
    }
    op_end_behind(op, -ETIMEDOUT, why_file);
}

static bool uses(const struct op *op, const struct disk *disk)
{
    return op->region->disk == disk || op_other_disk(op) == disk;
}

// When the last question was asked that all disks of OP have answered.
static uint64_t answered_by_all(const struct op *op)
{
    const struct disk *other = op_other_disk(op);

    return other ? u64_min(op->region->disk->answered, other->answered) : op->region->disk->answered;
}

bool op_seem_stuck(const struct op_env *env, const struct disk *disk, uint64_t now)
{
    const struct op *op;

    LIST_FOREACH (op, &env->at_work, at_work)
        if (uses(op, disk) && now - worker_since(env->pool, &op->work) >= STUCK_MS)
            return true;
    return false;
}

void op_end_stuck(struct op_env *env, struct disk *disk, uint64_t answered)
{
    struct op *op, *next;

    disk->answered = answered;
    for (op = LIST_FIRST(&env->at_work); op; op = next) {
        uint64_t asked, before, slow_before;

        next = LIST_NEXT(op, at_work);
        if (!uses(op, disk))
            continue;
        asked = answered_by_all(op);
        before = asked > STUCK_MS ? asked - STUCK_MS : 0;
        slow_before = asked > SLOW_STUCK_MS ? asked - SLOW_STUCK_MS : 0;
        if (worker_since(env->pool, &op->work) > before)
            continue;
        if (worker_withdraw(env->pool, &op->work, before))
            op_end_withdrawn(op, -ETIMEDOUT, why_lane);
        else if (worker_is_held_up(env->pool, &op->work, before, slow_before))
            end_stuck(op);
    }
}
