// CloneRegion: a region that is a copy of another one.
//
// The peer has attached the source; the right to read it was checked then.  The copy is the peer's own.
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/orphans.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/operation.h"
#include "daemon/user.h"

static void clone_done(struct op *op)
{
    struct op_env *env = op->env;
    struct region *source = op->source;

    request_attach_done(op); // frees OP
    source->n_readers--;
    orphans_consider(env->orphans, source);
}

static void tell(struct op *op, uint64_t done, uint64_t all)
{
    request_tell_progress(op, DISKALLOC__V1__EVENT_KIND__EVENT_CLONE_PROGRESS, &op->source_handle, done, all);
}

// The request was made before, and its connection was lost.
static int find_again(const struct call *c, struct region *r)
{
    if (r->record.owner_uid != c->peer->user->uid)
        return -EEXIST;
    return request_attach(c, r, c->message->clone_region->flags, HOLDER_REPEATS);
}

static int check_name(const struct call *c)
{
    const Diskalloc__V1__CloneRegion *m = c->message->clone_region;
    int r;

    if (m->mode & ~0777u)
        return -EINVAL;
    if (m->name.len == 0)
        return 0;
    r = name_check((const char *)m->name.data, m->name.len);
    if (r < 0)
        return r;
    return region_find_name(c->env->op.regions, c->peer->user->uid, (const char *)m->name.data, m->name.len) ? -EEXIST
                                                                                                             : 0;
}

static int make_clone(const struct call *c, struct region *source, struct record *record)
{
    const Diskalloc__V1__CloneRegion *m = c->message->clone_region;
    struct request *request = request_new_region(c, &op_clone, record);

    if (!request)
        return -ENOMEM;
    source->n_readers++;
    request->op.source = source;
    request->op.read_only = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY;
    request->op.done = clone_done;
    if (c->peer->features & DISKALLOC__V1__FEATURE__FEATURE_CLONE)
        request->op.tell = tell;
    op_submit(&request->op);
    return 0;
}

int request_clone_region(const struct call *c)
{
    const Diskalloc__V1__CloneRegion *m = c->message->clone_region;
    struct record record = {.mode = m->name.len > 0 ? m->mode : 0600};
    struct attachment *a = NULL;
    struct region *r;
    int e = request_check_flags(m->flags, DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY |
                                              DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER);

    if (e == 0)
        e = message_take_handle(&m->handle, &record.handle);
    if (e == 0)
        e = request_find_attached(c, &m->source, &a);
    if (e < 0)
        return e;
    r = region_find(c->env->op.regions, &record.handle);
    if (r)
        return find_again(c, r);
    e = check_name(c);
    if (e < 0)
        return e;
    if (!a || a->region->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (!peer_may_attach(c->peer))
        return -EUSERS;
    if (m->name.len > 0) {
        memcpy(record.name, m->name.data, m->name.len);
        record.name_length = (uint8_t)m->name.len;
    }
    record.flags = a->region->record.flags & RECORD_SPARSE;
    if (m->flags & DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER)
        record.flags |= RECORD_SOLE_WRITER;
    return make_clone(c, a->region, &record);
}
