// `top --once`: see frame.h.
#include "client/ctl/top/frame.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/table.h"
#include "client/ctl/text.h"

enum { MOST_REGIONS = 30 }; // in the text: the others are listed by diskallocctl regions

static const struct table_column account_columns[] = {
    {.title = "SUBJECT", .cut = true},
    {.title = "BYTES", .right = true},
    {.title = "LIMIT", .right = true, .drop = 1},
    {.title = "GROWS", .right = true},
    {.title = "REGIONS", .right = true, .drop = 2},
    {.title = "CONNECTED", .right = true, .drop = 4},
    {.title = "WAITING", .right = true, .drop = 3},
};
static const struct table_column region_columns[] = {
    {.title = "REGION", .cut = true},
    {.title = "OWNER", .drop = 1},
    {.title = "BYTES", .right = true},
    {.title = "GROWS", .right = true},
    {.title = "RESIDENT", .right = true, .drop = 3},
    {.title = "DIRTY", .right = true, .drop = 4},
    {.title = "STATE", .drop = 2},
};

const char *top_rate_text(int64_t rate, char ret[static TEXT_MAX])
{
    char size[TEXT_MAX];

    if (rate == TOP_UNKNOWN_RATE)
        strcpy(ret, "-");
    else if (rate == 0)
        strcpy(ret, "0");
    else
        snprintf(ret, TEXT_MAX, "%s%s/s", rate < 0 ? "-" : "",
                 text_size((uint64_t)(rate < 0 ? -rate : rate), true, size));
    return ret;
}

void top_header(const struct ctl *ctl, const struct top_sample *s, char ret[static TOP_HEADER_LINES][TOP_LINE_MAX])
{
    const Diskalloc__V1__Status *st = s->status->status;
    uint64_t usable = st->disk_total > st->keep_free ? st->disk_total - st->keep_free : 0;
    uint64_t in_use = st->disk_total > st->disk_available ? st->disk_total - st->disk_available : 0;
    char a[TEXT_MAX], b[TEXT_MAX], bar[TEXT_MAX];

    snprintf(ret[0], TOP_LINE_MAX, "diskallocd %.40s at %.100s  connections: %llu  regions: %llu%s%.200s",
             text_escape(st->version, strlen(st->version), a), ctl->address, (unsigned long long)st->connections,
             (unsigned long long)st->regions, st->problem.len ? "  PROBLEM: " : "",
             text_escape(st->problem.data, st->problem.len, b));
    snprintf(ret[1], TOP_LINE_MAX, "total %-28.60s %.20s of %.20s", text_bar(st->bytes, st->bytes_limit, false, bar),
             text_size(st->bytes, true, a), text_size(st->bytes_limit, true, b));
    snprintf(ret[2], TOP_LINE_MAX, "disk  %-28.60s %.20s free, %.20s kept free", text_bar(in_use, usable, false, bar),
             text_size(st->disk_available, true, a), text_size(st->keep_free, true, b));
}

static const char *size_or_dash(uint64_t bytes, char ret[static TEXT_MAX])
{
    if (bytes == UINT64_MAX)
        return strcpy(ret, "-");
    return text_size(bytes, true, ret);
}

static void add_account(struct table *t, const struct top_row *row)
{
    char text[TEXT_MAX];

    table_add(t, row->name);
    table_add(t, text_size(row->bytes, true, text));
    table_add(t, text_size(row->limit, true, text));
    table_add(t, top_rate_text(row->rate, text));
    table_add(t, text_count(row->regions, text));
    table_add(t, text_count(row->connections, text));
    table_add(t, text_count(row->waiters, text));
}

static void add_region(struct table *t, const struct top_row *row)
{
    char text[TEXT_MAX];

    table_add(t, row->name);
    table_add(t, row->owner ? row->owner : "");
    table_add(t, text_size(row->bytes, true, text));
    table_add(t, top_rate_text(row->rate, text));
    table_add(t, size_or_dash(row->resident, text));
    table_add(t, size_or_dash(row->dirty, text));
    table_add(t, row->state);
}

static int print_rows(const struct ctl *ctl, const struct top_rows *rows, enum top_view view, size_t most)
{
    struct table t;
    int r;

    if (view == TOP_ACCOUNTS)
        table_init(&t, account_columns, sizeof(account_columns) / sizeof(account_columns[0]));
    else
        table_init(&t, region_columns, sizeof(region_columns) / sizeof(region_columns[0]));
    for (size_t i = 0; i < rows->n_shown && i < most; i++)
        (view == TOP_ACCOUNTS ? add_account : add_region)(&t, &rows->rows[i]);
    r = table_print(&t, ctl->width);
    table_deinit(&t);
    return r;
}

int top_print(const struct ctl *ctl, struct top_sample *s)
{
    const struct top_rows *regions = &s->views[TOP_REGIONS];
    char header[TOP_HEADER_LINES][TOP_LINE_MAX];
    int r;

    top_look(s, 0, MOST_REGIONS);
    top_header(ctl, s, header);
    for (int i = 0; i < TOP_HEADER_LINES; i++)
        printf("%.*s\n", ctl->width > 0 ? ctl->width : TOP_LINE_MAX, header[i]);
    putchar('\n');
    r = print_rows(ctl, &s->views[TOP_ACCOUNTS], TOP_ACCOUNTS, SIZE_MAX);
    putchar('\n');
    if (r == 0)
        r = print_rows(ctl, regions, TOP_REGIONS, MOST_REGIONS);
    if (regions->n_shown > MOST_REGIONS)
        printf("and %zu more: diskallocctl regions\n", regions->n_shown - MOST_REGIONS);
    return r < 0 ? EXIT_REFUSED : EXIT_DONE;
}

static json_t *rate_json(int64_t rate)
{
    return rate == TOP_UNKNOWN_RATE ? json_null() : json_integer(rate);
}

static json_t *accounts_json(const struct top_rows *rows)
{
    json_t *array = json_array();

    for (size_t i = 0; i < rows->n_shown; i++) {
        const struct top_row *r = &rows->rows[i];

        json_array_append_new(
            array, json_pack("{so, so, so, so, so, so, so}", "subject", text_json_bytes(r->name, strlen(r->name)),
                             "bytes", text_json_number(r->bytes), "bytes_limit", text_json_limit(r->limit),
                             "bytes_per_second", rate_json(r->rate), "regions", text_json_number(r->regions),
                             "connections", text_json_number(r->connections), "waiters", text_json_number(r->waiters)));
    }
    return array;
}

static json_t *regions_json(const struct top_rows *rows)
{
    json_t *array = json_array();

    for (size_t i = 0; i < rows->n_shown; i++) {
        const struct top_row *r = &rows->rows[i];

        json_array_append_new(array, json_pack("{ss, so, so, so, so, so, so, ss}", "handle", r->key, "name",
                                               text_json_bytes(r->name, strlen(r->name)), "owner",
                                               r->owner ? text_json_bytes(r->owner, strlen(r->owner)) : json_null(),
                                               "granted", text_json_number(r->bytes), "bytes_per_second",
                                               rate_json(r->rate), "resident", text_json_limit(r->resident), "dirty",
                                               text_json_limit(r->dirty), "state", r->state));
    }
    return array;
}

int top_print_json(struct top_sample *s)
{
    top_look(s, 0, MOST_REGIONS);
    return ctl_print_json(json_pack("{so, so, sb}", "accounts", accounts_json(&s->views[TOP_ACCOUNTS]), "regions",
                                    regions_json(&s->views[TOP_REGIONS]), "everything", s->everything));
}
