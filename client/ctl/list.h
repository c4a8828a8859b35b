// A list that the daemon sends by pages, printed as a table or as an array of JSON.
#pragma once
#include "client/ctl/ctl.h"
#include "client/ctl/table.h"

struct list {
    const struct ctl *ctl;
    json_t *array;      // filled with --json
    struct table table; // filled without
    json_t *more;       // further members of the JSON object
    const char *remark; // a line below the table, for people; NULL: none
    void *data;         // of list_fetch's caller
};

struct list_kind {
    const char *json_name; // of the array in the JSON object
    const struct table_column *columns;
    size_t n_columns;
    // Asks for the page at CURSOR, as ctl_call does.
    Diskalloc__V1__Reply *(*ask)(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status);
    // Adds the page in REPLY to the list, and returns the reply's field that holds the next page's cursor.
    ProtobufCBinaryData *(*add_page)(struct list *l, const Diskalloc__V1__Reply *reply);
};

// Fetches all pages, then prints.  Returns an exit status; nothing is printed on stdout unless all pages came.
int list_run(struct ctl *ctl, const struct list_kind *kind);
// Fetches all pages, and prints nothing: KIND's add_page finds DATA in the list, which has neither table nor array.
// Returns an exit status.
int list_fetch(struct ctl *ctl, const struct list_kind *kind, void *data);
