// The queue of operations of each region.
//
// A region has one queue of operations, and only the first of them is at work.  So whatever an operation found true in
// prepare is still true in run and in conclude, and nothing of a region needs a lock.
//
// An operation goes through these steps.  prepare, on the loop, checks and charges.  run, on a worker, changes the
// file; a long run does one piece at a time.  conclude, on the loop, enters the change into the tables or gives the
// charge back. done, on the loop, tells the submitter; it is called exactly once, whatever becomes of the region.  A
// failed operation leaves the region, its file and all accounts as they were.
//
// A refused operation that may wait for a limit (wait.c decides that) is parked: taken out of the region's queue, so
// that other operations of the region go on.  resume.c tries a parked operation again; it goes back to the head of
// the queue when it is granted.  An operation on a region that is still being made is not parked: nothing else can go
// on there.
//
// A region that is removed fails the operations queued behind with -ENOENT, and is freed when the last of them has
// ended.
//
// A clone (clone.c) reads a second region's file, and whoever has that region may hold its file's lock.  It takes a
// share of the workers that is for the clones of its user (lane_of).
//
// This file relies on run touching only its own operation, the store, and those fields of the region that only
// operations change.  It does not know requests, and it does not bound the queue: conn.c bounds the requests in
// flight.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/disk.h"
#include "daemon/op/bound.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/quota/charge.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

static void advance(struct op_env *env, struct region *r);

static struct op *op_of(struct work *w)
{
    return container_of(w, struct op, work);
}

static enum work_status run_work(struct work *w)
{
    struct op *op = op_of(w);

    if (!op->type->keeps_file)
        region_close_file(op->region);
    return op->type->run(op);
}

// Takes OP out of the region's queue: the operations behind it go on while it waits.
static void park(struct op *op)
{
    if (op->region->state != REGION_LIVE)
        return;
    TAILQ_REMOVE(&op->region->ops, op, entry);
    op->region->n_parked++;
    op->parked = true;
}

static void unpark(struct op *op)
{
    if (!op->parked)
        return;
    TAILQ_INSERT_HEAD(&op->region->ops, op, entry);
    op->region->n_parked--;
    op->parked = false;
}

// Ends OP, which has failed with RESULT (-errno), or succeeded (RESULT >= 0).
static void end(struct op *op, int result)
{
    // An early grow is not needed yet: the caller is not told of a limit, and the log is not either.
    if (op->early && (result == -EDQUOT || result == -ENOSPC || op->why))
        result = -EXFULL;
    if (result == -EXFULL)
        op->refusal = (struct quota_refusal){0};
    op_end_placing(op, result);
    op_report_failure(op, result);
    if (op->wait_reported)
        op_report_limit(op, REPORT_WAIT_ENDED, result >= 0 ? "granted" : strerror(-result));
    if (result < 0 && op->type->refused)
        op->type->refused(op);
    unpark(op);
    TAILQ_REMOVE(&op->region->ops, op, entry);
    wait_unwatch(op->env->wait, op);
    free(op->identities);
    op->identities = NULL;
    op->result = result < 0 ? result : 0;
    op_count(op);
    op->done(op);
}

// Lets OP wait if RESULT is a refusal that may be taken back later; otherwise ends OP.  True: OP waits.
static bool wait_or_end(struct op *op, int result)
{
    bool waits = wait_enter(op->env->wait, op, result);

    // Cancelled while it was queued behind another: it would have waited, and been cancelled then.
    if (!waits && op->cancelled && (result == -EDQUOT || result == -ENOSPC || result == -EBUSY))
        result = -ECANCELED;
    op_suspect_full_disk(op, result);
    if (waits && op->wait_deadline > 0 && !op->wait_reported) {
        op->wait_reported = true;
        op_report_limit(op, REPORT_WAITS, NULL);
    }
    if (waits) {
        op_begin_wait(op);
        park(op);
    } else {
        end(op, result);
    }
    return waits;
}

static void work_done(struct work *w)
{
    struct op *op = op_of(w);
    struct op_env *env = op->env;
    struct region *r = op->region;
    // A failure gives back the operation's charge.  A parked operation of this region has waited for this one to end.
    bool poke = op->type->releases || op->result < 0 || r->n_parked > 0;

    LIST_REMOVE(op, at_work);
    if (op->type->changes_file)
        r->changed_at = clock_now();
    if (op->type->conclude)
        op->type->conclude(op);
    op->changed = op->type->is_news && (op->result >= 0 || op->is_partial);
    region_note_file(env->regions, r);
    // The release that this operation promised has happened, or has failed.  orphans_consider knows of further ones.
    if (op->type->releases && r->state != REGION_GONE)
        region_set_releasing(env->regions, r, false);
    op_tighten(op);
    if (op_tries_elsewhere(op)) {
        advance(env, r);
        return;
    }
    if (wait_or_end(op, op->result))
        poke = false; // OP would be tried again at once
    advance(env, r);
    if (poke)
        wait_poke(env->wait);
}

// The upper half of a lane's key says who may hold up its work, beside the user whose lane the lower half is: 0 for
// nobody, a user's lane and 1, or one of these.  Only uids next to the highest one could be taken for them.
#define OTHERS_SEVERAL (UINT32_MAX - 1)
#define OTHERS_UNLISTED (UINT32_MAX - 2)
#define OTHERS_OF_CLONES (UINT32_MAX - 3)

static uint32_t others_of(const struct region *r)
{
    const struct holders *h = &r->holders;

    if (h->has_strangers)
        return OTHERS_SEVERAL;
    if (!h->has_stranger)
        return 0;
    return h->stranger == WORK_LANE_UNLISTED ? OTHERS_UNLISTED : h->stranger + 1;
}

// A process that has a file open can hold the workers up that the file's lane may have (see work/worker.c).  So the
// regions that a user shares with another one have a lane of their own for each pair of users, and one for those that
// are shared among more: neither a user's own regions nor those shared with others are held up.
//
// Copying takes long, and whoever has the source may hold it up.  So a user's clones have a lane of their own, unless
// nobody else has the source: with any number of clones a user holds up neither the owner of the source, nor others who
// clone it, nor what that user does with other regions.
static uint64_t lane_of(const struct op *op)
{
    const struct region *source = op->source;
    uint64_t others = others_of(source ? source : op->region);

    if (source && (others > 0 || user_lane(source->owner) != user_lane(op->region->owner)))
        others = OTHERS_OF_CLONES;
    return others << 32 | user_lane(op->region->owner);
}

// An operation that reads or writes a second disk is held up when either of the two hangs.  So these have a share of
// their own for each second disk.  They have none for each pair: of N disks, a lane has 2N shares at most.
static unsigned share_of(const struct op *op)
{
    const struct disk *other = op_other_disk(op);

    return other ? CONFIG_MOST_DISKS + other->number : op->region->disk->number;
}

static void run(struct op *op)
{
    LIST_INSERT_HEAD(&op->env->at_work, op, at_work);
    if (op->type->releases)
        region_set_releasing(op->env->regions, op->region, true);
    op->work = (struct work){
        .lane = lane_of(op),
        .disk = share_of(op),
        .brief = op->brief,
        .instant = op->instant,
        .run = run_work,
        .done = work_done,
    };
    worker_submit(op->env->pool, &op->work);
}

// As the type's prepare; but operations that wait for a limit may have to come first, and then OP is refused as they
// were.
static int prepare(struct op *op)
{
    int result;

    if (op->region->state == REGION_GONE)
        return -ENOENT;
    op->refusal = (struct quota_refusal){0};
    op->result = op->undo = 0;
    op->sealed = op->is_partial = op->changed = false;
    if (op->type->makes_region && !op_place(op)) {
        op->why = "no spill directory takes new regions of this user: see [disk PATH] in diskallocd.conf(5)";
        return -EACCES;
    }
    op->why = op->type->charges ? op->region->disk->problem : NULL;
    if (op->why)
        return -EIO;
    result = op->type->prepare(op);
    if (result != 0 || !wait_holds_back(op->env->wait, op))
        return result;
    result = op->refusal.account ? -EDQUOT : -ENOSPC;
    op->result = result;
    op->type->conclude(op); // gives back what prepare charged
    return result;
}

// Starts the first operation of R that has something to run, and ends those before it that have nothing to run.
static void advance(struct op_env *env, struct region *r)
{
    struct op *op;

    while ((op = TAILQ_FIRST(&r->ops)) && !op->is_waiting) {
        int result = prepare(op);

        if (result == 0) {
            run(op);
            return;
        }
        wait_or_end(op, result);
    }
    orphans_consider(env->orphans, r);
    if (r->state == REGION_GONE && !region_is_busy(r)) {
        suspects_forget(env->suspects, r);
        region_free(r);
    }
}

void op_submit(struct op *op)
{
    struct region *r = op->region;
    bool first = TAILQ_EMPTY(&r->ops);

    op->began_us = clock_now_us();
    TAILQ_INSERT_TAIL(&r->ops, op, entry);
    if (op->wait_deadline > 0 && op->wait_deadline != UINT64_MAX)
        wait_watch(op->env->wait, op);
    if (first)
        advance(op->env, r);
}

bool op_cancel(struct op *op)
{
    op->cancelled = true;
    if (op->is_waiting)
        wait_cancel(op->env->wait, op);
    return op->type->undoes && !op->sealed;
}

// Whether the region that OP makes is waited for by an operation behind it: the client has lost its connection, and has
// asked for the region once more on another one.
static bool is_asked_for_again(const struct op *op)
{
    const struct op *behind = op;

    if (op->region->state != REGION_BEING_MADE)
        return false;
    while ((behind = TAILQ_NEXT(behind, entry)) && behind->cancelled)
        continue;
    return behind;
}

void op_abandon(struct op *op)
{
    if (is_asked_for_again(op))
        return;
    op_cancel(op);
    if (op->is_waiting || !op->type->charges)
        return;
    if (op != TAILQ_FIRST(&op->region->ops))
        end(op, -ECANCELED);
    else if (worker_take_back(op->env->pool, &op->work))
        op_end_withdrawn(op, -ECANCELED, NULL);
}

void op_end_withdrawn(struct op *op, int result, const char *why)
{
    op->result = result;
    op->why = why;
    work_done(&op->work);
}

void op_end_behind(struct op *op, int result, const char *why)
{
    struct op *next;

    while ((next = TAILQ_NEXT(op, entry))) {
        next->why = why;
        end(next, result);
    }
}

void op_give_up(struct op *op, int result)
{
    struct op_env *env = op->env;
    struct region *r = op->region;
    bool others_are_at_work = op->parked && !TAILQ_EMPTY(&r->ops);

    op_end_wait(op);
    wait_leave(env->wait, op);
    // The uid may have been lent to somebody else meanwhile: then the account that refused is perhaps gone.
    if (!quota_charge_counts_in(&r->charge, op->refusal.account))
        op->refusal.account = NULL;
    end(op, result);
    if (!others_are_at_work)
        advance(env, r);
}

void op_try_again(struct op *op)
{
    struct quota_refusal before = op->refusal;
    int result;

    op_place_anew(op);
    result = prepare(op);

    if (result == -EDQUOT) {
        // From now on OP waits for the limit that refused it this time.
        if (!op->refusal.account)
            op->refusal = before;
        wait_stays(op->env->wait, op);
    } else if (result == 0) {
        wait_leave(op->env->wait, op);
        unpark(op);
        op_end_wait(op);
        run(op);
    } else if (result != -EBUSY || !wait_asks_again(op->env->wait, op)) {
        op_give_up(op, result);
    }
}
