// Messages and values of the protocol: see message.h.
#include "daemon/request/message.h"

#include <errno.h>
#include <string.h>

#include "daemon/disk.h"
#include "daemon/region.h"
#include "daemon/request/peer.h"
#include "daemon/user.h"
#include "proto/errors.h"
#include "proto/field.h"

enum {
    MAX_HOLDERS = 16,  // of a region, in one reply
    MAX_RANGES = 1024, // discarded ranges, in one reply
};

int message_decode(struct arena *arena, const uint8_t *bytes, size_t n, Diskalloc__V1__Request **ret)
{
    arena_reset(arena);
    *ret = diskalloc__v1__request__unpack(&arena->allocator, n, bytes);
    return *ret ? 0 : -EBADMSG;
}

size_t message_encode(const Diskalloc__V1__Reply *reply, uint8_t *ret, size_t size)
{
    return diskalloc__v1__reply__get_packed_size(reply) > size ? 0 : diskalloc__v1__reply__pack(reply, ret);
}

int message_take_handle(const ProtobufCBinaryData *field, struct handle *ret)
{
    if (field->len != sizeof ret->bytes)
        return -EINVAL;
    memcpy(ret->bytes, field->data, sizeof ret->bytes);
    return 0;
}

int message_take_text(const ProtobufCBinaryData *field, char *ret, size_t size)
{
    if (field->len >= size || (field->len > 0 && memchr(field->data, '\0', field->len)))
        return -EINVAL;
    if (field->len > 0)
        memcpy(ret, field->data, field->len);
    ret[field->len] = '\0';
    return 0;
}

void message_error(int error, const struct quota_refusal *refusal, Diskalloc__V1__Error *ret)
{
    const struct protocol_error *e = protocol_error_of(error);

    diskalloc__v1__error__init(ret);
    ret->code = e->code;
    ret->message = (char *)e->sentence;
    if (!refusal || !refusal->limit_name[0])
        return;
    ret->limit_name = (char *)refusal->limit_name;
    ret->limit = refusal->limit;
    ret->used = refusal->used;
    ret->asked = refusal->asked;
}

void message_region(const struct region *r, const struct peer *peer, Diskalloc__V1__Region *ret)
{
    const struct attachment *a = peer ? holders_find(&r->holders, peer) : NULL;

    diskalloc__v1__region__init(ret);
    ret->handle = field_handle(&r->record.handle);
    ret->size = r->size;
    ret->granted = r->charge.amount[QUOTA_BYTES];
    ret->used = r->record.used;
    ret->element_size = r->record.element_size;
    ret->committed = (r->record.flags & RECORD_COMMITTED) != 0;
    ret->flags = (r->record.flags & RECORD_SPARSE ? DISKALLOC__V1__REGION_FLAG__REGION_SPARSE : 0) |
                 (a && a->read_only ? DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY : 0) |
                 (a && a->sole_writer ? DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER : 0);
    ret->mode = r->record.mode;
    ret->owner_uid = r->record.owner_uid;
    ret->owner = field_text(user_name(r->owner));
    ret->name = field_bytes(r->record.name, r->record.name_length);
    ret->created = r->record.created;
    ret->attachments = r->holders.n_attached;
    ret->unlinked = (r->record.flags & RECORD_UNLINKED) != 0;
    ret->discarded = r->discarded.sum;
    ret->expires = r->record.flags & RECORD_EXPIRES ? r->record.expires : 0;
    if (r->disk)
        ret->disk = field_text(store_dir(r->disk->store));
    ret->orphaned = region_is_transient(r) && r->holders.n_attached == 0;
    ret->mapped = ret->orphaned && r->n_probes > 0; // a probe has found it in use
}

void message_ranges(const struct ranges *ranges, uint64_t from, struct arena *arena, Diskalloc__V1__RangeList *ret)
{
    size_t at = ranges_find(ranges, from), n = ranges->n - at < MAX_RANGES ? ranges->n - at : MAX_RANGES;
    ProtobufCAllocator *allocator = &arena->allocator;
    Diskalloc__V1__Range **list = allocator->alloc(arena, n * sizeof *list);
    Diskalloc__V1__Range *values = allocator->alloc(arena, n * sizeof *values);

    diskalloc__v1__range_list__init(ret);
    if (!list || !values)
        return;
    for (size_t i = 0; i < n; i++) {
        diskalloc__v1__range__init(&values[i]);
        values[i].offset = ranges->items[at + i].offset;
        values[i].length = ranges->items[at + i].length;
        list[i] = &values[i];
    }
    ret->ranges = list;
    ret->n_ranges = n;
    if (at + n < ranges->n)
        ret->next = ranges->items[at + n].offset;
}

void message_holders(const struct region *r, struct arena *arena, Diskalloc__V1__Region *ret)
{
    size_t n = r->holders.n_attached < MAX_HOLDERS ? r->holders.n_attached : MAX_HOLDERS, i = 0;
    ProtobufCAllocator *allocator = &arena->allocator;
    Diskalloc__V1__Holder **holders = allocator->alloc(arena, n * sizeof *holders);
    Diskalloc__V1__Holder *values = allocator->alloc(arena, n * sizeof *values);
    const struct attachment *a;

    if (!holders || !values)
        return;
    TAILQ_FOREACH (a, &r->holders.attachments, of_region) {
        if (i == n)
            break;
        diskalloc__v1__holder__init(&values[i]);
        values[i].uid = a->peer->user->uid;
        values[i].pid = (uint32_t)a->peer->holder.pid;
        values[i].client_name = field_text(a->peer->client_name);
        holders[i] = &values[i];
        i++;
    }
    ret->holders = holders;
    ret->n_holders = n;
}
