// Regions that are removed when nobody has used them for a time (SetExpiry).
//
// The record of such a region says for how long it may be unused, and since when it is.  It is used while a connection
// has it attached: op_open takes the mark away before a client can map the region.  A region that has lost its last
// attachment has no mark; the sweep finds it within seconds and writes one, also after a start of the daemon.  So a
// daemon that ends at any moment forgets at most that a region was unused, and never that it was used.
//
// When the time is over, op_expire asks the kernel whether a process maps the region all the same: a process whose
// connection was lost, or a forked child.  Then the region stays, and the kernel is asked again later.  Otherwise the
// region loses its name, as by op_unlink, and is an orphan.
//
// Whoever sets the clock does not make time pass: what a record says counts from the day that it would have been on
// the new calendar (daemon/calendar.h).  The sweep then writes it anew.
//
// The sweep looks at a part of the regions each second, and at all of them in SLICES seconds, or sooner.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/duration.h"

enum {
    SLICES = 16,
    LEAST_LOOKED_AT = 256, // regions in one call
    MOST_UNDER_WAY = 16,   // operations of the sweep
    RETRY_MS = 60 * 1000,  // for a region that is mapped, or could not be removed
};

static uint64_t unused_since(const struct op_env *env, const struct region *r)
{
    return calendar_convert(&env->calendar, r->record.unused_since, r->clock_set_by);
}

// The clock may have been set back while no daemon ran.
static bool has_mark(const struct op_env *env, const struct region *r, uint64_t now)
{
    return r->record.flags & RECORD_UNUSED && unused_since(env, r) <= now;
}

// The mark has to be written anew: an earlier time of day is not that of the present calendar.
static bool has_stale_mark(const struct op_env *env, const struct region *r, uint64_t now)
{
    return !has_mark(env, r, now) || r->clock_set_by != env->calendar.set_by;
}

static int prepare_set(struct op *op)
{
    const struct region *r = op->region;
    struct record *record = &op->record;
    uint64_t now = calendar_now(&op->env->calendar);

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    record_copy(record, &r->record);
    record->expires = op->expires;
    record->flags &= ~(uint32_t)(RECORD_EXPIRES | RECORD_UNUSED);
    if (op->expires > 0)
        record->flags |= RECORD_EXPIRES;
    if (op->expires > 0 && r->holders.n_attached == 0) {
        record->flags |= RECORD_UNUSED;
        record->unused_since = has_mark(op->env, r, now) ? unused_since(op->env, r) : now;
    }
    op->clock_set_by = op->env->calendar.set_by;
    op->instant = true;
    return 0;
}

static enum work_status run_set(struct op *op)
{
    int r = op_open_file(op);

    if (r == 0)
        r = store_write_record(op_store(op), op->file, &op->record);
    if (r == 0 && !op_seal(op))
        r = op_restore_record(op);
    return op_finish_run(op, r);
}

static void conclude_set(struct op *op)
{
    if (op->result < 0)
        return;
    record_copy(&op->region->record, &op->record);
    op->region->clock_set_by = op->clock_set_by;
}

const struct op_type op_set_expiry = {
    .tally = TALLY_SET_EXPIRY,
    .prepare = prepare_set,
    .run = run_set,
    .conclude = conclude_set,
    .undoes = true,
};

static bool is_over(const struct op_env *env, const struct region *r, uint64_t now)
{
    return r->holders.n_attached == 0 && r->record.flags & RECORD_EXPIRES && has_mark(env, r, now) &&
           now - unused_since(env, r) >= r->record.expires;
}

// Somebody may have attached the region while this operation was queued.
static int prepare_expire(struct op *op)
{
    uint64_t now = calendar_now(&op->env->calendar);

    if (!is_over(op->env, op->region, now) || region_is_transient(op->region))
        return OP_NOTHING_TO_DO;
    record_copy(&op->record, &op->region->record);
    op->record.flags |= RECORD_UNLINKED;
    op->record.name_length = 0;
    op->record.name[0] = '\0';
    return 0;
}

static enum work_status run_expire(struct op *op)
{
    _cleanup_close_ int fd = op_open_fd(op, O_RDONLY);
    int r = fd < 0 ? fd : store_is_unused(fd);

    if (r >= 0)
        r = r == 0 ? -EBUSY : 0;
    cleanup_close(&fd);
    fd = -1;
    if (r == 0)
        r = op_open_file(op);
    if (r == 0)
        r = store_write_record(op_store(op), op->file, &op->record);
    return op_finish_run(op, r);
}

static void log_removal(const struct region *r)
{
    char handle[HANDLE_TEXT_LENGTH + 1], time[DURATION_TEXT_MAX];
    const struct log_fields fields = {.has_user = true, .uid = r->record.owner_uid, .handle = handle};

    handle_format(&r->record.handle, handle);
    if (log_may(LOG_KIND_EXPIRY, r->record.owner_uid))
        log_with(LOG_LEVEL_NOTICE, &fields, "the region %s of %s is removed: nobody has used it for %s", r->record.name,
                 user_name(r->owner), duration_format(r->record.expires, time));
}

static void conclude_expire(struct op *op)
{
    struct region *r = op->region;

    if (op->result == -ENOENT) // an administrator has removed the file by hand
        op->result = 0;
    if (op->result < 0) {
        r->expiry_retry_at = clock_after(RETRY_MS);
        return;
    }
    log_removal(r);
    op_report(op, REPORT_UNLINKED, "nobody has used the region for the time that set-expiry has set");
    region_drop_name(op->env->regions, r);
    r->record.flags |= RECORD_UNLINKED;
}

static const struct op_type op_expire = {
    .prepare = prepare_expire,
    .run = run_expire,
    .conclude = conclude_expire,
    .releases = true,
};

static void sweep_done(struct op *op)
{
    op->env->n_expiring--;
    free(op);
}

static void submit(struct op_env *env, struct region *r, const struct op_type *type)
{
    struct op *op = malloc(sizeof *op);

    if (!op)
        return;
    op_init(op, env, type, r);
    op->expires = r->record.expires;
    op->done = sweep_done;
    env->n_expiring++;
    op_submit(op);
}

static void look_at(struct op_env *env, struct region *r, uint64_t now)
{
    if (!(r->record.flags & RECORD_EXPIRES) || r->state != REGION_LIVE || region_is_transient(r) ||
        r->holders.n_attached > 0 || region_is_busy(r) || clock_now() < r->expiry_retry_at)
        return;
    if (has_stale_mark(env, r, now))
        submit(env, r, &op_set_expiry);
    else if (is_over(env, r, now))
        submit(env, r, &op_expire);
}

void op_expire_unused(struct op_env *env)
{
    uint64_t now = calendar_now(&env->calendar), n = env->regions->n_regions / SLICES + LEAST_LOOKED_AT;
    struct region *r = region_next(env->regions, env->has_expiry_cursor ? &env->expiry_cursor : NULL);

    for (; r && n > 0 && env->n_expiring < MOST_UNDER_WAY; n--) {
        struct handle at = r->record.handle;

        // An operation may end, and free the region, at once.
        look_at(env, r, now);
        env->expiry_cursor = at;
        env->has_expiry_cursor = true;
        r = region_next(env->regions, &at);
    }
    if (!r)
        env->has_expiry_cursor = false;
}
