// Which failures of operations the administrator reads in the log: refusals by a quota, and errors of the disk.  A full disk
// is not logged for each operation; the client is told.
#include <errno.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "proto/util/size.h"

// Once for each account, until its usage has fallen by an eighth of the limit (quota_refusal_is_news).
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
             "%s: refused %s more to uid %u, pid %d: %s of %s are in use; not logged again until usage has fallen",
             why->limit_name, size_format(why->asked, asked), fields.uid, (int)fields.pid, size_format(why->used, used),
             size_format(why->limit, limit));
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
    handle_format(&r->record.handle, handle);
    log_with(LOG_LEVEL_ERROR, &fields,
             "region %s of uid %u: the disk reported an error; not logged again for this region", handle, fields.uid);
}

void op_report_failure(const struct op *op, int result)
{
    if (result == -EDQUOT)
        log_refusal(op);
    if (result == -EIO)
        log_io_error(op);
}

void op_report_missing_blocks(const struct op *op, const char *what)
{
    log_error("a %s failed and cannot be undone: some granted bytes of a region of uid %u have no disk blocks", what,
              op->region->record.owner_uid);
}
