// Which accounts the charges of each user count in: see account.h.
//
// Every user has an own account in daemon/quota, which counts all that the user holds.  For a uid that is not a
// person's, that account has no limits; the limits are those of the shared account.  So a uid that becomes known, or
// ceases to be, takes its charges along (quota_user_set_groups), whatever the limits of the account to which they
// move: only growth is refused.
//
// The table of users calls apply when a user is made and after each look-up (user_table_on_change);
// accounts_configure calls apply for all users.  A user whose uid is lent holds a reference to the lender, and apply
// for the lender follows up on the lender's borrowers, because the groups of the lender are theirs too.
//
// A user who was never looked up has an own account with the limits of the configuration, and is neither unlisted nor
// in a group: such a user has charges only if regions of an earlier daemon were found at start.
#include "daemon/account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/limits.h"
#include "daemon/config/subjects.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "proto/util/cleanup.h"

struct accounts {
    struct user_table *users;
    struct quota *quota;
    const struct config *config; // NULL: not configured yet
    uint64_t disk_total;         // bytes
    uid_t overflow;              // (uid_t)-1: there is none
    bool told_overflow;          // the log has said that OVERFLOW is unlisted
};

struct quota_account *account_of(const struct user *u)
{
    if (u->shared_account)
        return u->shared_account;
    return quota_user_account(u->quota);
}

static bool has_own_account(const struct accounts *a, const struct user *u)
{
    return !u->known || (u->entry.is_listed && u->uid != a->overflow) || config_has_user(a->config, u->uid);
}

static void set_own_limits(const struct accounts *a, struct user *u)
{
    struct quota_limits limits = {.region_bytes = QUOTA_UNLIMITED, .warn_bytes = QUOTA_UNLIMITED};
    _cleanup_free_ char *label = NULL;

    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++)
        limits.max[r] = QUOTA_UNLIMITED;
    if (has_own_account(a, u))
        config_user_limits(a->config, u->uid, u->entry.groups, u->entry.n_groups, a->disk_total, &limits);
    if (asprintf(&label, "user:%s", user_name(u)) < 0)
        label = NULL;
    quota_account_set(quota_user_account(u->quota), label ? label : "user", &limits);
}

// Appends the accounts of those groups of U that are configured.  0 or -ENOMEM.
static int add_groups(const struct accounts *a, const struct user *u, struct quota_account **list, size_t *n)
{
    for (size_t i = 0; i < u->entry.n_groups; i++) {
        struct quota_limits limits;
        struct quota_account *account;

        if (!config_group_limits(a->config, u->entry.groups[i], a->disk_total, &limits))
            continue;
        account = quota_group(a->quota, u->entry.groups[i]);
        if (!account)
            return -ENOMEM;
        list[(*n)++] = account;
    }
    return 0;
}

// The accounts beside the own one and the total.
static int set_shared_accounts(struct accounts *a, struct user *u)
{
    const struct user *person = u->lender ? u->lender : u;
    _cleanup_free_ struct quota_account **list = calloc(person->entry.n_groups + 1, sizeof *list);
    bool is_person = has_own_account(a, person);
    struct quota_account *shared = NULL;
    size_t n = 0;
    int r;

    if (!list)
        return -ENOMEM;
    if (!is_person)
        shared = quota_unlisted(a->quota);
    else if (u->lender)
        shared = quota_user_account(u->lender->quota);
    if (shared)
        list[n++] = shared;
    r = is_person ? add_groups(a, person, list, &n) : 0;
    if (r == 0)
        r = quota_user_set_groups(u->quota, list, n);
    if (r == 0)
        u->shared_account = shared;
    return r;
}

// The user to whom U's uid is lent becomes U's lender.  0; or -ENOMEM and nothing has changed.
static int set_lender(const struct accounts *a, struct user *u)
{
    bool is_lent = !has_own_account(a, u) && u->uid != a->overflow && u->entry.is_lent && u->entry.lender != u->uid;
    uid_t uid = is_lent ? u->entry.lender : (uid_t)-1;
    int r;

    if (uid == (u->lender ? u->lender->uid : (uid_t)-1))
        return 0;
    // The charges leave the account of the former lender before that account may go.
    r = quota_user_set_groups(u->quota, NULL, 0);
    if (r < 0)
        return r;
    u->shared_account = NULL;
    r = user_set_lender(u, uid);
    if (u->lender && !u->lender->known)
        lookup_begin(u->lender);
    return r;
}

static void tell_overflow(struct accounts *a, const struct user *u)
{
    if (a->told_overflow || !u->known || u->uid != a->overflow || has_own_account(a, u))
        return;
    a->told_overflow = true;
    log_notice(
        "uid %u is in use, which stands for users without a number here and belongs to nobody: it counts as unlisted",
        (unsigned)u->uid);
}

static int apply(struct accounts *a, struct user *u)
{
    struct user *borrower;
    int r;

    if (!a->config)
        return 0;
    tell_overflow(a, u);
    r = set_lender(a, u);
    if (r == 0)
        r = set_shared_accounts(a, u);
    // An unlisted uid has no limits of its own: they are lifted only when the shared account counts.
    if (r == 0)
        set_own_limits(a, u);
    TAILQ_FOREACH (borrower, &u->borrowers, borrower)
        if (r == 0)
            r = set_shared_accounts(a, borrower);
    return r;
}

// For user_table_on_change.
static void user_has_changed(void *data, struct user *u)
{
    if (apply(data, u) < 0)
        log_error("out of memory: uid %u keeps its former limits until it is looked up again", (unsigned)u->uid);
}

static void set_limits_of_cgroup(struct accounts *a, const struct config_subject *s)
{
    struct quota_account *cgroup = quota_cgroup(a->quota, s->name);
    char label[CONFIG_SUBJECT_SIZE];
    struct quota_limits limits;

    if (!cgroup)
        return;
    config_cgroup_limits(s, a->disk_total, &limits);
    quota_account_set(cgroup, config_subject_text(s, label, sizeof label), &limits);
}

static void set_shared_limits(struct accounts *a)
{
    struct quota_limits limits;

    config_total_limits(a->config, a->disk_total, &limits);
    quota_account_set(quota_total(a->quota), "total", &limits);
    config_unlisted_limits(a->config, a->disk_total, &limits);
    quota_account_set(quota_unlisted(a->quota), "unlisted", &limits);
    for (size_t i = 0; i < a->config->n_subjects; i++) {
        const struct config_subject *s = a->config->subjects[i];
        _cleanup_free_ char *label = NULL;
        struct quota_account *group;

        if (s->kind == CONFIG_CGROUP)
            set_limits_of_cgroup(a, s);
        if (s->kind != CONFIG_GROUP || !s->known || !config_group_limits(a->config, s->id, a->disk_total, &limits))
            continue;
        if (asprintf(&label, "group:%s", s->name) < 0)
            label = NULL;
        group = quota_group(a->quota, s->id);
        if (group)
            quota_account_set(group, label ? label : "group", &limits);
    }
}

static bool is_below(const char *path, const char *group)
{
    size_t n = strlen(group);

    return strcmp(group, "/") == 0 || (strncmp(path, group, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

static int set_accounts_of_job(struct accounts *a, struct quota_job *j)
{
    _cleanup_free_ struct quota_account **list = calloc(a->config->n_subjects + 1, sizeof *list);
    size_t n = 0;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < a->config->n_subjects; i++) {
        const struct config_subject *s = a->config->subjects[i];

        if (s->kind != CONFIG_CGROUP || !is_below(quota_job_path(j), s->name))
            continue;
        list[n] = quota_cgroup(a->quota, s->name);
        if (!list[n++])
            return -ENOMEM;
    }
    return quota_job_set_accounts(j, list, n);
}

struct quota_job *accounts_job(struct accounts *a, const char *path)
{
    bool is_new;
    struct quota_job *j = quota_job_ref(a->quota, path, &is_new);

    if (j && is_new && a->config && set_accounts_of_job(a, j) < 0) {
        quota_job_unref(j);
        return NULL;
    }
    return j;
}

int accounts_configure(struct accounts *a, const struct config *config, uint64_t disk_total)
{
    int r = 0;

    a->config = config;
    a->disk_total = disk_total;
    quota_begin_limits(a->quota);
    set_shared_limits(a);
    for (struct user *u = user_next(a->users, NULL); u && r == 0; u = user_next(a->users, u))
        r = apply(a, u);
    for (struct quota_job *j = quota_job_next(a->quota, NULL); j && r == 0; j = quota_job_next(a->quota, j))
        r = set_accounts_of_job(a, j);
    quota_end_limits(a->quota);
    return r;
}

void accounts_set_overflow(struct accounts *a, uid_t overflow)
{
    a->overflow = overflow;
}

int accounts_new(struct user_table *users, struct quota *quota, struct accounts **ret)
{
    struct accounts *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    *a = (struct accounts){.users = users, .quota = quota, .overflow = (uid_t)-1};
    user_table_on_change(users, user_has_changed, a);
    *ret = a;
    return 0;
}

void accounts_free(struct accounts *a)
{
    free(a);
}
