// ListUsage: the accounts that the peer may see, by pages.
//
// The list goes through four sections: the total, the account of the unlisted, all users who are known here by uid, and
// the subjects of the configuration (groups, control groups, and users who have nothing here).  A cursor is a place in
// one of them.  Each account is found by the subject that names it, as GetUsage does: the rights are asked in one
// place.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config/limits.h"
#include "daemon/config/subjects.h"
#include "daemon/op/wait.h"
#include "daemon/policy.h"
#include "daemon/quota/charge.h"
#include "daemon/request/handlers.h"
#include "daemon/request/query.h"
#include "daemon/user.h"
#include "proto/field.h"

enum {
    USAGES_ON_A_PAGE = 12,     // 32 with the longest labels fit into a packet: others wait
    LOOKED_AT_FOR_A_PAGE = 50, // users or subjects: others wait as long as this takes
};

enum section { SECTION_TOTAL, SECTION_UNLISTED, SECTION_USERS, SECTION_SUBJECTS, SECTION_N };

struct place {
    uint32_t section;
    uint32_t next; // the uid, or the index of the subject, that is looked at next
};

static void next_section(struct place *at)
{
    *at = (struct place){.section = at->section + 1};
}

// An ordinary peer sees no other user than itself.
static bool next_user(const struct call *c, struct place *at, char *subject)
{
    const struct user *u = c->peer->user;

    if (policy_is_admin(c->env->config, u))
        u = user_from(c->env->users, at->next);
    else if (at->next > 0)
        u = NULL;
    if (!u) {
        next_section(at);
        return false;
    }
    snprintf(subject, CONFIG_SUBJECT_SIZE, "user:+%u", (unsigned)u->uid);
    at->next = u->uid + 1; // (uid_t)-1 is nobody's
    return true;
}

static bool next_subject(const struct call *c, struct place *at, char *subject)
{
    const struct config *config = c->env->config;
    const struct config_subject *s;
    char uid[16];

    if (at->next >= config->n_subjects) {
        next_section(at);
        return false;
    }
    s = config->subjects[at->next++];
    // Of very many subjects an ordinary peer may see few: the others must not take long.
    if (!policy_is_admin(config, c->peer->user) &&
        (s->kind == CONFIG_USER || (s->kind == CONFIG_GROUP && !(s->known && user_in_group(c->peer->user, s->id)))))
        return false;
    snprintf(uid, sizeof uid, "+%u", (unsigned)s->id);
    config_subject_text(s, subject, CONFIG_SUBJECT_SIZE);
    if (s->kind == CONFIG_USER) // those whom the daemon knows were listed before
        return s->known && !user_find_by_name(c->env->users, uid);
    return s->kind == CONFIG_CGROUP || (s->kind == CONFIG_GROUP && s->known);
}

// Writes the subject at AT, and moves AT on.  False: there is none at that place.
static bool next(const struct call *c, struct place *at, char *subject)
{
    if (at->section == SECTION_USERS)
        return next_user(c, at, subject);
    if (at->section == SECTION_SUBJECTS)
        return next_subject(c, at, subject);
    snprintf(subject, CONFIG_SUBJECT_SIZE, "%s", at->section == SECTION_TOTAL ? "total" : "unlisted");
    next_section(at);
    return true;
}

// The daemon knows users for a while who have nothing here.
static bool is_worth_listing(const struct call *c, const char *subject, const Diskalloc__V1__Usage *u)
{
    enum config_subject_kind kind;
    const char *name;

    if (u->bytes > 0 || u->regions > 0 || u->connections > 0 || u->waiters > 0)
        return true;
    return config_parse_subject(subject, &kind, &name) == 0 &&
           (kind != CONFIG_USER || config_find_subject(c->env->config, kind, name));
}

struct page {
    Diskalloc__V1__Usage usages[USAGES_ON_A_PAGE], *pointers[USAGES_ON_A_PAGE];
    struct user *held[USAGES_ON_A_PAGE];                  // references that keep the accounts
    char subjects[USAGES_ON_A_PAGE][CONFIG_SUBJECT_SIZE]; // of those
    size_t n;
    bool has_counted; // the operations that wait, for the control groups of this page
};

// Each operation that waits has to be asked whether it counts in a control group: once for the whole page.
static uint64_t count_waiters(const struct call *c, struct page *page, const struct quota_account *a)
{
    if (!quota_account_is_of_cgroup(a))
        return wait_count(c->env->op.wait, a);
    if (!page->has_counted) {
        quota_begin_count(c->env->quota);
        wait_count_charges(c->env->op.wait);
    }
    page->has_counted = true;
    return quota_account_counted(a);
}

static void add_account(const struct call *c, const char *subject, struct page *page)
{
    struct named_account found = {0};
    Diskalloc__V1__Usage *usage = &page->usages[page->n];

    if (query_find_account(c, subject, &found) < 0)
        return;
    query_fill_usage(c->env, &found, usage);
    usage->waiters = count_waiters(c, page, found.account);
    if (!is_worth_listing(c, subject, usage)) {
        user_unref(found.held);
        return;
    }
    // A user who was never looked up has the name that the configuration says.
    if (found.held)
        usage->subject = field_text(strcpy(page->subjects[page->n], subject));
    page->held[page->n] = found.held;
    page->pointers[page->n++] = usage;
}

int request_list_usage(const struct call *c)
{
    const Diskalloc__V1__ListUsage *m = c->message->list_usage;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__UsageList list = DISKALLOC__V1__USAGE_LIST__INIT;
    char subject[CONFIG_SUBJECT_SIZE];
    struct place at = {0};
    struct page page = {.n = 0};

    if (m->cursor.len != 0 && m->cursor.len != sizeof at)
        return -EINVAL;
    if (m->cursor.len)
        memcpy(&at, m->cursor.data, sizeof at);
    for (unsigned i = 0; at.section < SECTION_N && page.n < USAGES_ON_A_PAGE && i < LOOKED_AT_FOR_A_PAGE; i++)
        if (next(c, &at, subject))
            add_account(c, subject, &page);
    list.usages = page.pointers;
    list.n_usages = page.n;
    list.everything = policy_is_admin(c->env->config, c->peer->user);
    if (at.section < SECTION_N)
        list.next_cursor = field_bytes(&at, sizeof at);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_USAGE_LIST;
    reply.usage_list = &list;
    request_answer(c, &reply);
    for (size_t i = 0; i < page.n; i++)
        user_unref(page.held[i]);
    return 0;
}
