// GetMetrics.  Administrators get all metrics, as pages of a snapshot (metrics/metrics.c); everybody else gets those of
// the daemon as a whole and of their own account, as pages of whole families that are made anew; of few disks, one.
#include "daemon/request/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/disk.h"
#include "daemon/metrics/metrics.h"
#include "daemon/policy.h"
#include "daemon/request/handlers.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"

enum {
    BYTES_ON_A_PAGE = PACKET_MAX - 1024,
    BYTES_OF_THE_END = 16, // at most
};

struct cursor {
    uint64_t number; // of the snapshot; 0: there is none
    uint64_t offset; // in the snapshot; without one, the family that comes next
};

void request_read_metrics(struct request_env *env, struct metrics_readings *ret)
{
    uint64_t n_foreign = 0, n_unreadable = 0, n_lacking_blocks = 0;
    size_t n = 0;

    for (const struct disk *d = env->op.disks; d && n < METRICS_MOST_DISKS; d = d->next) {
        ret->disks[n++] = (struct metrics_disk){
            .path = store_dir(d->store),
            .device = store_device(d->store),
            .guarantee = store_guarantee(d->store),
            .fence = d->fence,
            .space = &d->space,
            .health = &d->health,
            .is_stopped = d->problem,
            .is_leaving = d->is_leaving,
            .keep_free = d->keep_free,
            .free = d->problem || d->is_leaving ? 0 : disk_free(d),
            .granted = d->granted.used[QUOTA_BYTES] + d->sparse.used[QUOTA_BYTES],
            .n_regions = d->granted.used[QUOTA_REGIONS] + d->sparse.used[QUOTA_REGIONS],
        };
        n_foreign += d->left.foreign;
        n_unreadable += d->left.unreadable;
        n_lacking_blocks += d->n_lacking_blocks;
    }
    ret->source = (struct metrics_source){
        .op = &env->op,
        .quota = env->quota,
        .users = env->users,
        .config = env->config,
        .disks = ret->disks,
        .n_disks = n,
        .absences = env->absences,
        .available = env->space.available,
        .started = env->started,
        .n_foreign = n_foreign,
        .n_unreadable = n_unreadable,
        .n_lacking_blocks = n_lacking_blocks,
    };
}

static int answer(const struct call *c, const char *text, size_t n, const struct cursor *next)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Metrics metrics = DISKALLOC__V1__METRICS__INIT;

    metrics.text = field_bytes(text, n);
    if (next)
        metrics.next_cursor = field_bytes(next, sizeof *next);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_METRICS;
    reply.metrics = &metrics;
    return request_answer(c, &reply);
}

static int answer_viewer(const struct call *c, const struct metrics_source *s, enum metrics_format format,
                         const struct cursor *cursor)
{
    const size_t most = BYTES_ON_A_PAGE - BYTES_OF_THE_END;
    struct cursor next = {0};
    struct output text;
    _cleanup_free_ char *data = NULL;

    if (cursor->number)
        return -ESTALE; // it was an administrator's
    next.offset = metrics_write_for(s, c->peer->user, format, cursor->offset, most, &text);
    data = text.data;
    if (text.failed || text.n > BYTES_ON_A_PAGE)
        return -ENOMEM;
    return answer(c, text.data, text.n, next.offset ? &next : NULL);
}

static int answer_page(const struct call *c, const struct snapshot *snapshot, uint64_t offset)
{
    struct cursor next = {.number = snapshot->number, .offset = offset + BYTES_ON_A_PAGE};

    if (offset >= snapshot->n)
        return -EINVAL;
    if (next.offset >= snapshot->n)
        return answer(c, snapshot->data + offset, snapshot->n - offset, NULL);
    return answer(c, snapshot->data + offset, BYTES_ON_A_PAGE, &next);
}

int request_get_metrics(const struct call *c)
{
    const Diskalloc__V1__GetMetrics *m = c->message->get_metrics;
    struct metrics_readings readings;
    struct snapshot *snapshot;
    struct cursor cursor = {0};
    enum metrics_format format = METRICS_OPENMETRICS;
    int r;

    if (m->format == DISKALLOC__V1__METRICS_FORMAT__METRICS_TEXT)
        format = METRICS_TEXT;
    else if (m->format != DISKALLOC__V1__METRICS_FORMAT__METRICS_OPENMETRICS)
        return -EOPNOTSUPP;
    if (m->cursor.len != 0 && m->cursor.len != sizeof cursor)
        return -EINVAL;
    if (m->cursor.len)
        memcpy(&cursor, m->cursor.data, sizeof cursor);
    request_read_metrics(c->env, &readings);
    if (!policy_is_admin(c->env->config, c->peer->user))
        return answer_viewer(c, &readings.source, format, &cursor);
    if (m->cursor.len) {
        snapshot = metrics_find_snapshot(c->env->metrics, cursor.number);
        return snapshot ? answer_page(c, snapshot, cursor.offset) : -ESTALE;
    }
    snapshot = metrics_snapshot(c->env->metrics, &readings.source, format);
    r = snapshot ? answer_page(c, snapshot, 0) : -ENOMEM;
    snapshot_unref(snapshot);
    return r;
}
