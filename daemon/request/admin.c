// Quotas at run time, and ending the connections of a user.  Administrators only, but for the list of quotas, in which
// each user sees the limits that apply to them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account.h"
#include "daemon/config/limits.h"
#include "daemon/config/settings.h"
#include "daemon/config/subjects.h"
#include "daemon/policy.h"
#include "daemon/request/audit.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/operation.h"
#include "daemon/user.h"
#include "proto/field.h"

enum {
    ENTRIES_ON_A_PAGE = 16, // as many as fit into a packet with the longest origins
    MAX_SETTINGS = 16,      // of one request
    SUBJECT_MAX = 320,      // bytes of a subject, a key or a value, with the NUL
};

int request_disconnect_user(const struct call *c)
{
    const Diskalloc__V1__DisconnectUser *m = c->message->disconnect_user;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Disconnected body = DISKALLOC__V1__DISCONNECTED__INIT;
    const struct user *user = m->user.len > 0 ? request_name_space(c, &m->user) : NULL;
    struct audit *audit;
    struct peer *other;

    if (!policy_is_admin(c->env->config, c->peer->user))
        return request_refuse_others(c);
    if (!user)
        return m->user.len > 0 ? -ESRCH : -EINVAL;
    TAILQ_FOREACH (other, &user->peers, of_user) {
        if (other == c->peer) // this connection is needed for the reply
            continue;
        other->hang_up(other);
        body.connections++;
    }
    audit = audit_new(c->peer, "disconnect");
    audit_say(audit, AUDIT_SUBJECT, "%s", user_name(user));
    audit_say(audit, AUDIT_BEFORE, "%llu connection%s", (unsigned long long)body.connections,
              body.connections == 1 ? "" : "s");
    audit_say(audit, AUDIT_AFTER, "closed");
    audit_done(audit, c->env->op.reports, REPORT_ADMINISTERED);
    audit_free(audit);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_DISCONNECTED;
    reply.disconnected = &body;
    return request_answer(c, &reply);
}

// A user sees the limits that apply to them: total, default, their own or that of the unlisted, and those of their
// groups.
static bool may_see(const struct request_env *env, const struct peer *peer, const struct config_subject *s)
{
    const struct user *u = peer->user;

    if (policy_is_admin(env->config, u) || s->kind == CONFIG_TOTAL || s->kind == CONFIG_DEFAULT)
        return true;
    if (s->kind == CONFIG_UNLISTED)
        return account_of(u) == quota_unlisted(env->quota);
    if (s->kind == CONFIG_USER)
        return s->known && s->id == u->uid;
    if (s->kind == CONFIG_CGROUP)
        return quota_charge_counts_in(&peer->charge, quota_find_cgroup(env->quota, s->name));
    return s->known && user_in_group(u, s->id);
}

// A subject with the values of its keys, from the arena.  NULL: the arena has no memory left.
static Diskalloc__V1__QuotaEntry *describe(struct request_env *env, const struct config_subject *s)
{
    ProtobufCAllocator *allocator = &env->reply_arena->allocator;
    Diskalloc__V1__QuotaEntry *entry = allocator->alloc(env->reply_arena, sizeof *entry);
    Diskalloc__V1__QuotaValue **list = allocator->alloc(env->reply_arena, CONFIG_QUOTA_KEY_N * sizeof *list);
    char *subject = allocator->alloc(env->reply_arena, SUBJECT_MAX);

    if (!entry || !list || !subject)
        return NULL;
    diskalloc__v1__quota_entry__init(entry);
    entry->subject = field_text(config_subject_text(s, subject, SUBJECT_MAX));
    entry->values = list;
    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        Diskalloc__V1__QuotaValue *value = allocator->alloc(env->reply_arena, sizeof *value);
        struct config_description *d = allocator->alloc(env->reply_arena, sizeof *d);

        if (!value || !d)
            return NULL;
        if (!config_describe(env->config, s, (enum config_quota_key)key, env->space.total, d))
            continue;
        diskalloc__v1__quota_value__init(value);
        value->key = field_text(d->key);
        value->text = field_text(d->text);
        value->value = d->value;
        value->origin = field_text(d->origin);
        list[entry->n_values++] = value;
    }
    return entry;
}

int request_list_quota(const struct call *c)
{
    const Diskalloc__V1__ListQuota *m = c->message->list_quota;
    const struct config *config = c->env->config;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__QuotaList list = DISKALLOC__V1__QUOTA_LIST__INIT;
    Diskalloc__V1__QuotaEntry *entries[ENTRIES_ON_A_PAGE];
    uint32_t at = 0; // the cursor is the index of the next subject

    if (m->cursor.len != 0 && m->cursor.len != sizeof at)
        return -EINVAL;
    if (m->cursor.len)
        memcpy(&at, m->cursor.data, sizeof at);
    arena_reset(c->env->reply_arena);
    for (; at < config->n_subjects && list.n_entries < ENTRIES_ON_A_PAGE; at++) {
        const struct config_subject *s = config->subjects[at];
        Diskalloc__V1__QuotaEntry *entry = may_see(c->env, c->peer, s) ? describe(c->env, s) : NULL;

        if (entry && entry->n_values > 0)
            entries[list.n_entries++] = entry;
    }
    list.entries = entries;
    if (at < config->n_subjects)
        list.next_cursor = field_bytes(&at, sizeof at);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_QUOTA_LIST;
    reply.quota_list = &list;
    return request_answer(c, &reply);
}

// The settings have been changed and written, or change->error says why not.
static void change_done(struct settings_change *change)
{
    struct request *request = change->owner;

    audit_say(request->audit, AUDIT_BEFORE, "%s", change->before ? change->before : "");
    audit_say(request->audit, AUDIT_AFTER, "%s", change->after ? change->after : "");
    // Unsetting what was not set changes nothing.
    if (change->result == 0 && change->before)
        audit_done(request->audit, request->env->op.reports, REPORT_LIMITS_CHANGED);
    if (request->peer && change->result < 0)
        request_reply_sentence(request->peer, request->id, change->result, change->error);
    else if (request->peer)
        request_reply_done(request->peer, request->id);
    settings_change_free(change);
    request_end(request);
}

// Takes CHANGE.
static int submit(const struct call *c, struct settings_change *change)
{
    struct request *request = request_new(c);

    if (!request) {
        settings_change_free(change);
        return -ENOMEM;
    }
    request->audit = audit_new(c->peer, change->texts ? "quota set" : "quota unset");
    audit_say(request->audit, AUDIT_SUBJECT, "%s", change->subject);
    change->owner = request;
    change->done = change_done;
    settings_submit(c->env->settings, change);
    return 0;
}

// A string from a field; NULL: no memory, or the field is no string or too long.
static char *copy_text(const ProtobufCBinaryData *field)
{
    char text[SUBJECT_MAX];

    return message_take_text(field, text, sizeof text) < 0 ? NULL : strdup(text);
}

// A change of SUBJECT with room for N keys.
static int new_change(const ProtobufCBinaryData *subject, size_t n, struct settings_change **ret)
{
    struct settings_change *change;

    if (n > MAX_SETTINGS)
        return -EINVAL;
    change = calloc(1, sizeof *change);
    if (!change)
        return -ENOMEM;
    change->subject = copy_text(subject);
    change->keys = calloc(n + 1, sizeof *change->keys);
    if (!change->subject || !change->keys) {
        settings_change_free(change);
        return -EINVAL;
    }
    *ret = change;
    return 0;
}

int request_set_quota(const struct call *c)
{
    const Diskalloc__V1__SetQuota *m = c->message->set_quota;
    struct settings_change *change;
    bool good;
    int r;

    if (!policy_is_admin(c->env->config, c->peer->user))
        return request_refuse_others(c);
    r = new_change(&m->subject, m->n_settings, &change);
    if (r < 0)
        return r;
    change->texts = calloc(m->n_settings + 1, sizeof *change->texts);
    good = change->texts && m->n_settings > 0;
    for (; good && change->n < m->n_settings; change->n++) {
        change->keys[change->n] = copy_text(&m->settings[change->n]->key);
        change->texts[change->n] = copy_text(&m->settings[change->n]->text);
        good = change->keys[change->n] && change->texts[change->n];
    }
    if (good)
        return submit(c, change);
    settings_change_free(change);
    request_reply_sentence(c->peer, c->id, -EINVAL,
                           "each setting must be a key and a value of at most 319 bytes, without NUL bytes");
    return 0;
}

int request_unset_quota(const struct call *c)
{
    const Diskalloc__V1__UnsetQuota *m = c->message->unset_quota;
    struct settings_change *change;
    int r;

    if (!policy_is_admin(c->env->config, c->peer->user))
        return request_refuse_others(c);
    r = new_change(&m->subject, m->n_keys, &change);
    if (r < 0)
        return r;
    for (; r == 0 && change->n < m->n_keys; change->n++) {
        change->keys[change->n] = copy_text(&m->keys[change->n]);
        r = change->keys[change->n] ? 0 : -EINVAL;
    }
    if (r == 0)
        return submit(c, change);
    settings_change_free(change);
    return r;
}
