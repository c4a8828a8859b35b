// Requests that only look.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/op/wait.h"
#include "daemon/policy.h"
#include "daemon/request/message.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/packet.h"

enum {
    REGIONS_ON_A_PAGE = 64,
    LOOKED_AT_FOR_A_PAGE = 1000, // regions, before the page is sent even if there is little on it
    REPLY_SLACK = 1024,          // of a packet, for what is not the list
};

// What could be granted now as far as the disk knows.
static uint64_t disk_left(const struct request_env *env)
{
    return env->space.available > env->op.keep_free ? env->space.available - env->op.keep_free : 0;
}

static void fill_usage(const struct request_env *env, const struct quota_account *a, uint64_t left,
                       Diskalloc__V1__Usage *ret)
{
    const struct quota_limits *limits = quota_account_limits(a);
    uint64_t disk = disk_left(env);

    diskalloc__v1__usage__init(ret);
    ret->subject = field_text(quota_account_label(a));
    ret->bytes = quota_account_used(a, QUOTA_BYTES);
    ret->bytes_limit = limits->max[QUOTA_BYTES];
    ret->regions = quota_account_used(a, QUOTA_REGIONS);
    ret->regions_limit = limits->max[QUOTA_REGIONS];
    ret->connections = quota_account_used(a, QUOTA_CONNECTIONS);
    ret->connections_limit = limits->max[QUOTA_CONNECTIONS];
    ret->warn_bytes = limits->warn_bytes;
    ret->waiters = wait_count(env->op.wait, a);
    ret->grantable_bytes = left < disk ? left : disk;
}

static int find_group(struct request_env *env, const struct user *asker, const char *name,
                      const struct quota_account **ret_account, uint64_t *ret_left)
{
    const struct config_subject *s = config_find_subject(env->config, CONFIG_GROUP, name);
    bool is_admin = policy_is_admin(env->config, asker);

    if (!s || !s->known)
        return is_admin ? -ESRCH : -EACCES;
    if (!is_admin && !user_in_group(asker, s->id))
        return -EACCES;
    *ret_account = quota_find_group(env->quota, s->id);
    if (!*ret_account)
        return -ESRCH;
    *ret_left = quota_account_left(*ret_account, QUOTA_BYTES);
    return 0;
}

// Somebody who has nothing here yet, but limits of their own: with a reference.
static struct user *configured_user(struct request_env *env, const char *name)
{
    const struct config_subject *s = config_find_subject(env->config, CONFIG_USER, name);

    return s && s->known ? user_ref(env->users, s->id) : NULL;
}

// The account that SUBJECT names, if PEER may see it: 0, -ENOENT, -EACCES, -EINVAL.
static int find_account(struct request_env *env, struct peer *peer, const char *subject,
                        const struct quota_account **ret_account, uint64_t *ret_left, struct user **ret_held)
{
    enum config_subject_kind kind;
    const char *name;
    const struct user *user = peer->user;
    bool is_admin = policy_is_admin(env->config, peer->user);

    if (subject[0] == '\0') {
        kind = CONFIG_USER;
        name = NULL;
    } else if (config_parse_subject(subject, &kind, &name) < 0)
        return -EINVAL;

    switch (kind) {
    case CONFIG_TOTAL:
        if (!is_admin)
            return -EACCES;
        *ret_account = quota_total(env->quota);
        *ret_left = quota_account_left(*ret_account, QUOTA_BYTES);
        return 0;
    case CONFIG_USER:
        if (name)
            user = user_find_by_name(env->users, name);
        if (!user && is_admin)
            user = *ret_held = configured_user(env, name);
        if (!user)
            return is_admin ? -ESRCH : -EACCES;
        if (!policy_may_see_usage(env->config, peer->user, user->uid))
            return -EACCES;
        *ret_account = quota_user_account(user->quota);
        *ret_left = quota_user_left(user->quota, QUOTA_BYTES);
        return 0;
    case CONFIG_GROUP:
        return find_group(env, user, name, ret_account, ret_left);
    default: // default and members: are limits, nobody's account
        return -EINVAL;
    }
}

void request_get_usage(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__GetUsage *m)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Usage usage;
    const struct quota_account *account = NULL;
    char subject[128] = "";
    struct user *held = NULL;
    uint64_t left = 0;
    int r = m->subject.len < sizeof subject ? 0 : -EINVAL;

    if (r == 0 && m->subject.len > 0)
        memcpy(subject, m->subject.data, m->subject.len);
    if (r == 0 && strlen(subject) != m->subject.len)
        r = -EINVAL;
    if (r == 0)
        r = find_account(env, peer, subject, &account, &left, &held);
    if (r < 0) {
        request_reply_error(peer, id, r, NULL);
        return;
    }
    fill_usage(env, account, left, &usage);
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_USAGE;
    reply.usage = &usage;
    peer->reply(peer, &reply, -1);
    user_unref(held);
}

struct page {
    struct arena *arena;
    Diskalloc__V1__Region *regions[REGIONS_ON_A_PAGE];
    size_t n, size;
};

// False: the page is full.
static bool add_to_page(struct page *page, const struct region *r)
{
    Diskalloc__V1__Region *region = page->arena->allocator.alloc(page->arena, sizeof *region);
    size_t size;

    if (!region || page->n == REGIONS_ON_A_PAGE)
        return false;
    message_region(r, NULL, region);
    message_holders(r, page->arena, region);
    size = diskalloc__v1__region__get_packed_size(region) + 8;
    if (page->size + size > PACKET_MAX - REPLY_SLACK)
        return false;
    page->size += size;
    page->regions[page->n++] = region;
    return true;
}

// From *AFTER on (NULL: from the beginning).  *AFTER becomes the last one looked at, NULL at the end.
static void fill_page(struct request_env *env, const struct peer *peer, const struct user *owner,
                      const struct handle **after, size_t max, struct page *page)
{
    struct region *r = region_next(env->op.regions, *after);

    for (unsigned looked_at = 0; r && looked_at < LOOKED_AT_FOR_A_PAGE; looked_at++) {
        bool wanted = (!owner || r->owner == owner) && policy_may_see_region(env->config, peer->user, r);

        if (wanted && (page->n == max || !add_to_page(page, r)))
            return;
        *after = &r->record.handle;
        r = region_next(env->op.regions, *after);
    }
    if (!r)
        *after = NULL;
}

// By name or +uid; *RET is NULL for everybody.
static int find_owner(struct request_env *env, const ProtobufCBinaryData *field, const struct user **ret)
{
    char name[USER_NAME_MAX];

    *ret = NULL;
    if (field->len == 0)
        return 0;
    if (field->len >= sizeof name || memchr(field->data, '\0', field->len))
        return -EINVAL;
    memcpy(name, field->data, field->len);
    name[field->len] = '\0';
    *ret = user_find_by_name(env->users, name);
    return *ret ? 0 : -ENOENT;
}

void request_list_regions(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__ListRegions *m)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__RegionList list = DISKALLOC__V1__REGION_LIST__INIT;
    struct page page = {.arena = env->reply_arena};
    struct handle cursor;
    const struct handle *after = NULL;
    const struct user *owner;
    int r = find_owner(env, &m->user, &owner);

    if (m->cursor.len != 0 && m->cursor.len != sizeof cursor.bytes)
        r = -EINVAL;
    // Somebody who has nothing here has no regions.
    if (r == -EINVAL) {
        request_reply_error(peer, id, r, NULL);
        return;
    }
    if (m->cursor.len) {
        memcpy(cursor.bytes, m->cursor.data, sizeof cursor.bytes);
        after = &cursor;
    }
    arena_reset(env->reply_arena);
    if (r == 0)
        fill_page(env, peer, owner, &after, m->max && m->max < REGIONS_ON_A_PAGE ? m->max : REGIONS_ON_A_PAGE, &page);
    if (r == 0 && after)
        list.next_cursor = field_handle(after);
    list.regions = page.regions;
    list.n_regions = page.n;
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION_LIST;
    reply.region_list = &list;
    peer->reply(peer, &reply, -1);
}

void request_get_status(struct request_env *env, struct peer *peer, uint64_t id)
{
    const struct spillfile_guarantee *guarantee = store_guarantee(env->op.store);
    const struct quota_account *total = quota_total(env->quota);
    const struct quota_limits *limits = quota_account_limits(total);
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Status status = DISKALLOC__V1__STATUS__INIT;

    status.version = (char *)DISKALLOC_VERSION;
    status.pid = (uint32_t)getpid();
    status.started = env->started;
    status.spill_dir = field_text(store_dir(env->op.store));
    status.file_system = (char *)guarantee->file_system;
    status.guarantee = guarantee->hard ? DISKALLOC__V1__GUARANTEE__HARD : DISKALLOC__V1__GUARANTEE__SOFT;
    status.guarantee_reason = (char *)guarantee->reason;
    status.disk_total = env->space.total;
    status.disk_available = env->space.available;
    status.keep_free = env->op.keep_free;
    status.bytes = quota_account_used(total, QUOTA_BYTES);
    status.bytes_limit = limits->max[QUOTA_BYTES];
    status.regions = quota_account_used(total, QUOTA_REGIONS);
    status.regions_limit = limits->max[QUOTA_REGIONS];
    status.connections = quota_account_used(total, QUOTA_CONNECTIONS);
    status.connections_limit = limits->max[QUOTA_CONNECTIONS];
    status.orphans = env->op.regions->n_orphans;
    status.foreign_files = env->n_foreign;
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_STATUS;
    reply.status = &status;
    peer->reply(peer, &reply, -1);
}
