// `diskallocctl regions`
#include "client/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/regions.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"
#include "proto/field.h"

// What a page of the list goes to: one of the two, by --json.
struct list {
    const struct ctl *ctl;
    json_t *array;
    struct table table;
};

static const struct table_column columns[] = {
    {"HANDLE", false}, {"NAME", false},    {"OWNER", false}, {"SIZE", true},     {"GRANTED", true},
    {"USED", true},    {"ATTACHED", true}, {"STATE", false}, {"CREATED", false},
};

static const char *state_of(const Diskalloc__V1__Region *r)
{
    if (r->orphaned)
        return "orphaned";
    if (r->unlinked)
        return "unlinked";
    return r->attachments > 0 ? "attached" : "idle";
}

json_t *regions_holders_json(const Diskalloc__V1__Region *r)
{
    json_t *array = json_array();

    for (size_t i = 0; i < r->n_holders; i++) {
        const Diskalloc__V1__Holder *h = r->holders[i];

        json_array_append_new(array, json_pack("{so, so, so}", "uid", text_json_number(h->uid), "pid",
                                               text_json_number(h->pid), "client_name",
                                               text_json_bytes(h->client_name.data, h->client_name.len)));
    }
    return array;
}

static json_t *region_json(const Diskalloc__V1__Region *r)
{
    char handle[TEXT_MAX], mode[16];

    snprintf(mode, sizeof(mode), "%04o", r->mode);
    // clang-format off
    return json_pack("{ss, so, so, so, so, so, so, so, so, si, ss, ss, so, sb, so}",
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
                     "state", state_of(r),
                     "mode", mode,
                     "created", text_json_time(r->created),
                     "sparse", (r->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE) != 0,
                     "holders", regions_holders_json(r));
    // clang-format on
}

static void add_row(struct table *t, bool human, const Diskalloc__V1__Region *r)
{
    char text[TEXT_MAX];

    table_add(t, text_handle(r->handle.data, r->handle.len, text));
    table_add(t, r->name.len ? text_escape(r->name.data, r->name.len, text) : "-");
    table_add(t, text_escape(r->owner.data, r->owner.len, text));
    table_add(t, text_size(r->size, human, text));
    table_add(t, text_size(r->granted, human, text));
    table_add(t, r->committed ? text_size(r->used, human, text) : "-");
    table_add(t, text_count(r->attachments, text));
    table_add(t, state_of(r));
    table_add(t, text_time(r->created, text));
}

static void add_page(struct list *l, const Diskalloc__V1__RegionList *page)
{
    for (size_t i = 0; i < page->n_regions; i++)
        if (l->ctl->json)
            json_array_append_new(l->array, region_json(page->regions[i]));
        else
            add_row(&l->table, l->ctl->human, page->regions[i]);
}

// One page behind CURSOR, which becomes the next one's.  EXIT_DONE, or what to exit with.
static int fetch_page(struct ctl *ctl, struct list *l, ProtobufCBinaryData *cursor)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__ListRegions get = DISKALLOC__V1__LIST_REGIONS__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    if (ctl->user)
        get.user = field_text(ctl->user);
    get.cursor = *cursor;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS;
    request.list_regions = &get;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_REGION_LIST, &status);
    free(cursor->data);
    *cursor = (ProtobufCBinaryData){0};
    if (!reply)
        return status;
    add_page(l, reply->region_list);
    *cursor = reply->region_list->next_cursor;
    reply->region_list->next_cursor = (ProtobufCBinaryData){0};
    session_free_reply(reply);
    return status;
}

int regions_run(struct ctl *ctl)
{
    struct list l = {.ctl = ctl, .array = json_array()};
    ProtobufCBinaryData cursor = {0};
    int status;

    table_init(&l.table, columns, sizeof(columns) / sizeof(columns[0]));
    do
        status = fetch_page(ctl, &l, &cursor);
    while (status == EXIT_DONE && cursor.len > 0);
    if (status == EXIT_DONE && ctl->json)
        status = ctl_print_json(json_pack("{sO}", "regions", l.array));
    else if (status == EXIT_DONE && table_print(&l.table) < 0)
        status = EXIT_REFUSED;
    free(cursor.data);
    table_deinit(&l.table);
    json_decref(l.array);
    return status;
}
