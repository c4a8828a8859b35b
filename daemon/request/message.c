#include "daemon/request/message.h"

#include <errno.h>
#include <string.h>

#include "daemon/region.h"
#include "daemon/request/peer.h"
#include "daemon/user.h"
#include "proto/packet.h"

enum {
    MAX_HOLDERS = 16,
    MAX_RANGES = 1024, // on a page
};

int message_decode(struct arena *arena, const uint8_t *bytes, size_t n, Diskalloc__V1__Request **ret)
{
    arena_reset(arena);
    *ret = diskalloc__v1__request__unpack(&arena->allocator, n, bytes);
    return *ret ? 0 : -EBADMSG;
}

// All but lists, and the status with its path, are far shorter than a packet.
static bool is_short(const Diskalloc__V1__Reply *reply)
{
    switch (reply->body_case) {
    case DISKALLOC__V1__REPLY__BODY_REGION:
    case DISKALLOC__V1__REPLY__BODY_USAGE:
    case DISKALLOC__V1__REPLY__BODY__NOT_SET:
        return true;
    default:
        return false;
    }
}

size_t message_encode(const Diskalloc__V1__Reply *reply, uint8_t *ret, size_t size)
{
    if (!(is_short(reply) && size >= PACKET_MAX) && diskalloc__v1__reply__get_packed_size(reply) > size)
        return 0;
    return diskalloc__v1__reply__pack(reply, ret);
}

static const struct {
    int error;
    Diskalloc__V1__ErrorCode code;
    const char *sentence;
} errors[] = {
    {EPROTO, DISKALLOC__V1__ERROR_CODE__PROTOCOL, "the packet breaks the protocol"},
    {EOPNOTSUPP, DISKALLOC__V1__ERROR_CODE__UNSUPPORTED, "this daemon does not know that"},
    {EINVAL, DISKALLOC__V1__ERROR_CODE__INVALID, "a value is out of range"},
    {ENAMETOOLONG, DISKALLOC__V1__ERROR_CODE__NAME_TOO_LONG, "the name is longer than 128 bytes"},
    {EOVERFLOW, DISKALLOC__V1__ERROR_CODE__OVERFLOW, "no file can be that large"},
    {EFBIG, DISKALLOC__V1__ERROR_CODE__OVERFLOW, "the file system has no files that large"},
    {EDQUOT, DISKALLOC__V1__ERROR_CODE__LIMIT, "a limit is reached"},
    {ENOSPC, DISKALLOC__V1__ERROR_CODE__NO_SPACE, "the disk is full"},
    {EACCES, DISKALLOC__V1__ERROR_CODE__ACCESS, "permission denied"},
    {EPERM, DISKALLOC__V1__ERROR_CODE__ACCESS, "permission denied"},
    {ENOENT, DISKALLOC__V1__ERROR_CODE__NOT_FOUND, "there is no such region"},
    {ESRCH, DISKALLOC__V1__ERROR_CODE__NOT_FOUND, "nobody of that name has anything here"},
    {EEXIST, DISKALLOC__V1__ERROR_CODE__EXISTS, "it exists already"},
    {ESTALE, DISKALLOC__V1__ERROR_CODE__STALE, "the region was unlinked, or has changed meanwhile"},
    {EBUSY, DISKALLOC__V1__ERROR_CODE__BUSY, "others are attached to the region"},
    {EUSERS, DISKALLOC__V1__ERROR_CODE__TOO_MANY_REQUESTS, "a bound of this region or connection is reached"},
    {EROFS, DISKALLOC__V1__ERROR_CODE__READ_ONLY, "attached for reading only"},
    {EIO, DISKALLOC__V1__ERROR_CODE__IO, "the disk reported an error"},
    {EMFILE, DISKALLOC__V1__ERROR_CODE__TOO_MANY_FILES, "the daemon is out of file descriptors"},
    {ENFILE, DISKALLOC__V1__ERROR_CODE__TOO_MANY_FILES, "the system is out of file descriptors"},
    {ENOMEM, DISKALLOC__V1__ERROR_CODE__NO_MEMORY, "the daemon is out of memory"},
    {ETIMEDOUT, DISKALLOC__V1__ERROR_CODE__TIMED_OUT, "the deadline passed"},
    {ECANCELED, DISKALLOC__V1__ERROR_CODE__CANCELLED, "cancelled"},
    {EPROTOTYPE, DISKALLOC__V1__ERROR_CODE__ELEMENT_SIZE, "committed with another element size"},
    {ENOTCONN, DISKALLOC__V1__ERROR_CODE__NOT_ATTACHED, "the region is not attached on this connection"},
    {ESHUTDOWN, DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN, "the daemon is about to end"},
    {EXFULL, DISKALLOC__V1__ERROR_CODE__EARLY_REFUSED, "not needed yet, and too little would be left for others"},
};

void message_error(int error, const struct quota_refusal *refusal, Diskalloc__V1__Error *ret)
{
    diskalloc__v1__error__init(ret);
    // What is not in the table comes from the file system.
    ret->code = DISKALLOC__V1__ERROR_CODE__IO;
    ret->message = (char *)"the disk reported an error";
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == -error) {
            ret->code = errors[i].code;
            ret->message = (char *)errors[i].sentence;
        }
    if (!refusal || !refusal->limit_name[0])
        return;
    ret->limit_name = (char *)refusal->limit_name;
    ret->limit = refusal->limit;
    ret->used = refusal->used;
    ret->asked = refusal->asked;
}

void message_breach(Diskalloc__V1__ErrorCode code, const char *sentence, Diskalloc__V1__Error *ret)
{
    diskalloc__v1__error__init(ret);
    ret->code = code;
    ret->message = (char *)sentence;
}

static ProtobufCBinaryData text(const char *s, size_t n)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)s, .len = n};
}

void message_region(const struct region *r, const struct peer *peer, Diskalloc__V1__Region *ret)
{
    const struct attachment *a = peer ? region_attachment(r, peer) : NULL;

    diskalloc__v1__region__init(ret);
    ret->handle = text((const char *)r->record.handle.bytes, sizeof r->record.handle.bytes);
    ret->size = r->size;
    ret->granted = r->charge.amount[QUOTA_BYTES];
    ret->used = r->record.used;
    ret->element_size = r->record.element_size;
    ret->committed = r->record.flags & RECORD_COMMITTED;
    ret->flags = (r->record.flags & RECORD_SPARSE ? DISKALLOC__V1__REGION_FLAG__REGION_SPARSE : 0) |
                 (a && a->read_only ? DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY : 0);
    ret->mode = r->record.mode;
    ret->owner_uid = r->record.owner_uid;
    ret->owner = text(r->owner->entry.name, strlen(r->owner->entry.name));
    ret->name = text(r->record.name, r->record.name_length);
    ret->created = r->record.created;
    ret->attachments = r->n_attachments;
    ret->unlinked = r->record.flags & RECORD_UNLINKED;
    ret->discarded = r->discarded.sum;
    ret->orphaned = region_is_transient(r) && r->n_attachments == 0;
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
    size_t n = r->n_attachments < MAX_HOLDERS ? r->n_attachments : MAX_HOLDERS, i = 0;
    ProtobufCAllocator *allocator = &arena->allocator;
    Diskalloc__V1__Holder **holders = allocator->alloc(arena, n * sizeof *holders);
    Diskalloc__V1__Holder *values = allocator->alloc(arena, n * sizeof *values);
    const struct attachment *a;

    if (!holders || !values)
        return;
    TAILQ_FOREACH (a, &r->attachments, of_region) {
        if (i == n)
            break;
        diskalloc__v1__holder__init(&values[i]);
        values[i].uid = a->peer->user->uid;
        values[i].pid = (uint32_t)a->peer->pid;
        values[i].client_name = text(a->peer->client_name, strlen(a->peer->client_name));
        holders[i] = &values[i];
        i++;
    }
    ret->holders = holders;
    ret->n_holders = n;
}
