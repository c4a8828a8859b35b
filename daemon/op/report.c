// Operations tell those who watch what has happened to regions: see daemon/reports.
#include <string.h>

#include "daemon/op/op_internal.h"
#include "daemon/reports.h"

static void fill(const struct op *op, enum report_kind kind, const char *text, struct report *ret)
{
    const struct region *r = op->region;

    *ret = (struct report){
        .kind = kind,
        .has_user = true,
        .uid = r->record.owner_uid,
        .pid = op->pid,
        .handle = &r->record.handle,
        .name = r->record.name,
        .size = r->size,
        .text = text,
    };
}

void op_report(const struct op *op, enum report_kind kind, const char *text)
{
    struct report report;

    if (!reports_are_wanted(op->env->reports))
        return;
    fill(op, kind, text, &report);
    reports_publish(op->env->reports, &report);
}

void op_report_limit(const struct op *op, enum report_kind kind, const char *text)
{
    const struct quota_refusal *why = &op->refusal;
    struct report report;

    if (!reports_are_wanted(op->env->reports))
        return;
    fill(op, kind, text, &report);
    if (why->limit_name[0]) {
        report.limit_name = why->limit_name;
        report.limit = why->limit;
        report.used = why->used;
        report.asked = why->asked;
    }
    reports_publish(op->env->reports, &report);
}
