// `diskallocctl status`: the daemon, its disks, and the usage of all users together.
#include "client/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/queries.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"
#include "proto/util/checked.h"

static const char *guarantee_name(Diskalloc__V1__Guarantee guarantee)
{
    switch (guarantee) {
    case DISKALLOC__V1__GUARANTEE__HARD:
        return "hard";
    case DISKALLOC__V1__GUARANTEE__SOFT:
        return "soft";
    default:
        return "unknown";
    }
}

// An object of a disk.  One that is not in use has null in the place of its numbers.
static json_t *disk_json(const Diskalloc__V1__Disk *d)
{
    // clang-format off
    if (!d->in_use)
        return json_pack("{so, sb, so}", "spill_dir", text_json_bytes(d->dir.data, d->dir.len), "in_use", false,
                         "problem", text_json_bytes(d->problem.data, d->problem.len));
    return json_pack("{so, sb, sb, so, ss, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so}",
        "spill_dir", text_json_bytes(d->dir.data, d->dir.len),
        "in_use", true,
        "leaving", (int)d->is_leaving,
        "file_system", text_json_bytes(d->file_system, strlen(d->file_system)),
        "guarantee", guarantee_name(d->guarantee),
        "guarantee_reason", text_json_bytes(d->guarantee_reason, strlen(d->guarantee_reason)),
        "total", text_json_number(d->total),
        "available", text_json_number(d->available),
        "keep_free", text_json_number(d->keep_free),
        "free", text_json_number(d->free),
        "bytes", text_json_number(d->bytes),
        "regions", text_json_number(d->regions),
        "foreign_files", text_json_number(d->foreign_files),
        "unreadable_files", text_json_number(d->unreadable_files),
        "lacking_blocks", text_json_number(d->lacking_blocks),
        "inodes", text_json_limit(d->inodes ? d->inodes : UINT64_MAX),
        "inodes_available", text_json_limit(d->inodes ? d->inodes_available : UINT64_MAX),
        "fs_quota_limit", text_json_limit(d->fs_quota_limit ? d->fs_quota_limit : UINT64_MAX),
        "fs_quota_used", text_json_number(d->fs_quota_used),
        "problem", text_json_bytes(d->problem.data, d->problem.len),
        "fences", text_json_bytes(d->fences, strlen(d->fences)),
        "fences_missing", text_json_bytes(d->fences_missing, strlen(d->fences_missing)));
    // clang-format on
}

static json_t *disks_json(const Diskalloc__V1__Status *s)
{
    json_t *array = json_array();

    for (size_t i = 0; i < s->n_disks; i++)
        json_array_append_new(array, disk_json(s->disks[i]));
    return array;
}

static int print_json(const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    // clang-format off
    return ctl_print_json(json_pack("{so, si, so, ss, so, so, ss, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so}",
        "daemon_version", text_json_bytes(s->version, strlen(s->version)),
        "pid", (int)s->pid,
        "started", text_json_time(s->started),
        "address", ctl->address,
        "spill_dir", text_json_bytes(s->spill_dir.data, s->spill_dir.len),
        "file_system", text_json_bytes(s->file_system, strlen(s->file_system)),
        "guarantee", guarantee_name(s->guarantee),
        "guarantee_reason", text_json_bytes(s->guarantee_reason, strlen(s->guarantee_reason)),
        "disk_total", text_json_number(s->disk_total),
        "disk_available", text_json_number(s->disk_available),
        "keep_free", text_json_number(s->keep_free),
        "bytes", text_json_number(s->bytes),
        "bytes_limit", text_json_limit(s->bytes_limit),
        "regions", text_json_number(s->regions),
        "regions_limit", text_json_limit(s->regions_limit),
        "connections", text_json_number(s->connections),
        "connections_limit", text_json_limit(s->connections_limit),
        "orphans", text_json_number(s->orphans),
        "foreign_files", text_json_number(s->foreign_files),
        "unreadable_files", text_json_number(s->unreadable_files),
        "lacking_blocks", text_json_number(s->lacking_blocks),
        "disk_inodes", text_json_limit(s->disk_inodes ? s->disk_inodes : UINT64_MAX),
        "disk_inodes_available", text_json_limit(s->disk_inodes ? s->disk_inodes_available : UINT64_MAX),
        "fs_quota_limit", text_json_limit(s->fs_quota_limit ? s->fs_quota_limit : UINT64_MAX),
        "fs_quota_used", text_json_number(s->fs_quota_used),
        "problem", text_json_bytes(s->problem.data, s->problem.len),
        "fences", text_json_bytes(s->fences, strlen(s->fences)),
        "fences_missing", text_json_bytes(s->fences_missing, strlen(s->fences_missing)),
        "mended", text_json_number(s->mended),
        "disks", disks_json(s)));
    // clang-format on
}

static void add_row(struct table *t, const char *name, const char *value)
{
    table_add(t, name);
    table_add(t, value);
}

// BAR is of text_bar, or empty.
static void add_used(struct table *t, const char *name, const char *used, const char *limit, const char *bar)
{
    char value[3 * TEXT_MAX];

    snprintf(value, sizeof(value), "%s of %s%s%s", used, limit, *bar ? "  " : "", bar);
    add_row(t, name, value);
}

static const char *bar_of(const struct ctl *ctl, uint64_t used, uint64_t limit, char ret[static TEXT_MAX])
{
    ret[0] = '\0';
    return ctl->human ? text_bar(used, limit, ctl->colour, ret) : ret;
}

static void add_fences(struct table *t, const char *name, const char *fences, const char *missing)
{
    char a[TEXT_MAX], b[TEXT_MAX], value[3 * TEXT_MAX];

    snprintf(value, sizeof(value), "%s%s%s", *fences ? text_escape(fences, strlen(fences), a) : "none",
             *missing ? "; " : "", text_escape(missing, strlen(missing), b));
    add_row(t, name, value);
}

static void add_guarantee(struct table *t, Diskalloc__V1__Guarantee guarantee, const char *reason)
{
    char a[TEXT_MAX], value[2 * TEXT_MAX];

    snprintf(value, sizeof(value), "%s%s%s", guarantee_name(guarantee), *reason ? ": " : "",
             text_escape(reason, strlen(reason), a));
    add_row(t, "Guarantee", value);
}

static void add_file_system(struct table *t, const Diskalloc__V1__Disk *d)
{
    char a[TEXT_MAX];

    add_row(t, "File system", text_escape(d->file_system, strlen(d->file_system), a));
    add_guarantee(t, d->guarantee, d->guarantee_reason);
    add_fences(t, "Fences", d->fences, d->fences_missing);
}

// The limits of the file system beside its space.
static void add_limits(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Disk *d)
{
    char a[TEXT_MAX], b[TEXT_MAX], bar[TEXT_MAX];
    uint64_t inodes_used = d->inodes - u64_min(d->inodes, d->inodes_available);

    if (d->inodes > 0)
        add_used(t, "Inodes", text_count(inodes_used, a), text_count(d->inodes, b),
                 bar_of(ctl, inodes_used, d->inodes, bar));
    if (d->fs_quota_limit > 0)
        add_used(t, "File system quota", text_size(d->fs_quota_used, ctl->human, a),
                 text_size(d->fs_quota_limit, ctl->human, b), bar_of(ctl, d->fs_quota_used, d->fs_quota_limit, bar));
}

// The rows of one of several disks.
static void add_disk(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Disk *d)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], value[4 * TEXT_MAX];
    bool human = ctl->human;

    add_row(t, "", "");
    add_row(t, "Spill directory", text_escape(d->dir.data, d->dir.len, a));
    if (d->problem.len > 0)
        add_row(t, d->in_use ? "Problem" : "Not in use", text_escape(d->problem.data, d->problem.len, a));
    if (!d->in_use)
        return;
    if (d->is_leaving)
        add_row(t, "Leaving", "not in the configuration any more: nothing new is made there");
    add_file_system(t, d);
    snprintf(value, sizeof(value), "%s, of which %s are available, and %s kept free", text_size(d->total, human, a),
             text_size(d->available, human, b), text_size(d->keep_free, human, c));
    add_row(t, "Disk", value);
    add_limits(t, ctl, d);
    snprintf(value, sizeof(value), "%s, with %s", text_count(d->regions, a), text_size(d->bytes, human, b));
    add_row(t, "Regions there", value);
    if (d->foreign_files > 0)
        add_row(t, "Foreign files", text_count(d->foreign_files, a));
    if (d->unreadable_files > 0)
        add_row(t, "Unreadable", text_count(d->unreadable_files, a));
}

// FIRST: the first disk.
static void add_daemon(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s,
                       const Diskalloc__V1__Disk *first)
{
    char a[TEXT_MAX], b[TEXT_MAX], value[3 * TEXT_MAX];

    snprintf(value, sizeof(value), "diskallocd %s, pid %u, since %s", text_escape(s->version, strlen(s->version), a),
             s->pid, text_time(s->started, b));
    add_row(t, "Daemon", value);
    add_row(t, "Address", text_escape(ctl->address, strlen(ctl->address), a));
    if (s->n_disks > 1)
        return;
    add_row(t, "Spill directory", text_escape(s->spill_dir.data, s->spill_dir.len, a));
    add_file_system(t, first);
    if (s->problem.len > 0)
        add_row(t, "Problem", text_escape(s->problem.data, s->problem.len, a));
}

// The bar shows how much of the disks is in use, of the space that may be: without what is kept free.
static void add_disks(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    uint64_t usable = s->disk_total > s->keep_free ? s->disk_total - s->keep_free : 0;
    char a[TEXT_MAX], bar[TEXT_MAX], value[2 * TEXT_MAX];

    bar_of(ctl, s->disk_total > s->disk_available ? s->disk_total - s->disk_available : 0, usable, bar);
    snprintf(value, sizeof(value), "%s%s%s", text_size(s->disk_total, ctl->human, a), *bar ? "  " : "", bar);
    add_row(t, s->n_disks > 1 ? "Disks" : "Disk", value);
}

static void add_numbers(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s,
                        const Diskalloc__V1__Disk *first)
{
    char a[TEXT_MAX], b[TEXT_MAX], bar[TEXT_MAX];
    bool human = ctl->human;

    add_disks(t, ctl, s);
    add_row(t, s->n_disks > 1 ? "Disks available" : "Disk available", text_size(s->disk_available, human, a));
    add_row(t, "Kept free", text_size(s->keep_free, human, a));
    if (s->n_disks <= 1)
        add_limits(t, ctl, first);
    add_used(t, "Bytes", text_size(s->bytes, human, a), text_size(s->bytes_limit, human, b),
             bar_of(ctl, s->bytes, s->bytes_limit, bar));
    add_used(t, "Regions", text_count(s->regions, a), text_count(s->regions_limit, b),
             bar_of(ctl, s->regions, s->regions_limit, bar));
    add_used(t, "Connections", text_count(s->connections, a), text_count(s->connections_limit, b),
             bar_of(ctl, s->connections, s->connections_limit, bar));
    add_row(t, "Orphans", text_count(s->orphans, a));
    add_row(t, "Foreign files", text_count(s->foreign_files, a));
    if (s->unreadable_files > 0)
        add_row(t, "Unreadable", text_count(s->unreadable_files, a));
    if (s->lacking_blocks > 0)
        add_row(t, "Lacking blocks", text_count(s->lacking_blocks, a));
    if (s->mended > 0)
        add_row(t, "Mended files", text_count(s->mended, a));
}

static int print_text(const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    static const struct table_column columns[] = {{.title = NULL}, {.title = NULL}};
    Diskalloc__V1__Disk first;
    struct table t;
    int r;

    query_first_disk(s, &first);
    table_init(&t, columns, 2);
    add_daemon(&t, ctl, s, &first);
    add_numbers(&t, ctl, s, &first);
    for (size_t i = 0; s->n_disks > 1 && i < s->n_disks; i++)
        add_disk(&t, ctl, s->disks[i]);
    r = table_print(&t, 0);
    table_deinit(&t);
    return r < 0 ? EXIT_REFUSED : EXIT_DONE;
}

int status_run(struct ctl *ctl)
{
    int status;
    Diskalloc__V1__Reply *reply = query_status(ctl, &status);

    if (!reply)
        return status;
    status = ctl->json ? print_json(ctl, reply->status) : print_text(ctl, reply->status);
    session_free_reply(reply);
    return status;
}
