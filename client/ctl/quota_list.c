// `diskallocctl quota list`: the limits, and where each comes from.
#include <string.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"

static const struct table_column columns[] = {
    {.title = "SUBJECT"}, {.title = "KEY"}, {.title = "VALUE", .right = true}, {.title = "NOW", .right = true},
    {.title = "ORIGIN"},
};

static bool is_count(const ProtobufCBinaryData *key)
{
    static const char *const counts[] = {"regions", "connections"};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (key->len == strlen(counts[i]) && memcmp(key->data, counts[i], key->len) == 0)
            return true;
    return false;
}

static json_t *value_json(const Diskalloc__V1__QuotaEntry *e, const Diskalloc__V1__QuotaValue *v)
{
    // clang-format off
    return json_pack("{so, so, so, so, so}",
                     "subject", text_json_bytes(e->subject.data, e->subject.len),
                     "key", text_json_bytes(v->key.data, v->key.len),
                     "value", text_json_bytes(v->text.data, v->text.len),
                     "now", text_json_limit(v->value),
                     "origin", text_json_bytes(v->origin.data, v->origin.len));
    // clang-format on
}

static void add_row(struct table *t, bool human, const Diskalloc__V1__QuotaEntry *e, const Diskalloc__V1__QuotaValue *v)
{
    char text[TEXT_MAX];

    table_add(t, text_escape(e->subject.data, e->subject.len, text));
    table_add(t, text_escape(v->key.data, v->key.len, text));
    table_add(t, text_escape(v->text.data, v->text.len, text));
    table_add(t, is_count(&v->key) ? text_count(v->value, text) : text_size(v->value, human, text));
    table_add(t, text_escape(v->origin.data, v->origin.len, text));
}

static void add_entry(struct list *l, const Diskalloc__V1__QuotaEntry *e)
{
    for (size_t i = 0; i < e->n_values; i++)
        if (l->ctl->json)
            json_array_append_new(l->array, value_json(e, e->values[i]));
        else
            add_row(&l->table, l->ctl->human, e, e->values[i]);
}

static ProtobufCBinaryData *add_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    for (size_t i = 0; i < reply->quota_list->n_entries; i++)
        add_entry(l, reply->quota_list->entries[i]);
    return &reply->quota_list->next_cursor;
}

int quota_list_run(struct ctl *ctl)
{
    static const struct list_kind kind = {"quotas", columns, sizeof(columns) / sizeof(columns[0]), query_quotas,
                                          add_page};

    return list_run(ctl, &kind);
}
