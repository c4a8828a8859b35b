// `diskallocctl regions`: the list of regions that the caller may see.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/util/duration.h"
#include "proto/util/nss.h"

static const struct table_column columns[] = {
    {.title = "HANDLE"},
    {.title = "NAME", .cut = true},
    {.title = "OWNER"},
    {.title = "SIZE", .right = true},
    {.title = "GRANTED", .right = true, .drop = 2},
    {.title = "USED", .right = true, .drop = 3},
    {.title = "ATTACHED", .right = true, .drop = 4},
    {.title = "STATE", .drop = 1},
    {.title = "CREATED", .drop = 6},
    {.title = "EXPIRES", .drop = 5},
};

static json_t *region_json(const Diskalloc__V1__Region *r)
{
    char handle[TEXT_MAX], mode[16];

    snprintf(mode, sizeof(mode), "%04o", r->mode);
    // clang-format off
    return json_pack("{ss, so, so, so, so, so, so, so, so, si, ss, ss, so, so, sb, so, so}",
                     "handle", text_handle(r->handle.data, r->handle.len, handle),
                     "name", r->name.len ? text_json_bytes(r->name.data, r->name.len) : json_null(),
                     "owner", text_json_bytes(r->owner.data, r->owner.len),
                     "owner_uid", text_json_number(r->owner_uid),
                     "size", text_json_number(r->size),
                     "granted", text_json_number(r->granted),
                     "discarded", text_json_number(r->discarded),
                     "used", r->committed ? text_json_number(r->used) : json_null(),
                     "element_size", r->committed ? text_json_number(r->element_size) : json_null(),
                     "attached", (int)r->attachments,
                     "state", text_region_state(r),
                     "mode", mode,
                     "created", text_json_time(r->created),
                     "expires_s", r->expires ? text_json_number(r->expires) : json_null(),
                     "sparse", (r->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE) != 0,
                     "disk", text_json_bytes(r->disk.data, r->disk.len),
                     "holders", text_json_holders(r));
    // clang-format on
}

static void add_row(struct table *t, bool human, const Diskalloc__V1__Region *r)
{
    char text[TEXT_MAX], time[DURATION_TEXT_MAX];

    table_add(t, text_handle(r->handle.data, r->handle.len, text));
    table_add(t, r->name.len ? text_escape(r->name.data, r->name.len, text) : "-");
    table_add(t, text_escape(r->owner.data, r->owner.len, text));
    table_add(t, text_size(r->size, human, text));
    table_add(t, text_size(r->granted, human, text));
    table_add(t, r->committed ? text_size(r->used, human, text) : "-");
    table_add(t, text_count(r->attachments, text));
    table_add(t, text_region_state(r));
    table_add(t, text_time(r->created, text));
    table_add(t, r->expires ? duration_format(r->expires, time) : "-");
}

static ProtobufCBinaryData *add_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    const Diskalloc__V1__RegionList *page = reply->region_list;

    for (size_t i = 0; i < page->n_regions; i++)
        if (l->ctl->json)
            json_array_append_new(l->array, region_json(page->regions[i]));
        else
            add_row(&l->table, l->ctl->human, page->regions[i]);
    return &reply->region_list->next_cursor;
}

int regions_run(struct ctl *ctl)
{
    static const struct list_kind kind = {"regions", columns, sizeof(columns) / sizeof(columns[0]), query_regions,
                                          add_page};
    char text[TEXT_MAX];
    uid_t uid;

    // A user whom nobody knows has no regions, and is a mistake.
    if (ctl->user && nss_find_user(ctl->user, &uid) == -ENOENT) {
        ctl_complain("there is no user %s", text_escape(ctl->user, strlen(ctl->user), text));
        return EXIT_REFUSED;
    }
    return list_run(ctl, &kind);
}
