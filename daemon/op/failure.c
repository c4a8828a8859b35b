// Which failures of operations the administrator reads in the log: refusals by a quota or by the disk, and errors of
// the disk.  None is logged for each operation that meets it; each client is told.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "proto/util/size.h"

enum {
    FULL_TOLD_MS = 10 * 60 * 1000,
    FULL_AUDIT_MS = 10 * 1000, // between two looks at all regions while the disk refuses
};

static const char *format(uint64_t n, bool is_bytes, char ret[static 24])
{
    if (is_bytes)
        return size_format(n, ret);
    snprintf(ret, 24, "%" PRIu64, n);
    return ret;
}

// The user whose client has asked: the region may be another user's.
static uid_t asking_uid(const struct op *op)
{
    return op->asker ? op->asker->uid : op->region->record.owner_uid;
}

// LASTS: until when such a refusal is not logged again.
static void log_refusal(const struct op *op, enum log_level level, const char *lasts)
{
    const struct quota_refusal *why = &op->refusal;
    const struct log_fields fields = {
        .message_id = LOG_ID_REFUSAL,
        .has_user = true,
        .uid = asking_uid(op),
        .pid = op->pid,
        .limit_name = why->limit_name,
        .limit = why->limit,
        .used = why->used,
        .asked = why->asked,
    };
    bool counts_bytes = why->resource == QUOTA_BYTES;
    char limit[24], used[24], asked[24];

    if (why->limit == 0 && !why->account) // the file system does not tell the numbers
        log_with(level, &fields, "%s: refused %s to uid %u, pid %d; %s", why->limit_name,
                 size_format(why->asked, asked), fields.uid, (int)fields.pid, lasts);
    else
        log_with(level, &fields, "%s: refused %s more to uid %u, pid %d: %s of %s are in use; %s", why->limit_name,
                 format(why->asked, counts_bytes, asked), fields.uid, (int)fields.pid,
                 format(why->used, counts_bytes, used), format(why->limit, counts_bytes, limit), lasts);
}

// Once for each account, until its usage has fallen by an eighth of the limit.
static void log_quota(const struct op *op)
{
    if (quota_refusal_is_news(&op->refusal) && log_may(LOG_KIND_REFUSAL, asking_uid(op)))
        log_refusal(op, LOG_LEVEL_NOTICE, "not logged again until usage has fallen");
}

// Once in a while.
static void log_full_disk(const struct op *op)
{
    uint64_t now = clock_now();

    if (op_disk(op)->full_told && now - op_disk(op)->full_told < FULL_TOLD_MS)
        return;
    op_disk(op)->full_told = now;
    log_refusal(op, LOG_LEVEL_WARNING, "such refusals are not logged again for ten minutes");
}

// Once for each region: a client that tries again and again must not fill the log.
static void log_io_error(const struct op *op)
{
    struct region *r = op->region;
    char handle[HANDLE_TEXT_LENGTH + 1];
    const struct log_fields fields = {
        .message_id = LOG_ID_IO_ERROR, .has_user = true, .uid = r->record.owner_uid, .pid = op->pid, .handle = handle};

    if (r->io_error_told)
        return;
    r->io_error_told = true;
    if (!log_may(LOG_KIND_IO_ERROR, r->record.owner_uid))
        return;
    handle_format(&r->record.handle, handle);
    log_with(LOG_LEVEL_ERROR, &fields,
             "region %s of uid %u: the disk reported an error; not logged again for this region", handle, fields.uid);
}

// An fallocate(2) that the full disk ends half-way keeps the blocks that it has taken, and the kernel tells the
// tripwire nothing of a call that failed.  So a client could take the whole disk unnoticed.
void op_suspect_full_disk(const struct op *op, int result)
{
    struct op_env *env = op->env;
    uint64_t now = clock_now();

    if (result != -ENOSPC || !env->suspects || (env->full_audited && now - env->full_audited < FULL_AUDIT_MS))
        return;
    env->full_audited = now;
    suspects_note_all(env->suspects);
}

void op_report_failure(const struct op *op, int result)
{
    if (result == -EDQUOT || result == -ENOSPC)
        op_report_limit(op, REPORT_REFUSED, NULL);
    if (result == -EDQUOT)
        log_quota(op);
    if (result == -ENOSPC)
        log_full_disk(op);
    if (result == -EIO && !op->why) {
        op_report(op, REPORT_IO_ERROR, NULL);
        log_io_error(op);
    }
}

void op_report_missing_blocks(const struct op *op, const char *what)
{
    log_error("a %s failed and cannot be undone: some granted bytes of a region of uid %u have no disk blocks", what,
              op->region->record.owner_uid);
}
