// Lists that come by pages: see list.h.
#include "client/ctl/list.h"

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

int list_run(struct ctl *ctl, const struct list_kind *kind)
{
    struct list l = {.ctl = ctl, .array = json_array()};
    ProtobufCBinaryData cursor = {0};
    int status;

    table_init(&l.table, kind->columns, kind->n_columns);
    do
        status = fetch_page(&l, ctl, kind, &cursor);
    while (status == EXIT_DONE && cursor.len > 0);
    if (status == EXIT_DONE && ctl->json)
        status = ctl_print_json(json_pack("{sO}", kind->json_name, l.array));
    else if (status == EXIT_DONE && table_print(&l.table) < 0)
        status = EXIT_REFUSED;
    free(cursor.data);
    table_deinit(&l.table);
    json_decref(l.array);
    return status;
}
