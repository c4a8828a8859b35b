// The rows of `top`: see model.h.
#include "client/ctl/top/model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451 // Linux 6.5
#endif

enum { LOOK_MS = 50 };

static const char *const column_names[TOP_COLUMN_N] = {"bytes", "rate", "regions", "connections", "waiting", "name"};

enum top_column top_find_column(const char *name)
{
    enum top_column column = TOP_BYTES;

    while (column < TOP_COLUMN_N && strcmp(column_names[column], name) != 0)
        column++;
    return column;
}

const char *top_column_name(enum top_column column)
{
    return column_names[column];
}

static void free_rows(struct top_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        free(rows->rows[i].key);
        free(rows->rows[i].name);
        free(rows->rows[i].owner);
        free(rows->rows[i].dir);
    }
    free(rows->rows);
    *rows = (struct top_rows){0};
}

void top_sample_deinit(struct top_sample *sample)
{
    for (int v = 0; v < TOP_VIEW_N; v++)
        free_rows(&sample->views[v]);
    session_free_reply(sample->status);
    *sample = (struct top_sample){0};
}

// Takes KEY, NAME and OWNER, which may be NULL for want of memory; OWNER also of an account.
static struct top_row *add(struct top_sample *s, enum top_view view, char *key, char *name)
{
    struct top_rows *rows = &s->views[view];
    struct top_row *row = NULL;

    if (rows->n == rows->n_room) {
        size_t n = rows->n_room ? 2 * rows->n_room : 64;
        struct top_row *bigger = reallocarray(rows->rows, n, sizeof(*bigger));

        if (bigger) {
            rows->rows = bigger;
            rows->n_room = n;
        }
    }
    if (key && name && rows->n < rows->n_room)
        row = &rows->rows[rows->n++];
    if (!row) {
        free(key);
        free(name);
        s->failed = true;
        return NULL;
    }
    *row = (struct top_row){.key = key,
                            .name = name,
                            .rate = TOP_UNKNOWN_RATE,
                            .limit = UINT64_MAX,
                            .regions_limit = UINT64_MAX,
                            .connections_limit = UINT64_MAX,
                            .resident = UINT64_MAX,
                            .dirty = UINT64_MAX};
    return row;
}

static char *escaped(const ProtobufCBinaryData *text)
{
    char copy[TEXT_MAX];

    return strdup(text_escape(text->data, text->len, copy));
}

static ProtobufCBinaryData *add_usages(struct list *l, const Diskalloc__V1__Reply *reply)
{
    struct top_sample *s = l->data;

    s->everything = reply->usage_list->everything;
    for (size_t i = 0; i < reply->usage_list->n_usages; i++) {
        const Diskalloc__V1__Usage *u = reply->usage_list->usages[i];
        struct top_row *row = add(s, TOP_ACCOUNTS, escaped(&u->subject), escaped(&u->subject));

        if (!row)
            continue;
        row->bytes = u->bytes;
        row->limit = u->bytes_limit;
        row->regions = u->regions;
        row->regions_limit = u->regions_limit;
        row->connections = u->connections;
        row->connections_limit = u->connections_limit;
        row->waiters = u->waiters;
    }
    return &reply->usage_list->next_cursor;
}

static ProtobufCBinaryData *add_regions(struct list *l, const Diskalloc__V1__Reply *reply)
{
    char handle[TEXT_MAX];

    for (size_t i = 0; i < reply->region_list->n_regions; i++) {
        const Diskalloc__V1__Region *r = reply->region_list->regions[i];
        struct top_row *row;

        text_handle(r->handle.data, r->handle.len, handle);
        row = add(l->data, TOP_REGIONS, strdup(handle), r->name.len ? escaped(&r->name) : strdup(handle));
        if (!row)
            continue;
        row->owner = escaped(&r->owner);
        row->owner_uid = r->owner_uid;
        if (r->disk.len)
            row->dir = strndup((const char *)r->disk.data, r->disk.len);
        row->state = text_region_state(r);
        row->bytes = r->granted;
        row->connections = r->attachments;
    }
    return &reply->region_list->next_cursor;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct top_row *)a)->key, ((const struct top_row *)b)->key);
}

// A region that was not there before has grown from nothing.
static void fill_rates(struct top_rows *now, struct top_rows *before, uint64_t ms)
{
    if (before->n > 0)
        qsort(before->rows, before->n, sizeof(*before->rows), compare_keys);
    for (size_t i = 0; ms > 0 && i < now->n; i++) {
        struct top_row *row = &now->rows[i];
        const struct top_row *old =
            before->n ? bsearch(row, before->rows, before->n, sizeof(*before->rows), compare_keys) : NULL;
        double grown = (double)row->bytes - (old ? (double)old->bytes : 0);

        row->rate = (int64_t)(grown * 1000 / (double)ms);
    }
}

int top_take(struct ctl *ctl, struct top_sample *sample)
{
    static const struct list_kind usages = {NULL, NULL, 0, query_usages, add_usages};
    static const struct list_kind regions = {NULL, NULL, 0, query_regions, add_regions};
    struct top_sample next = {.taken_ms = clock_now()};
    int status;

    next.status = query_status(ctl, &status);
    if (status == EXIT_DONE)
        status = list_fetch(ctl, &usages, &next);
    if (status == EXIT_DONE)
        status = list_fetch(ctl, &regions, &next);
    if (status == EXIT_DONE && next.failed) {
        ctl_complain("out of memory");
        status = EXIT_REFUSED;
    }
    if (status != EXIT_DONE) {
        top_sample_deinit(&next);
        return status;
    }
    next.took_ms = clock_now() - next.taken_ms;
    for (int v = 0; sample->status && v < TOP_VIEW_N; v++)
        fill_rates(&next.views[v], &sample->views[v], next.taken_ms - sample->taken_ms);
    top_sample_deinit(sample);
    *sample = next;
    return EXIT_DONE;
}

// ---- Order ----

// For qsort, which hands no data on.
static enum top_column sort_by;
static bool sort_reverse;

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b); // the largest first
}

static int compare_rows(const void *x, const void *y)
{
    const struct top_row *a = x, *b = y;
    int r = 0;

    switch (sort_by) {
    case TOP_RATE:
        r = (a->rate < b->rate) - (a->rate > b->rate);
        break;
    case TOP_N_REGIONS:
        r = compare_numbers(a->regions, b->regions);
        break;
    case TOP_CONNECTIONS:
        r = compare_numbers(a->connections, b->connections);
        break;
    case TOP_WAITING:
        r = compare_numbers(a->waiters, b->waiters);
        break;
    case TOP_NAME:
        r = strcmp(a->name, b->name);
        break;
    default:
        r = compare_numbers(a->bytes, b->bytes);
    }
    r = r != 0 ? r : compare_numbers(a->bytes, b->bytes);
    r = r != 0 ? r : strcmp(a->key, b->key);
    return sort_reverse ? -r : r;
}

static bool fits(const struct top_row *row, const char *filter)
{
    return !filter || !*filter || strstr(row->name, filter) || strstr(row->key, filter) ||
           (row->owner && strstr(row->owner, filter));
}

static void put_shown_first(struct top_rows *rows, const char *filter)
{
    rows->n_shown = 0;
    for (size_t i = 0; i < rows->n; i++) {
        struct top_row row = rows->rows[i];

        if (!fits(&row, filter))
            continue;
        rows->rows[i] = rows->rows[rows->n_shown];
        rows->rows[rows->n_shown++] = row;
    }
}

void top_arrange(struct top_sample *sample, enum top_column column, bool reverse, const char *filter)
{
    sort_by = column;
    sort_reverse = reverse;
    for (int v = 0; v < TOP_VIEW_N; v++) {
        struct top_rows *rows = &sample->views[v];

        put_shown_first(rows, filter);
        if (rows->n_shown > 0)
            qsort(rows->rows, rows->n_shown, sizeof(*rows->rows), compare_rows);
    }
}

// ---- Resident and dirty pages ----

// As the kernel has them.
struct cache_range {
    uint64_t offset, length; // length 0: to the end
};
struct cache_statistics {
    uint64_t cached, dirty, writeback, evicted, recently_evicted; // pages
};

static void look_at(struct top_row *row, const char *spill_dir)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct cache_range all = {0};
    struct cache_statistics found;
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = -1;

    row->looked = true;
    if (asprintf(&path, "%s/%u/%s", spill_dir, (unsigned)row->owner_uid, row->key) < 0) {
        path = NULL;
        return;
    }
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_cachestat, fd, &all, &found, 0) < 0)
        return;
    row->resident = found.cached * page;
    row->dirty = (found.dirty + found.writeback) * page;
}

void top_look(struct top_sample *sample, size_t first, size_t n)
{
    struct top_rows *rows = &sample->views[TOP_REGIONS];
    const Diskalloc__V1__Status *s = sample->status->status;
    _cleanup_free_ char *spill_dir = strndup((const char *)s->spill_dir.data, s->spill_dir.len);
    uint64_t deadline = clock_after(LOOK_MS);

    // An older daemon has one directory only.
    for (size_t i = first; spill_dir && i < rows->n_shown && i < first + n && clock_now() < deadline; i++)
        if (!rows->rows[i].looked)
            look_at(&rows->rows[i], rows->rows[i].dir ? rows->rows[i].dir : spill_dir);
}
