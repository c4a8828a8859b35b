// Requests of administrators, and of owners about what is theirs.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/settings.h"
#include "daemon/policy.h"
#include "daemon/request/message.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/field.h"

enum {
    ENTRIES_ON_A_PAGE = 16, // with the longest origins they fit a packet
    MAX_SETTINGS = 16,      // of one request
    SUBJECT_MAX = 160,
};

static void reply_sentence(struct peer *peer, uint64_t id, int error, const char *sentence)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error e;

    message_error(error, NULL, &e);
    if (sentence)
        e.message = (char *)sentence;
    reply.id = id;
    reply.error = &e;
    peer->reply(peer, &reply, -1);
}

static void reply_held(struct request_env *env, struct peer *peer, uint64_t id, const struct region *r)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;
    Diskalloc__V1__Error e;

    arena_reset(env->reply_arena);
    message_error(-EBUSY, NULL, &e);
    message_region(r, NULL, &region);
    message_holders(r, env->reply_arena, &region);
    reply.id = id;
    reply.error = &e;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    peer->reply(peer, &reply, -1);
}

static void removed(struct op *op)
{
    struct request *request = op->owner;

    if (request->peer && op->result < 0)
        request_reply_error(request->peer, request->id, op->result, NULL);
    else if (request->peer)
        request_reply_done(request->peer, request->id);
    request_end(request);
}

// 0 and the region, or -errno.
static int find_region(struct request_env *env, struct peer *peer, const Diskalloc__V1__RemoveRegion *m,
                       struct region **ret)
{
    struct handle handle;

    if ((m->name.len > 0) == (m->handle.len > 0))
        return -EINVAL;
    if (m->handle.len > 0) {
        if (m->handle.len != sizeof handle.bytes)
            return -EINVAL;
        memcpy(handle.bytes, m->handle.data, sizeof handle.bytes);
        *ret = region_find(env->op.regions, &handle);
    } else {
        const struct user *owner = request_name_space(env, peer, &m->user);
        int r = name_check((const char *)m->name.data, m->name.len);

        if (r < 0)
            return r;
        *ret = owner ? region_find_name(env->op.regions, owner->uid, (const char *)m->name.data, m->name.len) : NULL;
    }
    if (!*ret)
        return -ENOENT;
    // Whether a handle exists is no secret that would be worth another error.
    return policy_may_remove(env->config, peer->user, *ret) ? 0 : -EACCES;
}

void request_remove_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__RemoveRegion *m)
{
    struct request *request;
    struct region *r;
    int result = find_region(env, peer, m, &r);

    if (result < 0) {
        request_reply_error(peer, id, result, NULL);
        return;
    }
    if (r->n_attachments > 0 && !m->force) {
        reply_held(env, peer, id, r);
        return;
    }
    request = request_new(env, peer, id);
    if (!request)
        return;
    op_init(&request->op, &env->op, &op_unlink, r);
    request->op.done = removed;
    request->op.owner = request;
    request->op.pid = peer->pid;
    op_submit(&request->op);
}

void request_disconnect_user(struct request_env *env, struct peer *peer, uint64_t id,
                             const Diskalloc__V1__DisconnectUser *m)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Disconnected body = DISKALLOC__V1__DISCONNECTED__INIT;
    const struct user *user = m->user.len > 0 ? request_name_space(env, peer, &m->user) : NULL;
    struct peer *other;

    if (!policy_is_admin(env->config, peer->user)) {
        request_reply_error(peer, id, -EACCES, NULL);
        return;
    }
    if (!user) {
        request_reply_error(peer, id, m->user.len > 0 ? -ESRCH : -EINVAL, NULL);
        return;
    }
    TAILQ_FOREACH (other, &user->peers, of_user) {
        if (other == peer) // it wants to hear the answer
            continue;
        other->hang_up(other);
        body.connections++;
    }
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_DISCONNECTED;
    reply.disconnected = &body;
    peer->reply(peer, &reply, -1);
}

static bool may_see(const struct request_env *env, const struct user *u, const struct config_subject *s)
{
    if (policy_is_admin(env->config, u) || s->kind == CONFIG_TOTAL || s->kind == CONFIG_DEFAULT)
        return true;
    if (s->kind == CONFIG_USER)
        return s->known && s->id == u->uid;
    return s->known && user_in_group(u, s->id);
}

// A subject with what holds of its keys, from the arena.  NULL: the arena is dry.
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

void request_list_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__ListQuota *m)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__QuotaList list = DISKALLOC__V1__QUOTA_LIST__INIT;
    Diskalloc__V1__QuotaEntry *entries[ENTRIES_ON_A_PAGE];
    uint32_t at = 0; // the cursor is the index of the next subject

    if (m->cursor.len != 0 && m->cursor.len != sizeof at) {
        request_reply_error(peer, id, -EINVAL, NULL);
        return;
    }
    if (m->cursor.len)
        memcpy(&at, m->cursor.data, sizeof at);
    arena_reset(env->reply_arena);
    for (; at < env->config->n_subjects && list.n_entries < ENTRIES_ON_A_PAGE; at++) {
        const struct config_subject *s = env->config->subjects[at];
        Diskalloc__V1__QuotaEntry *entry = may_see(env, peer->user, s) ? describe(env, s) : NULL;

        if (entry && entry->n_values > 0)
            entries[list.n_entries++] = entry;
    }
    list.entries = entries;
    if (at < env->config->n_subjects)
        list.next_cursor = field_bytes(&at, sizeof at);
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_QUOTA_LIST;
    reply.quota_list = &list;
    peer->reply(peer, &reply, -1);
}

static void change_done(struct settings_change *change)
{
    struct request *request = change->owner;

    if (request->peer && change->result < 0)
        reply_sentence(request->peer, request->id, change->result, change->error);
    else if (request->peer)
        request_reply_done(request->peer, request->id);
    settings_change_free(change);
    request_end(request);
}

// A string of ours from bytes of theirs; NULL: no memory, or bytes that are no string.
static char *copy_text(const ProtobufCBinaryData *field)
{
    if (field->len >= SUBJECT_MAX || memchr(field->len ? (const char *)field->data : "", '\0', field->len))
        return NULL;
    return strndup(field->len ? (const char *)field->data : "", field->len);
}

static void submit(struct request_env *env, struct peer *peer, uint64_t id, struct settings_change *change)
{
    struct request *request = request_new(env, peer, id);

    if (!request) {
        settings_change_free(change);
        return;
    }
    change->owner = request;
    change->done = change_done;
    settings_submit(env->settings, change);
}

// With room for N keys; NULL: the peer was told why.
static struct settings_change *new_change(struct request_env *env, struct peer *peer, uint64_t id,
                                          const ProtobufCBinaryData *subject, size_t n)
{
    struct settings_change *change = NULL;
    int r = policy_is_admin(env->config, peer->user) ? 0 : -EACCES;

    if (r == 0 && n > MAX_SETTINGS)
        r = -EINVAL;
    if (r == 0) {
        change = calloc(1, sizeof *change);
        r = change ? 0 : -ENOMEM;
    }
    if (r == 0) {
        change->subject = copy_text(subject);
        change->keys = calloc(n + 1, sizeof *change->keys);
        if (!change->subject || !change->keys)
            r = -EINVAL;
    }
    if (r == 0)
        return change;
    if (change)
        settings_change_free(change);
    request_reply_error(peer, id, r, NULL);
    return NULL;
}

void request_set_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__SetQuota *m)
{
    struct settings_change *change = new_change(env, peer, id, &m->subject, m->n_settings);
    bool good = change && m->n_settings > 0;

    if (!change)
        return;
    change->texts = calloc(m->n_settings + 1, sizeof *change->texts);
    good = good && change->texts;
    for (; good && change->n < m->n_settings; change->n++) {
        change->keys[change->n] = copy_text(&m->settings[change->n]->key);
        change->texts[change->n] = copy_text(&m->settings[change->n]->text);
        good = change->keys[change->n] && change->texts[change->n];
    }
    if (good)
        submit(env, peer, id, change);
    else {
        settings_change_free(change);
        reply_sentence(peer, id, -EINVAL, "a setting is a key and a value, both without odd bytes");
    }
}

void request_unset_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__UnsetQuota *m)
{
    struct settings_change *change = new_change(env, peer, id, &m->subject, m->n_keys);
    bool good = true;

    if (!change)
        return;
    for (; good && change->n < m->n_keys; change->n++) {
        change->keys[change->n] = copy_text(&m->keys[change->n]);
        good = change->keys[change->n];
    }
    if (good)
        submit(env, peer, id, change);
    else {
        settings_change_free(change);
        request_reply_error(peer, id, -EINVAL, NULL);
    }
}
