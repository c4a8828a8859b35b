// Lists the accounts that are above their soft limits, for the file that outlives the daemon: see soft.h.
#include "daemon/quota/soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/calendar.h"
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

// Calls FN for each account, with the two halves of its key.
static void each_account(struct quota *q,
                         void (*fn)(void *data, struct quota_account *a, const char *kind, const char *name),
                         void *data)
{
    const struct {
        const struct quota_accounts *accounts;
        const char *kind;
    } numbered[] = {{&q->users, "user:"}, {&q->groups, "group:"}};
    struct quota_cgroup *g;

    fn(data, &q->total, "total", "");
    fn(data, &q->unlisted, "unlisted", "");
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        struct quota_account *a;

        for (a = quota_first_account(numbered[i].accounts); a; a = quota_next_account(a)) {
            char number[16];

            snprintf(number, sizeof number, "+%u", a->id);
            fn(data, a, numbered[i].kind, number);
        }
    }
    for (g = quota_first_cgroup(q); g; g = quota_next_cgroup(g))
        fn(data, &g->account, "cgroup:", g->path);
}

struct listener {
    void (*fn)(void *data, const struct quota_over *over);
    void *data;
};

static void tell(void *data, struct quota_account *a, const char *kind, const char *name)
{
    const struct listener *l = data;
    struct quota_over over = {.since = a->over_since};

    if (!a->is_over)
        return;
    snprintf(over.key, sizeof over.key, "%s%s", kind, name);
    l->fn(l->data, &over);
}

static void tell_marks(void *data, struct quota_account *a, const char *kind, const char *name)
{
    (void)data;
    (void)kind;
    (void)name;
    quota_account_tell(a);
}

void quota_tell_all(struct quota *q)
{
    each_account(q, tell_marks, NULL);
}

void quota_each_over(struct quota *q, void (*fn)(void *data, const struct quota_over *over), void *data)
{
    each_account(q, tell, &(struct listener){fn, data});
}

static void move(void *data, struct quota_account *a, const char *kind, const char *name)
{
    const struct calendar *c = data;

    (void)kind;
    (void)name;
    if (a->is_over)
        a->over_since = calendar_convert(c, a->over_since, 0);
}

void quota_move_time(struct quota *q, int64_t by)
{
    each_account(q, move, &(struct calendar){.set_by = by});
    q->n_over_changes++;
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
