// Warnings of quotas: see warnings.h.
#include "daemon/warnings.h"

#include <stdio.h>
#include <time.h>

#include "daemon/account.h"
#include "daemon/log.h"
#include "daemon/quota/quota.h"
#include "daemon/quota/soft.h"
#include "daemon/reports.h"
#include "daemon/request/peer.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "proto/util/size.h"

enum {
    WARNINGS = 4, // of one account, within WARNINGS_MS
    WARNINGS_MS = 60 * 1000,
};

// The user whose own account A is, or NULL.
static const struct user *find_user_of_account(struct user_table *users, const struct quota_account *a)
{
    for (struct user *u = user_next(users, NULL); u; u = user_next(users, u))
        if (quota_user_account(u->quota) == a)
            return u;
    return NULL;
}

// An account may go up and down again and again: each warning is sent to all clients that the account is about.
static bool may_warn(struct quota_told *told)
{
    uint64_t now = clock_now();

    if (told->n == 0 || now - told->since >= WARNINGS_MS)
        *told = (struct quota_told){.since = now};
    return told->n++ < WARNINGS;
}

static void describe_grace(uint64_t end, char *ret, size_t n)
{
    time_t at = (time_t)end;
    struct tm t;
    char text[64];

    if (end > INT64_MAX || !gmtime_r(&at, &t))
        return;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &t);
    snprintf(ret, n, "; from %s on growth is refused unless less is used before", text);
}

// Whether the clients of U may be ones that A is about.  Of a control group, each client's own charge says it.  The
// total is nobody's own.
static bool concerns(const struct user *u, const struct quota_account *a)
{
    switch (quota_account_kind(a)) {
    case QUOTA_KIND_CGROUP:
        return true;
    case QUOTA_KIND_GROUP:
        return quota_user_counts_in(u->quota, a);
    default:
        return account_of(u) == a;
    }
}

// Tells the administrator, the users for whom the account stands, and the members of a group.
static void tell_warning(const struct request_env *env, const struct quota_account *a, enum quota_mark mark)
{
    const struct user *user = find_user_of_account(env->users, a);
    const struct quota_limits *limits = quota_account_limits(a);
    uint64_t used = quota_account_used(a, QUOTA_BYTES), limit = limits->max[QUOTA_BYTES];
    char used_text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX], name[QUOTA_LIMIT_NAME_SIZE], then[128] = "";

    if (mark == QUOTA_MARK_SOFT) {
        limit = limits->soft.bytes;
        describe_grace(quota_account_grace_ends(a), then, sizeof then);
    }
    snprintf(name, sizeof name, "%s %s", quota_account_label(a), mark == QUOTA_MARK_SOFT ? "soft_bytes" : "bytes");
    const struct log_fields fields = {
        .message_id = LOG_ID_WARNING,
        .has_user = user != NULL,
        .uid = user ? user->uid : 0,
        .limit_name = name,
        .limit = limit,
        .used = used,
    };

    log_with(LOG_LEVEL_WARNING, &fields, "%s: %s of %s are used%s", name, size_format(used, used_text),
             size_format(limit, limit_text), then);
    struct report report = {
        .kind = REPORT_WARNING,
        .has_user = fields.has_user,
        .uid = fields.uid,
        .limit_name = name,
        .limit = limit,
        .used = used,
    };

    reports_publish(env->op.reports, &report);
    for (struct user *u = user_next(env->users, NULL); u; u = user_next(env->users, u))
        if (concerns(u, a))
            peer_send_warning(u, a, mark);
}

// For quota_on_warning.  DATA: a struct request_env.
static bool on_quota_warning(void *data, struct quota_account *a, enum quota_mark mark)
{
    if (!may_warn(quota_account_told(a)))
        return false;
    tell_warning(data, a, mark);
    return true;
}

void warnings_start(struct quota *quota, struct request_env *env)
{
    quota_on_warning(quota, on_quota_warning, env);
}
