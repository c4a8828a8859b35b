// Discarding and restoring parts of a daemon's region, and asking which parts are discarded.  The set of discarded
// parts is changed only after the daemon has agreed.
#include <errno.h>

#include "client/remote/remote_internal.h"
#include "client/util/discarded.h"
#include "client/util/error.h"

// Asks for one page of the list, from *FROM on, and adds it to RET.  *FROM becomes 0 at the end.
static int list_page(struct backing *b, uint64_t *from, struct ranges *ret)
{
    Diskalloc__V1__ListDiscarded list = DISKALLOC__V1__LIST_DISCARDED__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    list.handle = field_handle(&b->handle);
    list.from = *from;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED;
    q.list_discarded = &list;
    r = remote_call((struct remote_backing *)b, &q, 0, 0, &a);
    if (r < 0)
        return r;
    r = wire_refusal(a.reply);
    if (r == 0 && a.reply->body_case != DISKALLOC__V1__REPLY__BODY_RANGE_LIST)
        r = error_why(-EPROTO, "the daemon's reply has no ranges");
    for (size_t i = 0; r == 0 && i < a.reply->range_list->n_ranges; i++) {
        const Diskalloc__V1__Range *range = a.reply->range_list->ranges[i];

        r = discarded_add(ret, range->offset, range->length);
    }
    if (r == 0 && a.reply->range_list->next != 0 && a.reply->range_list->next <= *from)
        r = error_why(-EPROTO, "the daemon's list of ranges does not end");
    if (r == 0)
        *from = a.reply->range_list->next;
    answer_deinit(&a);
    return r == -ENOENT ? -ESTALE : r;
}

int remote_list_discarded(struct backing *b)
{
    struct ranges listed = {0};
    uint64_t from = 0;
    int r;

    do
        r = list_page(b, &from, &listed);
    while (r == 0 && from > 0);
    if (r < 0) {
        ranges_deinit(&listed);
        return r;
    }
    ranges_deinit(&b->discarded);
    b->discarded = listed;
    return 0;
}

// The daemon can't see that this process has the region attached twice: to the daemon the connection is one attachment.
int remote_discard(struct backing *b, uint64_t offset, uint64_t length)
{
    Diskalloc__V1__DiscardRegion discard = DISKALLOC__V1__DISCARD_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct ranges with = {0};
    int r;

    if (link_is_shared(((struct remote_backing *)b)->link, &b->handle))
        return error_why(-EBUSY, "this process has the region attached more than once");
    r = discarded_with(&b->discarded, offset, length, &with);
    if (r < 0)
        return r;
    discard.handle = field_handle(&b->handle);
    discard.offset = offset;
    discard.length = length;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_DISCARD_REGION;
    q.discard_region = &discard;
    r = remote_ask(b, &q, 0, NULL);
    b->unsure_parts |= r < 0 && b->unsure;
    discarded_replace(&b->discarded, &with, r);
    if (remote_is_of_disk(r)) {
        b->unsure_parts = remote_list_discarded(b) < 0;
        if (b->unsure_parts)
            return error_why(r, "the daemon does not tell what its disk has done");
    }
    return r;
}

int remote_restore(struct backing *b, uint64_t offset, uint64_t length)
{
    Diskalloc__V1__RestoreRegion restore = DISKALLOC__V1__RESTORE_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct ranges without = {0};
    int r = discarded_without(&b->discarded, offset, length, &without);

    if (r < 0)
        return r;
    restore.handle = field_handle(&b->handle);
    restore.offset = offset;
    restore.length = length;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_RESTORE_REGION;
    q.restore_region = &restore;
    r = remote_ask(b, &q, 0, NULL);
    b->unsure_parts |= r < 0 && b->unsure;
    discarded_replace(&b->discarded, &without, r);
    return r;
}
