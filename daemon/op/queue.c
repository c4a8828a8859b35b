// Each region has a queue of operations of which the first is at work: so what an operation found true in prepare is
// still true in run and conclude, and nothing of a region needs a lock.
//
// Guarantees: an operation is prepared (checked, charged), run and concluded whole, or leaves the region, its file and all
// accounts as they were; done is called exactly once, whatever happens to the region; a region that went away meanwhile fails
// the operations queued behind with -ENOENT and is freed when the last is done.
//
// It relies on: run touching only its own op, the store, and of the region what only operations change (its record, its size).
//
// It does not: know who asked (that is request.c), or bound the queue (requests in flight are bounded where they are read).
#include "daemon/op/op_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/container.h"
#include "proto/util/size.h"

static void advance(struct op_env *env, struct region *r);

static struct op *op_of(struct work *w)
{
    return container_of(w, struct op, work);
}

static enum work_status run_work(struct work *w)
{
    struct op *op = op_of(w);

    if (!op->type->keeps_file)
        op_close_file(op->region);
    return op->type->run(op);
}

// Takes it off the queue and tells who asked.
static void end(struct op *op, int result)
{
    op->result = result;
    if (op->parked)
        op->region->n_parked--;
    else
        TAILQ_REMOVE(&op->region->ops, op, entry);
    op->parked = false;
    wait_unwatch(op->env->wait, op);
    op->done(op);
}

// It waits for what was refused. Others of the region do not wait with it, unless there is no region yet.
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

static void log_refusal(const struct op *op)
{
    const struct quota_refusal *why = &op->refusal;
    const struct log_fields fields = {
        .message_id = LOG_ID_REFUSAL,
        .has_user = true,
        .uid = op->region->record.owner_uid,
        .pid = op->pid,
        .limit_name = why->limit_name,
        .limit = why->limit,
        .used = why->used,
        .asked = why->asked,
    };
    char limit[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX], asked[SIZE_TEXT_MAX];

    if (!quota_refusal_is_news(why))
        return;
    log_with(LOG_LEVEL_NOTICE, &fields,
             "%s refuses: limit %s, used %s, asked %s, by uid %u pid %d; not repeated until it has recovered",
             why->limit_name, size_format(why->limit, limit), size_format(why->used, used),
             size_format(why->asked, asked), fields.uid, (int)fields.pid);
}

// Once a region: who tries again and again shall not fill the log.
static void log_io_error(const struct op *op)
{
    struct region *r = op->region;
    char handle[HANDLE_TEXT_LENGTH + 1];
    const struct log_fields fields = {
        .message_id = LOG_ID_IO_ERROR, .has_user = true, .uid = r->record.owner_uid, .pid = op->pid, .handle = handle};

    if (r->io_error_told)
        return;
    r->io_error_told = true;
    handle_format(&r->record.handle, handle);
    log_with(LOG_LEVEL_ERROR, &fields, "region %s of uid %u: the disk reported an error", handle, fields.uid);
}

// A failure that stands.
static void fail(struct op *op, int result)
{
    // Nobody needs it: there is no limit to blame.
    if (op->early && (result == -EDQUOT || result == -ENOSPC))
        result = -EXFULL;
    if (result == -EXFULL)
        op->refusal = (struct quota_refusal){0};
    if (result == -EDQUOT)
        log_refusal(op);
    if (result == -EIO)
        log_io_error(op);
    if (op->type->refused)
        op->type->refused(op);
    end(op, result);
}

static void work_done(struct work *w)
{
    struct op *op = op_of(w);
    struct op_env *env = op->env;
    struct region *r = op->region;
    bool poke = op->type->releases || op->result < 0 || r->n_parked > 0;

    if (op->type->conclude)
        op->type->conclude(op);
    op_conclude_file(op);
    // It has given back what it does, or nothing; orphans_consider says what else there is to hope for.
    if (op->type->releases && r->state != REGION_GONE)
        region_set_releasing(env->regions, r, false);
    if (op->result < 0 && wait_enter(env->wait, op, op->result)) {
        park(op);
        poke = false; // it would be tried at once
    } else if (op->result < 0)
        fail(op, op->result);
    else
        end(op, 0);
    advance(env, r);
    if (poke)
        wait_poke(env->wait);
}

static void run(struct op *op)
{
    if (op->type->releases)
        region_set_releasing(op->env->regions, op->region, true);
    op->work = (struct work){
        .lane = op->region->record.owner_uid,
        .brief = op->brief,
        .instant = op->instant,
        .run = run_work,
        .done = work_done,
    };
    worker_submit(op->env->pool, &op->work);
}

// Prepare has said RESULT, and there is nothing to run.
static void end_unrun(struct op *op, int result)
{
    if (result < 0)
        fail(op, result);
    else
        end(op, 0);
}

// As prepare, but those who wait come first.
static int prepare(struct op *op)
{
    int result;

    op->refusal = (struct quota_refusal){0};
    op->result = op->undo = 0;
    result = op->type->prepare(op);
    if (result != 0 || !wait_holds_back(op->env->wait, op))
        return result;
    result = op->refusal.account ? -EDQUOT : -ENOSPC; // as those were refused
    op->result = result;
    op->type->conclude(op); // gives back what prepare took
    return result;
}

// Starts the first operation that has something to run; ends those before it that have not.
static void advance(struct op_env *env, struct region *r)
{
    struct op *op;

    while ((op = TAILQ_FIRST(&r->ops)) && !op->is_waiting) {
        int result = r->state == REGION_GONE ? -ENOENT : prepare(op);

        if (result == 0) {
            run(op);
            return;
        }
        if (wait_enter(env->wait, op, result))
            park(op);
        else
            end_unrun(op, result);
    }
    orphans_consider(env->orphans, r);
    if (r->state == REGION_GONE && !region_is_busy(r))
        region_free(r);
}

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region)
{
    memset(op, 0, sizeof *op);
    op->type = type;
    op->env = env;
    op->region = region;
    op->fd = op->file = -1;
    op->brief = true;
}

void op_submit(struct op *op)
{
    struct region *r = op->region;
    bool first = TAILQ_EMPTY(&r->ops);

    TAILQ_INSERT_TAIL(&r->ops, op, entry);
    if (op->wait_deadline > 0 && op->wait_deadline != UINT64_MAX)
        wait_watch(op->env->wait, op);
    if (first)
        advance(op->env, r);
}

void op_cancel(struct op *op)
{
    op->cancelled = true;
    if (op->is_waiting)
        wait_poke(op->env->wait);
}

void op_give_up(struct op *op, int result)
{
    struct op_env *env = op->env;
    struct region *r = op->region;
    bool others_are_at_work = op->parked && !TAILQ_EMPTY(&r->ops);

    wait_leave(env->wait, op);
    end_unrun(op, result);
    if (!others_are_at_work)
        advance(env, r);
}

bool op_try_again(struct op *op)
{
    struct quota_refusal before = op->refusal;
    int result;

    // Its turn comes when what is at work on the region has ended: that pokes.
    if (op->parked && !TAILQ_EMPTY(&op->region->ops))
        return false;
    result = op->region->state == REGION_GONE ? -ENOENT : prepare(op);
    if (result == -EDQUOT) {
        // The one that refused now is the one it waits for.
        if (!op->refusal.account)
            op->refusal = before;
        op->refused_with = result;
        op->retry_at = UINT64_MAX; // it was the disk before, perhaps
        return false;
    }
    if (result == 0) {
        wait_leave(op->env->wait, op);
        unpark(op);
        run(op);
    } else
        op_give_up(op, result);
    return true;
}

void op_estimate(struct op *op, enum op_effort effort, uint64_t bytes)
{
    // Allocating costs the same for little and for much, up to here; freeing pages that were stored to some 50 µs a MiB.
    static const uint64_t instant[] = {[OP_ALLOCATES] = 16 << 20, [OP_FREES] = 2 << 20};

    op->brief = bytes <= 64 << 20;
    op->instant = bytes <= instant[effort];
}

enum work_status op_finish_run(struct op *op, int result)
{
    op->result = result;
    if (op->file >= 0)
        close(op->file);
    op->file = -1;
    return WORK_DONE;
}
