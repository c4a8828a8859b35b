// Users: see user.h.
//
// A user is looked up on a worker of its own pool, because the user database may be a server that does not answer; requests of that
// user wait (user_await), other users' do not.  An answer holds for a minute; after that, user_await looks the user up again, and waits.
// While the database does not answer, a known user stays as it was.
#include "daemon/user.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

enum {
    ENTRY_LIFETIME_MS = 60 * 1000,
};

RB_HEAD(user_tree, user);

struct user_table {
    struct worker_pool *pool;
    struct quota *quota;
    const struct config *config;
    uint64_t disk_total;
    struct user_tree users;
};

static int compare_uids(const struct user *a, const struct user *b)
{
    return (a->uid > b->uid) - (a->uid < b->uid);
}

TREE_GENERATE(user_tree, user, node, compare_uids)

// Names with other bytes can't be sent: texts of the protocol are UTF-8.
static bool is_printable(const char *name)
{
    for (; *name; name++)
        if (*name <= ' ' || *name > '~')
            return false;
    return true;
}

bool user_entry_read(uid_t uid, struct user_entry *ret)
{
    _cleanup_free_ char *name = NULL;
    int r;

    *ret = (struct user_entry){.gid = (gid_t)-1};
    snprintf(ret->name, sizeof ret->name, "+%u", uid);
    r = nss_read_user(uid, &name, &ret->gid);
    if (r < 0)
        return r == -ENOENT;
    if (is_printable(name) && strlen(name) < sizeof ret->name) {
        strcpy(ret->name, name);
        nss_read_groups(name, ret->gid, &ret->groups, &ret->n_groups);
    }
    return true;
}

static void set_limits(struct user *u)
{
    const struct user_table *t = u->table;
    struct quota_limits limits;
    char label[USER_NAME_MAX + 8];

    if (!t->config)
        return;
    config_user_limits(t->config, u->uid, u->entry.groups, u->entry.n_groups, t->disk_total, &limits);
    snprintf(label, sizeof label, "user:%s", u->entry.name);
    quota_account_set(quota_user_account(u->quota), label, &limits);
}

// The group accounts that this user's charges count in: those of the user's groups that are configured.
static int set_groups(struct user *u)
{
    _cleanup_free_ struct quota_account **accounts = calloc(u->entry.n_groups + 1, sizeof *accounts);
    size_t n = 0;

    if (!accounts)
        return -ENOMEM;
    for (size_t i = 0; u->table->config && i < u->entry.n_groups; i++) {
        struct quota_limits limits;
        struct quota_account *account;

        if (!config_group_limits(u->table->config, u->entry.groups[i], u->table->disk_total, &limits))
            continue;
        account = quota_group(u->table->quota, u->entry.groups[i]);
        if (!account)
            return -ENOMEM;
        accounts[n++] = account;
    }
    return quota_user_set_groups(u->quota, accounts, n);
}

static int apply_config(struct user *u)
{
    set_limits(u);
    return set_groups(u);
}

static void take_entry(struct user *u)
{
    // While the database does not answer, a known user stays as it was: otherwise an outage would lift the limits of groups.
    if (!u->was_answered && u->known) {
        u->fresh = (struct user_entry){0};
        u->read_at = clock_now();
        return;
    }
    free(u->entry.groups);
    u->entry = u->fresh;
    u->fresh = (struct user_entry){0};
    u->known = true;
    u->read_at = clock_now();
    apply_config(u);
}

static enum work_status run_read(struct work *w)
{
    struct user *u = container_of(w, struct user, work);

    u->was_answered = user_entry_read(u->uid, &u->fresh);
    return WORK_DONE;
}

static void read_done(struct work *w)
{
    struct user *u = container_of(w, struct user, work);
    struct user_waiter *waiter;

    take_entry(u);
    u->being_read = false;
    while ((waiter = TAILQ_FIRST(&u->waiters))) {
        user_forget_waiter(u, waiter);
        waiter->ready(waiter);
    }
    user_unref(u);
}

static void read_later(struct user *u)
{
    if (u->being_read)
        return;
    u->being_read = true;
    u->n_refs++; // for the work
    u->work = (struct work){.lane = u->uid, .brief = true, .run = run_read, .done = read_done};
    worker_submit(u->table->pool, &u->work);
}

void user_await(struct user *u, struct user_waiter *waiter)
{
    if (u->known && clock_now() - u->read_at < ENTRY_LIFETIME_MS) {
        waiter->ready(waiter);
        return;
    }
    waiter->waiting = true;
    TAILQ_INSERT_TAIL(&u->waiters, waiter, entry);
    read_later(u);
}

void user_table_refresh(struct user_table *t)
{
    struct user *u;

    RB_FOREACH (u, user_tree, &t->users)
        read_later(u);
}

struct user *user_find_by_account(struct user_table *t, const struct quota_account *a)
{
    struct user *u;

    RB_FOREACH (u, user_tree, &t->users)
        if (quota_user_account(u->quota) == a)
            return u;
    return NULL;
}

void user_forget_waiter(struct user *u, struct user_waiter *waiter)
{
    if (waiter->waiting)
        TAILQ_REMOVE(&u->waiters, waiter, entry);
    waiter->waiting = false;
}

void user_read_now(struct user *u)
{
    u->was_answered = user_entry_read(u->uid, &u->fresh);
    take_entry(u);
}

int user_table_new(struct worker_pool *pool, struct quota *quota, struct user_table **ret)
{
    struct user_table *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    t->pool = pool;
    t->quota = quota;
    RB_INIT(&t->users);
    *ret = t;
    return 0;
}

static void set_shared_limits(struct user_table *t)
{
    struct quota_limits limits;

    config_total_limits(t->config, t->disk_total, &limits);
    quota_account_set(quota_total(t->quota), "total", &limits);
    for (size_t i = 0; i < t->config->n_subjects; i++) {
        const struct config_subject *s = t->config->subjects[i];
        struct quota_account *group;
        char label[64];

        if (s->kind != CONFIG_GROUP || !s->known || !config_group_limits(t->config, s->id, t->disk_total, &limits))
            continue;
        snprintf(label, sizeof label, "group:%s", s->name);
        group = quota_group(t->quota, s->id);
        if (group)
            quota_account_set(group, label, &limits);
    }
}

int user_table_configure(struct user_table *t, const struct config *config, uint64_t disk_total)
{
    struct user *u;
    int r = 0;

    t->config = config;
    t->disk_total = disk_total;
    set_shared_limits(t);
    RB_FOREACH (u, user_tree, &t->users)
        if (u->known && r == 0)
            r = apply_config(u);
    return r;
}

struct user *user_ref(struct user_table *t, uid_t uid)
{
    struct user wanted = {.uid = uid}, *u = RB_FIND(user_tree, &t->users, &wanted);

    if (u) {
        u->n_refs++;
        return u;
    }
    u = calloc(1, sizeof *u);
    if (u)
        u->quota = quota_user_ref(t->quota, uid);
    if (!u || !u->quota) {
        free(u);
        return NULL;
    }
    u->table = t;
    u->uid = uid;
    u->n_refs = 1;
    snprintf(u->entry.name, sizeof u->entry.name, "+%u", uid);
    TAILQ_INIT(&u->waiters);
    TAILQ_INIT(&u->peers);
    TAILQ_INIT(&u->readable);
    RB_INSERT(user_tree, &t->users, u);
    set_limits(u);
    return u;
}

void user_unref(struct user *u)
{
    if (!u || --u->n_refs > 0)
        return;
    RB_REMOVE(user_tree, &u->table->users, u);
    quota_user_unref(u->quota);
    free(u->entry.groups);
    free(u);
}

struct user *user_find_by_name(struct user_table *t, const char *name)
{
    struct user wanted = {0}, *u;

    // A number is not a name: the user database is not asked.
    if (name[0] == '+')
        return id_parse(name, &wanted.uid) ? RB_FIND(user_tree, &t->users, &wanted) : NULL;
    RB_FOREACH (u, user_tree, &t->users)
        if (strcmp(u->entry.name, name) == 0)
            return u;
    return NULL;
}

void user_table_free(struct user_table *t)
{
    struct user *u;

    if (!t)
        return;
    // Users that are left wait for a look-up that the workers did not do before they were stopped.
    while ((u = RB_ROOT(&t->users))) {
        u->n_refs = 1;
        free(u->fresh.groups);
        user_unref(u);
    }
    free(t);
}

bool user_in_group(const struct user *u, gid_t gid)
{
    for (size_t i = 0; i < u->entry.n_groups; i++)
        if (u->entry.groups[i] == gid)
            return true;
    return false;
}
