// `diskallocctl usage --all`: a row for each account that uses something or has limits.
#include <stdio.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "client/ctl/usage.h"

static const struct table_column columns[] = {
    {.title = "SUBJECT", .cut = true},
    {.title = "BYTES", .right = true},
    {.title = "LIMIT", .right = true},
    {.title = "USED", .drop = 3},
    {.title = "REGIONS", .right = true, .drop = 2},
    {.title = "CONNECTIONS", .right = true, .drop = 1},
    {.title = ""},
};

static const char *count_of(uint64_t used, uint64_t limit, char ret[static TEXT_MAX])
{
    if (limit == UINT64_MAX)
        snprintf(ret, TEXT_MAX, "%llu", (unsigned long long)used);
    else
        snprintf(ret, TEXT_MAX, "%llu of %llu", (unsigned long long)used, (unsigned long long)limit);
    return ret;
}

static const char *note_of(const Diskalloc__V1__Usage *u, char ret[static TEXT_MAX])
{
    const char *over = u->bytes > u->bytes_limit || u->regions > u->regions_limit ? "over the limit" : "";

    if (u->waiters > 0)
        snprintf(ret, TEXT_MAX, "%s%s%llu waiting", over, *over ? ", " : "", (unsigned long long)u->waiters);
    else
        snprintf(ret, TEXT_MAX, "%s%s", over, !*over && u->grace_ends > 0 ? "above the soft limit" : "");
    return ret;
}

static void add_row(struct list *l, const Diskalloc__V1__Usage *u)
{
    bool human = l->ctl->human;
    char text[TEXT_MAX];

    table_add(&l->table, text_escape(u->subject.data, u->subject.len, text));
    table_add(&l->table, text_size(u->bytes, human, text));
    table_add(&l->table, text_size(u->bytes_limit, human, text));
    table_add(&l->table, human ? text_bar(u->bytes, u->bytes_limit, l->ctl->colour, text) : "");
    table_add(&l->table, count_of(u->regions, u->regions_limit, text));
    table_add(&l->table, count_of(u->connections, u->connections_limit, text));
    table_add(&l->table, note_of(u, text));
}

static ProtobufCBinaryData *add_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    const Diskalloc__V1__UsageList *page = reply->usage_list;

    for (size_t i = 0; i < page->n_usages; i++)
        if (l->ctl->json)
            json_array_append_new(l->array, usage_json(page->usages[i]));
        else
            add_row(l, page->usages[i]);
    json_object_set_new(l->more, "everything", json_boolean(page->everything));
    if (!page->everything)
        l->remark = "These are yours; administrators see all.";
    return &reply->usage_list->next_cursor;
}

int usage_all_run(struct ctl *ctl)
{
    static const struct list_kind kind = {"usages", columns, sizeof(columns) / sizeof(columns[0]), query_usages,
                                          add_page};

    return list_run(ctl, &kind);
}
