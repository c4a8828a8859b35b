// Lists that come by pages: see list.h.
#include "client/ctl/list.h"

#include <stdio.h>
#include <stdlib.h>

// CURSOR is freed, and becomes that of the next page: empty after the last one, and after a failure.
static int fetch_page(struct list *l, struct ctl *ctl, const struct list_kind *kind, ProtobufCBinaryData *cursor)
{
    int status;
    Diskalloc__V1__Reply *reply = kind->ask(ctl, *cursor, &status);
    ProtobufCBinaryData *next;

    free(cursor->data);
    *cursor = (ProtobufCBinaryData){0};
    if (!reply)
        return status;
    next = kind->add_page(l, reply);
    *cursor = *next;
    *next = (ProtobufCBinaryData){0};
    session_free_reply(reply);
    return status;
}

static int fetch_all(struct list *l, struct ctl *ctl, const struct list_kind *kind)
{
    ProtobufCBinaryData cursor = {0};
    int status;

    do
        status = fetch_page(l, ctl, kind, &cursor);
    while (status == EXIT_DONE && cursor.len > 0);
    free(cursor.data);
    return status;
}

int list_fetch(struct ctl *ctl, const struct list_kind *kind, void *data)
{
    struct list l = {.ctl = ctl, .data = data};

    return fetch_all(&l, ctl, kind);
}

static int print(struct list *l, const struct list_kind *kind)
{
    if (l->ctl->json) {
        json_object_set(l->more, kind->json_name, l->array);
        return ctl_print_json(json_incref(l->more));
    }
    if (table_print(&l->table, l->ctl->width) < 0)
        return EXIT_REFUSED;
    if (l->ctl->human && l->remark)
        puts(l->remark);
    return EXIT_DONE;
}

int list_run(struct ctl *ctl, const struct list_kind *kind)
{
    struct list l = {.ctl = ctl, .array = json_array(), .more = json_object()};
    int status;

    table_init(&l.table, kind->columns, kind->n_columns);
    status = fetch_all(&l, ctl, kind);
    if (status == EXIT_DONE)
        status = print(&l, kind);
    table_deinit(&l.table);
    json_decref(l.array);
    json_decref(l.more);
    return status;
}
