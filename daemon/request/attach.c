// Requests that make a region, attach one, or detach one: find the region, ask policy, queue the operation.
//
// CreateRegion and OpenRegion may be repeated after a reconnect, when the client does not know whether the first try
// was done.  The client chooses the handle, so a repeated request finds the region of its first try.
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/disk.h"
#include "daemon/op/ask.h"
#include "daemon/orphans.h"
#include "daemon/policy.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/operation.h"
#include "daemon/user.h"

enum { MOST_ASKED = 16 }; // connections of a process, whether they have ended: each is a call of the kernel

void request_attach_done(struct op *op)
{
    struct request *request = op->owner;

    request_leave_place(request);
    if (op->result == 0 && request->peer)
        op->result = peer_attach(request->peer, op->region, op->read_only, op->claim);
    if (op->result == 0 && request->peer)
        op_ask_newcomer(op->env, holders_find(&op->region->holders, request->peer));
    if (op->result == 0 && request->peer && op->sole_writer) {
        struct holders *h = &op->region->holders;
        struct attachment *a = holders_find(h, request->peer);

        holders_change(h, a, a->read_only, true);
    }
    request_op_done(op);
}

int request_check_flags(uint32_t flags, uint32_t known)
{
    const uint32_t both = DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY | DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER;

    if (flags & ~known)
        return -EOPNOTSUPP;
    return (flags & both) == both ? -EINVAL : 0;
}

// SIZE matters to find_op_done only.
static int attach(const struct call *c, struct region *r, uint32_t flags, enum holder_claim claim, uint64_t size,
                  void (*done)(struct op *op))
{
    bool read_only = flags & DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY;
    struct request *request;

    if (!policy_may_attach(c->peer->user, r, read_only, peer_in_group(c->peer, r->record.owner_gid)))
        return -EACCES;
    if (r->mover)
        return request_refuse_moving(c);
    // The operation that makes the region was cancelled when the connection of the first try closed.  The region is
    // wanted after all.
    if (r->state == REGION_BEING_MADE && !TAILQ_EMPTY(&r->ops))
        TAILQ_FIRST(&r->ops)->cancelled = false;
    request = request_new_op(c, &op_open, r);
    if (!request)
        return -ENOMEM;
    request->op.read_only = read_only;
    request->op.attaches = !holders_find(&r->holders, c->peer);
    request->op.claim = claim;
    request->op.opener = c->peer->holder;
    request->op.peer = c->peer;
    request->op.sole_writer = flags & DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER;
    request->op.returns = request->op.sole_writer && claim == HOLDER_MAPS;
    request->op.size = size;
    request->op.done = done;
    op_submit(&request->op);
    return 0;
}

int request_attach(const struct call *c, struct region *r, uint32_t flags, enum holder_claim claim)
{
    return attach(c, r, flags, claim, 0, request_attach_done);
}

struct request *request_new_region(const struct call *c, const struct op_type *type, struct record *record)
{
    struct request *request;
    struct region *r;

    record->owner_uid = c->peer->user->uid;
    record->owner_gid = c->peer->user->entry.gid;
    record->created = (uint64_t)time(NULL);
    r = region_add(c->env->op.regions, record, c->peer->user);
    if (!r)
        return NULL;
    request = request_new_op(c, type, r);
    if (!request) {
        region_remove(c->env->op.regions, r);
        region_free(r);
        return NULL;
    }
    request_take_place(request);
    quota_charge_set_job(&r->charge, c->peer->charge.job);
    request->op.sole_writer = record->flags & RECORD_SOLE_WRITER;
    return request;
}

// RECORD: as request_new_region.  EARLY: nobody needs the region yet.
static int create(const struct call *c, struct record *record, uint64_t size, bool early)
{
    struct request *request;

    if (size > INT64_MAX)
        return -EOVERFLOW;
    if (!peer_may_attach(c->peer)) // a region with a name would stay
        return -EUSERS;
    request = request_new_region(c, &op_create, record);
    if (!request)
        return -ENOMEM;
    request->op.size = size;
    request->op.early = early;
    request->op.done = request_attach_done;
    op_submit(&request->op);
    return 0;
}

static int create_or_find(const struct call *c, struct record *record, uint64_t size, bool early);

// For op.done of an op_open on the region of an earlier try.  Nobody had that region attached meanwhile, so it may have
// been removed as an orphan while this operation waited for its turn.  Then it is made anew.
static void find_op_done(struct op *op)
{
    struct request *request = op->owner;
    const struct call again = {.env = request->env, .peer = request->peer, .id = request->id};
    struct record record = {
        .handle = op->region->record.handle, .mode = 0600, .flags = op->region->record.flags & RECORD_SPARSE};
    uint64_t size = op->size;
    int r;

    if (op->result != -ENOENT || op->region->state != REGION_GONE || !request->peer) {
        request_attach_done(op);
        return;
    }
    request_end(request);
    r = create_or_find(&again, &record, size, false);
    if (r < 0)
        request_reply_error(again.peer, again.id, r, NULL);
}

static int create_or_find(const struct call *c, struct record *record, uint64_t size, bool early)
{
    struct region *r = region_find(c->env->op.regions, &record->handle);

    if (!r)
        return create(c, record, size, early);
    if (r->record.owner_uid != c->peer->user->uid || !region_is_transient(r))
        return -EEXIST;
    return attach(c, r, 0, HOLDER_REPEATS, size, find_op_done);
}

int request_create_region(const struct call *c)
{
    const Diskalloc__V1__CreateRegion *m = c->message->create_region;
    struct record record = {.mode = 0600};

    if (message_take_handle(&m->handle, &record.handle) < 0)
        return -EINVAL;
    if (m->flags & ~(uint32_t)DISKALLOC__V1__REGION_FLAG__REGION_SPARSE)
        return -EOPNOTSUPP;
    if (m->flags)
        record.flags = RECORD_SPARSE;
    return create_or_find(c, &record, m->size, m->early);
}

static bool says_held(const struct call *c)
{
    return c->peer->features & DISKALLOC__V1__FEATURE__FEATURE_HELD;
}

// Whether a client that does not know the field `repeated` may be repeating this OpenRegion.
static bool is_lost(const struct call *c, const struct region *r)
{
    return !says_held(c) && holders_have_lost(&r->holders, &c->peer->holder);
}

static int check_open(const Diskalloc__V1__OpenRegion *m)
{
    const uint32_t known = DISKALLOC__V1__REGION_FLAG__REGION_SPARSE | DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY |
                           DISKALLOC__V1__REGION_FLAG__REGION_CREATE | DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE |
                           DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER;
    bool creates = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_CREATE;

    int r = request_check_flags(m->flags, known);

    if (r < 0)
        return r;
    if (m->mode & ~0777u || (!creates && m->flags & DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE))
        return -EINVAL;
    return name_check((const char *)m->name.data, m->name.len);
}

// No region has the handle, or the name.  It may be on a disk that does not answer: then the client must not take it
// for removed, as NOT_FOUND would tell, and mark it stale.  TIMED_OUT refuses what it asks for now, and it attaches
// the region when it asks again (client/link/reconnect.c, client/remote/ask.c).
static int refuse_unknown(const struct call *c)
{
    const struct disk_absence *a = c->env->absences;

    while (a && !a->hangs)
        a = a->next;
    if (!a)
        return -ENOENT;
    request_reply_sentence(c->peer, c->id, -ETIMEDOUT,
                           "a disk of the daemon does not answer, and the region may be there: try again later");
    return 0;
}

int request_open_region(const struct call *c)
{
    const Diskalloc__V1__OpenRegion *m = c->message->open_region;
    const struct user *owner = request_name_space(c, &m->user);
    bool creates = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    bool exclusive = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE;
    struct record record = {.mode = m->mode};
    struct region *r;
    int result = check_open(m);

    if (result == 0 && creates)
        result = message_take_handle(&m->handle, &record.handle);
    if (result < 0)
        return result;
    r = owner ? region_find_name(c->env->op.regions, owner->uid, (const char *)m->name.data, m->name.len) : NULL;
    // With the same handle, the region is the one that an earlier try of this request made.
    if (r && exclusive && !handle_equal(&r->record.handle, &record.handle))
        return -EEXIST;
    if (r)
        return attach(c, r, m->flags, m->repeated || is_lost(c, r) ? HOLDER_REPEATS : HOLDER_IS_NEW, 0,
                      request_attach_done);
    if (!creates)
        return refuse_unknown(c);
    if (!owner)
        return -ENOENT;
    if (owner != c->peer->user)
        return -EACCES;
    if (region_find(c->env->op.regions, &record.handle))
        return -EEXIST;
    memcpy(record.name, m->name.data, m->name.len);
    record.name_length = (uint8_t)m->name.len;
    if (m->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE)
        record.flags = RECORD_SPARSE;
    if (m->flags & DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER)
        record.flags |= RECORD_SOLE_WRITER;
    return create(c, &record, m->size, false);
}

int request_attach_region(const struct call *c)
{
    const Diskalloc__V1__AttachRegion *m = c->message->attach_region;
    struct handle handle;
    enum holder_claim claim;
    struct region *r;
    int e = request_check_flags(m->flags, DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY |
                                              DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER);

    if (message_take_handle(&m->handle, &handle) < 0)
        return -EINVAL;
    if (e < 0)
        return e;
    r = region_find(c->env->op.regions, &handle);
    if (!r)
        return refuse_unknown(c);
    claim = m->held || !says_held(c) ? HOLDER_MAPS : m->repeated ? HOLDER_REPEATS : HOLDER_IS_NEW;
    return attach(c, r, m->flags, claim, 0, request_attach_done);
}

// The process lets a region go that a connection of it had which has ended.
static void forget_lost(const struct call *c)
{
    const struct holder *holder = &c->peer->holder;
    struct attachment *a = NULL;
    struct handle handle;
    struct region *r = NULL;
    unsigned n_asked = 0;

    if (message_take_handle(&c->message->detach_region->handle, &handle) == 0)
        r = region_find(c->env->op.regions, &handle);
    if (!r)
        return;
    // The turn of that connection may not have come yet (conn/leaving.c), not even for its end to be noticed.
    while ((a = holders_next_of(&r->holders, holder, a)) && !a->peer->has_parted &&
           (++n_asked > MOST_ASKED || !a->peer->has_left(a->peer)))
        continue;
    if (a) {
        peer_detach(a->peer, a);
        orphans_consider(c->env->op.orphans, r);
    } else {
        holders_leave(&r->holders, holder);
    }
}

int request_detach_region(const struct call *c)
{
    struct attachment *a;
    int r = request_find_attached(c, &c->message->detach_region->handle, &a);

    if (r == 0 && c->message->detach_region->keeps_reading) {
        holders_change(&a->region->holders, a, true, false);
    } else if (r == 0) {
        struct region *region = a->region;

        peer_detach(c->peer, a);
        orphans_consider(c->env->op.orphans, region);
    }
    if (r == -EINVAL)
        return r;
    // A region that is not attached is no error: a repeated DetachRegion finds nothing more to do, or tells what
    // became of a region of a connection that has ended.
    if (r == -ENOTCONN)
        forget_lost(c);
    request_reply_done(c->peer, c->id);
    return 0;
}

int request_open_file(const struct call *c)
{
    struct attachment *a;
    struct request *request;
    int r = request_find_attached(c, &c->message->open_file->handle, &a);

    if (r < 0)
        return r;
    request = request_new_op(c, &op_open, a->region);
    if (!request)
        return -ENOMEM;
    request->op.read_only = a->read_only;
    op_submit(&request->op);
    return 0;
}
