// The daemon's list of regions, a page of it.
#include <errno.h>
#include <string.h>

#include "client/remote/remote_internal.h"
#include "client/util/error.h"
#include "proto/field.h"

static int take_handle(const ProtobufCBinaryData *field, struct handle *ret)
{
    if (field->len != sizeof ret->bytes)
        return error_why(-EPROTO, "the daemon's list has something else than a handle");
    memcpy(ret->bytes, field->data, sizeof ret->bytes);
    return 0;
}

static int take_item(const WireRegion *region, struct handle *ret_handle, struct diskalloc_region_info *ret)
{
    int r = take_handle(&region->handle, ret_handle);

    if (r == 0 && region->name.len >= sizeof ret->name)
        r = error_why(-EPROTO, "the daemon's list has a name of %zu bytes", region->name.len);
    if (r < 0)
        return r;
    *ret = (struct diskalloc_region_info){
        .owner = region->owner_uid,
        .mode = region->mode,
        .flags = region->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE ? DISKALLOC_REGION_SPARSE : 0,
        .element_size = region->committed ? region->element_size : 0,
        .attached = region->attachments,
        .size = region->size,
        .granted = region->granted,
        .used = region->committed ? region->used : 0,
        .created_s = region->created,
        .expires_s = region->expires,
    };
    handle_format(ret_handle, ret->handle);
    if (!region->unlinked && region->name.len > 0)
        memcpy(ret->name, region->name.data, region->name.len);
    return 0;
}

// The daemon's pages are no longer than ours; in the order of the handles.
static int take_page(const Diskalloc__V1__RegionList *list, struct region_page *ret)
{
    int r = 0;

    if (list->n_regions > REGION_PAGE)
        return error_why(-EPROTO, "the daemon's page has %zu regions", list->n_regions);
    for (size_t i = 0; r == 0 && i < list->n_regions; i++)
        r = take_item(list->regions[i], &ret->handles[i], &ret->items[i]);
    ret->n = r == 0 ? list->n_regions : 0;
    ret->more = list->next_cursor.len > 0;
    if (r == 0 && ret->more)
        r = take_handle(&list->next_cursor, &ret->last);
    return r;
}

int remote_list(struct backend *backend, const struct handle *after, struct region_page *ret)
{
    Diskalloc__V1__ListRegions list = DISKALLOC__V1__LIST_REGIONS__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    if (after)
        list.cursor = field_handle(after);
    list.max = REGION_PAGE;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS;
    q.list_regions = &list;
    r = link_call(((struct remote *)backend)->link, &q, 0, &a);
    if (r < 0)
        return r;
    r = wire_refusal(a.reply);
    if (r == 0 && a.reply->body_case != DISKALLOC__V1__REPLY__BODY_REGION_LIST)
        r = error_why(-EPROTO, "the daemon's reply has no list of regions");
    if (r == 0)
        r = take_page(a.reply->region_list, ret);
    answer_deinit(&a);
    return r;
}
