// Users: see user.h.
//
// A name belongs to one uid.  What struct names says (the names of the configuration) comes first.  Otherwise a name
// belongs to the uid that was found with that name last: a user who is deleted and made again under another uid takes
// the name along, and the old uid is shown as a number from then on (lookup.c).
#include "daemon/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/names.h"
#include "daemon/outage.h"
#include "daemon/user_internal.h"
#include "proto/util/text.h"

static int compare_uids(const struct user *a, const struct user *b)
{
    return (a->uid > b->uid) - (a->uid < b->uid);
}

static int compare_names(const struct user *a, const struct user *b)
{
    return strcmp(a->entry.name, b->entry.name);
}

TREE_GENERATE(user_tree, user, node, compare_uids)
TREE_GENERATE(user_name_tree, user, by_name, compare_names)

const char *user_name(const struct user *u)
{
    return u->entry.name ? u->entry.name : "?";
}

// A uid costs nothing where /etc/subuid lends 65,536 of them to everybody: with a lane for each uid, one person would
// have as many turns.
uint32_t user_lane(const struct user *u)
{
    if (!u->shared_account)
        return u->uid;
    return u->lender && u->shared_account == quota_user_account(u->lender->quota) ? u->lender->uid : WORK_LANE_UNLISTED;
}

struct user *user_party(struct user *u)
{
    return u->lender && user_lane(u) == u->lender->uid ? u->lender : u;
}

// ---- Names ----

void user_changed(struct user *u)
{
    if (u->table->changed)
        u->table->changed(u->table->changed_data, u);
}

void user_drop_name(struct user *u)
{
    if (!u->entry.has_name)
        return;
    RB_REMOVE(user_name_tree, &u->table->by_name, u);
    u->entry.has_name = false;
}

struct user *user_insert_name(struct user *u)
{
    return RB_INSERT(user_name_tree, &u->table->by_name, u);
}

struct user *user_from(struct user_table *t, uid_t uid)
{
    struct user wanted = {.uid = uid};

    return RB_NFIND(user_tree, &t->users, &wanted);
}

struct user *user_find_by_name(struct user_table *t, const char *name)
{
    struct user wanted = {.entry = {.name = (char *)name}};

    // A number is not a name: nobody is asked.
    if (id_parse(name, &wanted.uid) || (t->names && names_find(t->names, true, name, &wanted.uid) == 0))
        return RB_FIND(user_tree, &t->users, &wanted);
    return name[0] == '+' ? NULL : RB_FIND(user_name_tree, &t->by_name, &wanted);
}

struct user *user_next(struct user_table *t, const struct user *u)
{
    return u ? RB_NEXT(user_tree, &t->users, (struct user *)u) : RB_MIN(user_tree, &t->users);
}
int user_set_lender(struct user *u, uid_t lender)
{
    struct user *former = u->lender;
    int r = 0;

    if (former)
        TAILQ_REMOVE(&former->borrowers, u, borrower);
    u->lender = lender == (uid_t)-1 ? NULL : user_ref(u->table, lender);
    if (u->lender)
        TAILQ_INSERT_TAIL(&u->lender->borrowers, u, borrower);
    else if (lender != (uid_t)-1)
        r = -ENOMEM;
    user_unref(former);
    return r;
}

void user_table_on_change(struct user_table *t, void (*fn)(void *data, struct user *u), void *data)
{
    t->changed = fn;
    t->changed_data = data;
}

void user_table_set_names(struct user_table *t, struct names *names)
{
    t->names = names;
}

int user_table_new(struct worker_pool *pool, struct quota *quota, struct user_table **ret)
{
    struct user_table *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    t->pool = pool;
    t->quota = quota;
    RB_INIT(&t->users);
    RB_INIT(&t->by_name);
    TAILQ_INIT(&t->awaited);
    rounds_init(&t->answered);
    TAILQ_INIT(&t->recent);
    TAILQ_INIT(&t->at_start);
    *ret = t;
    return 0;
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
    u->entry = (struct user_entry){.name = user_entry_number(uid), .gid = (gid_t)-1};
    TAILQ_INIT(&u->waiters);
    TAILQ_INIT(&u->peers);
    TAILQ_INIT(&u->entering);
    TAILQ_INIT(&u->readable);
    TAILQ_INIT(&u->turn_members);
    rounds_owner_init(&u->answered);
    rounds_owner_init(&u->changed);
    rounds_owner_init(&u->leaving);
    rounds_owner_init(&u->abandoned);
    TAILQ_INIT(&u->borrowers);
    TAILQ_INIT(&u->due_orphans);
    TAILQ_INIT(&u->due_suspects);
    TAILQ_INIT(&u->news);
    RB_INSERT(user_tree, &t->users, u);
    t->n_users++;
    user_changed(u);
    return u;
}

void user_unref(struct user *u)
{
    if (!u || --u->n_refs > 0)
        return;
    if (u->table->names)
        outage_note(names_outage(u->table->names), &u->failing, false);
    user_drop_name(u);
    RB_REMOVE(user_tree, &u->table->users, u);
    u->table->n_users--;
    quota_user_unref(u->quota);
    user_set_lender(u, (uid_t)-1); // after the charges in the lender's account
    user_entry_deinit(&u->entry);
    free(u->former);
    free(u);
}

void user_table_free(struct user_table *t)
{
    struct user *u;

    if (!t)
        return;
    // A user is freed before the user's lender.
    for (u = user_next(t, NULL); u; u = user_next(t, u))
        user_set_lender(u, (uid_t)-1);
    // Users that are left wait for a look-up that the workers did not do before they were stopped.
    while ((u = RB_ROOT(&t->users))) {
        u->n_refs = 1;
        user_entry_deinit(&u->fresh);
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
