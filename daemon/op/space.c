// Whether the disk has room. It is asked before blocks are taken, so that nothing has to be undone as a rule, and after: what others
// took meanwhile may have come out of keep_free.
//
// Where there is plenty, instant operations do not ask each time: an answer is good for a second, for as much as it had beyond a
// margin that nobody writes in a second, and less what was granted since.
#include <errno.h>
#include <stdio.h>

#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "proto/util/clock.h"

#define AMPLE_MARGIN ((uint64_t)8 << 30)
enum { AMPLE_MS = 1000 };

static void explain(struct op *op, const char *name, const struct store_space *space, uint64_t keep, uint64_t bytes)
{
    snprintf(op->refusal.limit_name, sizeof op->refusal.limit_name, "%s", name);
    op->refusal.limit = space->total - keep;
    op->refusal.used = space->total - space->available;
    op->refusal.asked = bytes;
}

static bool has_room(const struct store_space *space, uint64_t keep, uint64_t bytes)
{
    return space->available >= keep && space->available - keep >= bytes;
}

static bool is_ample(struct op *op, uint64_t bytes)
{
    struct op_env *env = op->env;
    uint64_t left = env->ample;

    if (!op->instant || left < bytes || clock_now() >= env->ample_until)
        return false;
    return bytes == 0 || atomic_compare_exchange_strong(&env->ample, &left, left - bytes);
}

static void note_ample(struct op_env *env, uint64_t left)
{
    env->ample = left > AMPLE_MARGIN ? left - AMPLE_MARGIN : 0;
    env->ample_until = clock_now() + AMPLE_MS;
}

static int check_disk(struct op *op, uint64_t bytes)
{
    struct store *store = op->env->store;
    struct store_space space;
    uint64_t keep = op->env->keep_free;
    int r;

    if (is_ample(op, bytes))
        return 0;
    r = store_space(store, &space);

    if (r == 0 && !has_room(&space, keep, bytes) && store_settle(store))
        r = store_space(store, &space);
    if (r == 0 && has_room(&space, keep, bytes)) {
        note_ample(op->env, space.available - keep - bytes);
        return 0;
    }
    op->env->ample = 0;
    if (r < 0)
        return r;
    explain(op, keep > 0 ? "disk keep_free" : "disk", &space, keep < space.total ? keep : space.total, bytes);
    return -ENOSPC;
}

// Whether a quarter of what may be granted would be left.
static int check_early(struct op *op, uint64_t bytes)
{
    uint64_t keep = op->env->keep_free;
    struct store_space space;
    int r = store_space(op->env->store, &space);
    uint64_t most = r < 0 ? 0 : quota_early_part(space.used + space.available);

    if (r < 0)
        return r;
    return keep <= most && bytes <= most - keep && space.used <= most - keep - bytes ? 0 : -EXFULL;
}

int op_check_space(struct op *op, uint64_t bytes)
{
    if (bytes == 0)
        return 0;
    return op->early ? check_early(op, bytes) : check_disk(op, bytes);
}

int op_check_kept(struct op *op)
{
    return check_disk(op, 0);
}

void op_explain_full_disk(struct op *op, int error)
{
    struct store_space space;

    if (error == -ENOSPC && !op->refusal.limit_name[0] && store_space(op->env->store, &space) == 0)
        explain(op, "disk", &space, 0, op->extra);
}
