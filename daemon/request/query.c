// Requests that only look: usage, and lists of regions (status.c has the status of the daemon).  They are answered at
// once, on the loop's thread, from the tables: they never touch the disk.
//
// A list comes in pages, each of which fits into a packet.  Its cursor is the handle of the last region looked at, so
// that regions which come or go between two pages cannot make a page skip or repeat others.
#include <errno.h>
#include <string.h>

#include "daemon/account.h"
#include "daemon/config/subjects.h"
#include "daemon/lookup.h"
#include "daemon/op/wait.h"
#include "daemon/policy.h"
#include "daemon/quota/soft.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/query.h"
#include "daemon/request/status.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"
#include "proto/util/text.h"

enum {
    SUBJECT_MAX = USER_NAME_MAX + 16, // bytes of a subject, with the NUL; at least CONFIG_SUBJECT_SIZE
    REGIONS_ON_A_PAGE = 16,
    LOOKED_AT_FOR_A_PAGE = 128, // regions; after them the page is sent, however few of them are on it
    REPLY_SLACK = 1024,         // bytes of a packet for the parts of the reply beside the list
};

void query_fill_usage(const struct request_env *env, const struct named_account *found, Diskalloc__V1__Usage *ret)
{
    const struct quota_account *a = found->account;
    const struct quota_limits *limits = quota_account_limits(found->limiting ? found->limiting : a);
    uint64_t disk = status_disk_left(env->op.disks, found->user);

    diskalloc__v1__usage__init(ret);
    ret->subject = field_text(quota_account_label(a));
    ret->bytes = quota_account_used(a, QUOTA_BYTES);
    ret->bytes_limit = limits->max[QUOTA_BYTES];
    ret->regions = quota_account_used(a, QUOTA_REGIONS);
    ret->regions_limit = limits->max[QUOTA_REGIONS];
    ret->connections = quota_account_used(a, QUOTA_CONNECTIONS);
    ret->connections_limit = limits->max[QUOTA_CONNECTIONS];
    ret->warn_bytes = limits->warn_bytes;
    if (limits->soft.is_set) {
        ret->soft_bytes = limits->soft.bytes;
        ret->grace_ends = quota_account_grace_ends(found->limiting ? found->limiting : a);
    }
    ret->grantable_bytes = u64_min(found->left, disk);
}

static uint64_t left_of_account(const struct quota_account *a)
{
    return u64_min(quota_account_left(a, QUOTA_BYTES), quota_account_region_max(a));
}

static uint64_t left_of_user(const struct user *u)
{
    return u64_min(quota_user_left(u->quota, QUOTA_BYTES), quota_user_region_max(u->quota));
}

static uint64_t left_of_peer(const struct peer *p)
{
    return u64_min(quota_charge_left(&p->charge, QUOTA_BYTES), quota_charge_region_max(&p->charge));
}

static int find_group(const struct call *c, const char *name, struct named_account *ret)
{
    const struct config_subject *s = config_find_subject(c->env->config, CONFIG_GROUP, name);
    bool is_admin = policy_is_admin(c->env->config, c->peer->user);

    if (!s || !s->known)
        return is_admin ? -ESRCH : -EACCES;
    if (!is_admin && !user_in_group(c->peer->user, s->id))
        return -EACCES;
    ret->account = quota_find_group(c->env->quota, s->id);
    if (!ret->account)
        return -ESRCH;
    ret->left = left_of_account(ret->account);
    return 0;
}

static int find_cgroup(const struct call *c, const char *name, struct named_account *ret)
{
    char path[CONFIG_SUBJECT_SIZE];
    bool is_admin = policy_is_admin(c->env->config, c->peer->user);

    config_cgroup_path(name, path, sizeof path); // config_parse_subject has tried it
    ret->account = quota_find_cgroup(c->env->quota, path);
    if (!is_admin && !(ret->account && quota_charge_counts_in(&c->peer->charge, ret->account)))
        return -EACCES;
    if (!ret->account)
        return -ESRCH;
    ret->left = left_of_account(ret->account);
    return 0;
}

// Everybody counts in the total and may see it, as in the status and the metrics.
static void find_total(const struct call *c, struct named_account *ret)
{
    ret->account = quota_total(c->env->quota);
    ret->left = left_of_account(ret->account);
}

// A user who is one of the unlisted may see what the unlisted share, as a member of a group sees the group.
static int find_unlisted(const struct call *c, struct named_account *ret)
{
    struct quota_account *unlisted = quota_unlisted(c->env->quota);

    if (!policy_is_admin(c->env->config, c->peer->user) && account_of(c->peer->user) != unlisted)
        return -EACCES;
    ret->account = unlisted;
    ret->left = left_of_account(unlisted);
    return 0;
}

// NAME NULL: the peer's own user.  Of a uid without an account of its own: what that uid uses, and the limits of the
// account in which it counts.
static int find_user(const struct call *c, const char *name, struct named_account *ret)
{
    const struct user *user = name ? user_find_by_name(c->env->users, name) : c->peer->user;
    bool is_admin = policy_is_admin(c->env->config, c->peer->user);

    if (!user && is_admin) {
        // A user who has nothing here is shown all the same if the configuration has limits for them, or by the uid.
        const struct config_subject *s = config_find_subject(c->env->config, CONFIG_USER, name);
        uid_t uid;

        if (s && s->known)
            user = ret->held = user_ref(c->env->users, s->id);
        else if (id_parse(name, &uid))
            user = ret->held = user_ref(c->env->users, uid);
    }
    if (!user)
        return is_admin ? -ESRCH : -EACCES;
    if (!policy_may_see_usage(c->env->config, c->peer->user, user->uid))
        return -EACCES;
    ret->account = quota_user_account(user->quota);
    ret->limiting = account_of(user);
    ret->user = user;
    ret->left = name ? left_of_user(user) : left_of_peer(c->peer);
    return 0;
}

int query_find_account(const struct call *c, const char *subject, struct named_account *ret)
{
    enum config_subject_kind kind;
    const char *name;

    if (subject[0] == '\0')
        return find_user(c, NULL, ret);
    if (config_parse_subject(subject, &kind, &name) < 0)
        return -EINVAL;
    if (kind == CONFIG_TOTAL) {
        find_total(c, ret);
        return 0;
    }
    if (kind == CONFIG_UNLISTED)
        return find_unlisted(c, ret);
    if (kind == CONFIG_USER)
        return find_user(c, name, ret);
    if (kind == CONFIG_CGROUP)
        return find_cgroup(c, name, ret);
    // default and members: have limits, but no account.
    return kind == CONFIG_GROUP ? find_group(c, name, ret) : -EINVAL;
}

static void reply_usage(struct request_env *env, struct peer *peer, uint64_t id, const struct named_account *found)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Usage usage;

    query_fill_usage(env, found, &usage);
    usage.waiters = wait_count(env->op.wait, found->account);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_USAGE;
    reply.usage = &usage;
    request_reply(peer, id, &reply, -1);
}

// The user database has answered: the user's name, groups and limits are known.
static void idle_user_is_known(struct user_waiter *waiter)
{
    struct request *request = container_of(waiter, struct request, user_waiter);
    struct user *user = request->idle;
    const struct named_account found = {.account = quota_user_account(user->quota),
                                        .limiting = account_of(user),
                                        .user = user,
                                        .left = left_of_user(user)};

    reply_usage(request->env, request->peer, request->id, &found);
    request_end(request);
}

// Takes the reference to USER, of whom nothing is known but the uid.
static int await_idle_user(const struct call *c, struct user *user)
{
    struct request *request = request_new(c);

    if (!request) {
        user_unref(user);
        return -ENOMEM;
    }
    request->idle = user;
    request->user_waiter.ready = idle_user_is_known;
    lookup_await(user, &request->user_waiter);
    return 0;
}

static const char no_account[] = "usage is that of total, unlisted, user:NAME, group:NAME or cgroup:PATH; default and "
                                 "members:GROUP have limits only";

int request_get_usage(const struct call *c)
{
    const Diskalloc__V1__GetUsage *m = c->message->get_usage;
    struct named_account found = {0};
    char subject[SUBJECT_MAX];
    int r = message_take_text(&m->subject, subject, sizeof subject);

    if (r == 0)
        r = query_find_account(c, subject, &found);
    if (r == -EACCES)
        return request_refuse_others(c);
    if (r == -EINVAL) {
        request_reply_sentence(c->peer, c->id, r, no_account);
        return 0;
    }
    if (r < 0)
        return r;
    if (found.held && !found.held->known)
        return await_idle_user(c, found.held);
    reply_usage(c->env, c->peer, c->id, &found);
    user_unref(found.held);
    return 0;
}

// One page of a list of regions, while it is made.
struct page {
    struct arena *arena;
    Diskalloc__V1__Region *regions[REGIONS_ON_A_PAGE];
    size_t n;
    size_t size; // bytes of the regions when they are packed
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

// Begins behind *AFTER (NULL: with the first region).  *AFTER becomes the handle of the last region looked at, or NULL
// if there are no more.  OWNER NULL: regions of all users.
static void fill_page(const struct call *c, const struct user *owner, const struct handle **after, size_t max,
                      struct page *page)
{
    struct region_table *regions = c->env->op.regions;
    struct region *r = region_next(regions, *after);

    for (unsigned looked_at = 0; r && looked_at < LOOKED_AT_FOR_A_PAGE; looked_at++) {
        bool wanted = (!owner || r->owner == owner) && policy_may_see_region(c->env->config, c->peer->user, r);

        if (wanted && (page->n == max || !add_to_page(page, r)))
            return;
        *after = &r->record.handle;
        r = region_next(regions, *after);
    }
    if (!r)
        *after = NULL;
}

int request_list_regions(const struct call *c)
{
    const Diskalloc__V1__ListRegions *m = c->message->list_regions;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__RegionList list = DISKALLOC__V1__REGION_LIST__INIT;
    struct page page = {.arena = c->env->reply_arena};
    char name[USER_NAME_MAX];
    struct handle cursor;
    const struct handle *after = m->cursor.len ? &cursor : NULL;
    const struct user *owner;

    if (message_take_text(&m->user, name, sizeof name) < 0 ||
        (m->cursor.len && message_take_handle(&m->cursor, &cursor) < 0))
        return -EINVAL;
    owner = m->user.len ? user_find_by_name(c->env->users, name) : NULL;
    arena_reset(c->env->reply_arena);
    // A user who is not known here has no regions: the list is empty.
    if (owner || !m->user.len) {
        fill_page(c, owner, &after, m->max && m->max < REGIONS_ON_A_PAGE ? m->max : REGIONS_ON_A_PAGE, &page);
        if (after)
            list.next_cursor = field_handle(after);
    }
    list.regions = page.regions;
    list.n_regions = page.n;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION_LIST;
    reply.region_list = &list;
    return request_answer(c, &reply);
}
