// `diskallocctl usage`: an account's usage and limits, or those of all accounts.
#include <stdio.h>
#include <time.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/subject.h"
#include "client/ctl/text.h"

static json_t *over_limit(const Diskalloc__V1__Usage *u)
{
    json_t *names = json_array();

    if (u->bytes > u->bytes_limit)
        json_array_append_new(names, json_string("bytes"));
    if (u->regions > u->regions_limit)
        json_array_append_new(names, json_string("regions"));
    if (u->connections > u->connections_limit)
        json_array_append_new(names, json_string("connections"));
    return names;
}

static json_t *usage_json(const Diskalloc__V1__Usage *u)
{
    // clang-format off
    return json_pack("{so, so, so, so, so, so, so, so, so, so, so, so, so}",
        "subject", text_json_bytes(u->subject.data, u->subject.len),
        "bytes", text_json_number(u->bytes),
        "bytes_limit", text_json_limit(u->bytes_limit),
        "regions", text_json_number(u->regions),
        "regions_limit", text_json_limit(u->regions_limit),
        "connections", text_json_number(u->connections),
        "connections_limit", text_json_limit(u->connections_limit),
        "warn_bytes", text_json_limit(u->warn_bytes),
        "soft_bytes", text_json_limit(u->soft_bytes ? u->soft_bytes : UINT64_MAX),
        "grace_ends", u->grace_ends == 0 || u->grace_ends == UINT64_MAX ? json_null() : text_json_time(u->grace_ends),
        "waiters", text_json_number(u->waiters),
        "grantable_bytes", text_json_limit(u->grantable_bytes),
        "over_limit", over_limit(u));
    // clang-format on
}

static void add(struct table *t, const char *what, const char *used, const char *limit, const char *note)
{
    table_add(t, what);
    table_add(t, used);
    table_add(t, limit);
    table_add(t, note);
}

// A bar with --human, and a remark if the usage is above a limit that was lowered.
static const char *note_of(const struct ctl *ctl, uint64_t used, uint64_t limit, char ret[static 2 * TEXT_MAX])
{
    char bar[TEXT_MAX] = "";

    if (ctl->human)
        text_bar(used, limit, ctl->colour, bar);
    snprintf(ret, 2UL * TEXT_MAX, "%s%s%s", bar, *bar && used > limit ? "  " : "",
             used > limit ? "over the limit" : "");
    return ret;
}

static const char *note_of_grace(const Diskalloc__V1__Usage *u, char ret[static 2 * TEXT_MAX])
{
    char when[TEXT_MAX];

    ret[0] = '\0';
    if (u->grace_ends == UINT64_MAX)
        snprintf(ret, 2UL * TEXT_MAX, "above it");
    else if (u->grace_ends > (uint64_t)time(NULL))
        snprintf(ret, 2UL * TEXT_MAX, "above it; growth is refused from %s on", text_time(u->grace_ends, when));
    else if (u->grace_ends > 0)
        snprintf(ret, 2UL * TEXT_MAX, "above it since too long: growth is refused until less is used");
    return ret;
}

static void add_numbers(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Usage *u)
{
    char used[TEXT_MAX], limit[TEXT_MAX], note[2 * TEXT_MAX];
    bool human = ctl->human;

    add(t, "bytes", text_size(u->bytes, human, used), text_size(u->bytes_limit, human, limit),
        note_of(ctl, u->bytes, u->bytes_limit, note));
    add(t, "regions", text_count(u->regions, used), text_count(u->regions_limit, limit),
        note_of(ctl, u->regions, u->regions_limit, note));
    add(t, "connections", text_count(u->connections, used), text_count(u->connections_limit, limit),
        note_of(ctl, u->connections, u->connections_limit, note));
    add(t, "warning at", "", u->warn_bytes == UINT64_MAX ? "never" : text_size(u->warn_bytes, human, limit), "");
    if (u->soft_bytes > 0)
        add(t, "soft limit", "", text_size(u->soft_bytes, human, limit), note_of_grace(u, note));
    add(t, "grantable now", text_size(u->grantable_bytes, human, used), "", "");
    add(t, "waiting", text_count(u->waiters, used), "", "");
}

static int print_text(const struct ctl *ctl, const Diskalloc__V1__Usage *u)
{
    char subject[TEXT_MAX];
    const struct table_column columns[] = {{.title = text_escape(u->subject.data, u->subject.len, subject)},
                                           {.title = "USED", .right = true},
                                           {.title = "LIMIT", .right = true},
                                           {.title = ""}};
    struct table t;
    int r;

    table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
    add_numbers(&t, ctl, u);
    r = table_print(&t, 0);
    table_deinit(&t);
    return r < 0 ? EXIT_REFUSED : EXIT_DONE;
}

// ---- usage --all: a row for each account that uses something or has limits ----

static const struct table_column all_columns[] = {
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

static const char *note_of_row(const Diskalloc__V1__Usage *u, char ret[static TEXT_MAX])
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
    table_add(&l->table, note_of_row(u, text));
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

static int list_all(struct ctl *ctl)
{
    static const struct list_kind kind = {"usages", all_columns, sizeof(all_columns) / sizeof(all_columns[0]),
                                          query_usages, add_page};

    return list_run(ctl, &kind);
}

int usage_run(struct ctl *ctl)
{
    Diskalloc__V1__Reply *reply;
    int status;

    if (ctl->all && ctl->n_args > 0) {
        ctl_complain("usage takes a subject or --all, not both");
        return EXIT_USAGE;
    }
    if (ctl->all)
        return list_all(ctl);
    if (ctl->n_args > 0 && !subject_check(ctl->args[0]))
        return EXIT_USAGE;
    reply = subject_ask(ctl, ctl->n_args > 0 ? ctl->args[0] : "", &status);
    if (!reply)
        return status;
    status = ctl->json ? ctl_print_json(usage_json(reply->usage)) : print_text(ctl, reply->usage);
    session_free_reply(reply);
    return status;
}
