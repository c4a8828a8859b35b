// Lists the accounts that are above their soft limits, for the file that outlives the daemon: see soft.h.
#include "daemon/quota/soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/job.h"
#include "daemon/quota/quota_internal.h"

void quota_set_time(struct quota *q, uint64_t now)
{
    q->now = now;
}

uint64_t quota_over_changes(const struct quota *q)
{
    return q->n_over_changes;
}

static void tell(const struct quota_account *a, const char *kind, const char *name,
                 void (*fn)(void *data, const struct quota_over *over), void *data)
{
    struct quota_over over = {.since = a->over_since};

    if (!a->is_over)
        return;
    snprintf(over.key, sizeof over.key, "%s%s", kind, name);
    fn(data, &over);
}

static void tell_all(const struct quota_accounts *accounts, const char *kind,
                     void (*fn)(void *data, const struct quota_over *over), void *data)
{
    struct quota_account *a;

    for (a = quota_first_account(accounts); a; a = quota_next_account(a)) {
        char number[16];

        snprintf(number, sizeof number, "+%u", a->id);
        tell(a, kind, number, fn, data);
    }
}

void quota_each_over(struct quota *q, void (*fn)(void *data, const struct quota_over *over), void *data)
{
    struct quota_cgroup *g;

    tell(&q->total, "total", "", fn, data);
    tell(&q->unlisted, "unlisted", "", fn, data);
    tell_all(&q->users, "user:", fn, data);
    tell_all(&q->groups, "group:", fn, data);
    for (g = quota_first_cgroup(q); g; g = quota_next_cgroup(g))
        tell(&g->account, "cgroup:", g->path, fn, data);
}

static struct quota_account *find(struct quota *q, const char *key)
{
    struct quota_user *user;

    if (strcmp(key, "total") == 0)
        return &q->total;
    if (strcmp(key, "unlisted") == 0)
        return &q->unlisted;
    if (strncmp(key, "cgroup:", strlen("cgroup:")) == 0)
        return quota_find_cgroup(q, key + strlen("cgroup:"));
    if (strncmp(key, "group:+", strlen("group:+")) == 0)
        return quota_find_group(q, (gid_t)strtoul(key + strlen("group:+"), NULL, 10));
    if (strncmp(key, "user:+", strlen("user:+")) != 0)
        return NULL;
    user = quota_find_user(q, (uid_t)strtoul(key + strlen("user:+"), NULL, 10));
    return user ? &user->own : NULL;
}

bool quota_note_over(struct quota *q, const struct quota_over *over)
{
    struct quota_account *a = find(q, over->key);

    if (!a || !a->is_over)
        return false;
    if (over->since < a->over_since) {
        a->over_since = over->since;
        q->n_over_changes++;
    }
    return true;
}
