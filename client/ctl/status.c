// `diskallocctl status`: the daemon, its disk, and the usage of all users together.
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

static int print_json(const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    // clang-format off
    return ctl_print_json(json_pack("{so, si, so, ss, so, so, ss, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so, so}",
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
        "lacking_blocks", text_json_number(s->lacking_blocks),
        "disk_inodes", text_json_limit(s->disk_inodes ? s->disk_inodes : UINT64_MAX),
        "disk_inodes_available", text_json_limit(s->disk_inodes ? s->disk_inodes_available : UINT64_MAX),
        "fs_quota_limit", text_json_limit(s->fs_quota_limit ? s->fs_quota_limit : UINT64_MAX),
        "fs_quota_used", text_json_number(s->fs_quota_used),
        "problem", text_json_bytes(s->problem.data, s->problem.len),
        "fences", text_json_bytes(s->fences, strlen(s->fences)),
        "fences_missing", text_json_bytes(s->fences_missing, strlen(s->fences_missing)),
        "mended", text_json_number(s->mended)));
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

static void add_daemon(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    char a[TEXT_MAX], b[TEXT_MAX], value[3 * TEXT_MAX];

    snprintf(value, sizeof(value), "diskallocd %s, pid %u, since %s", text_escape(s->version, strlen(s->version), a),
             s->pid, text_time(s->started, b));
    add_row(t, "Daemon", value);
    add_row(t, "Address", text_escape(ctl->address, strlen(ctl->address), a));
    add_row(t, "Spill directory", text_escape(s->spill_dir.data, s->spill_dir.len, a));
    add_row(t, "File system", text_escape(s->file_system, strlen(s->file_system), a));
    snprintf(value, sizeof(value), "%s%s%s", guarantee_name(s->guarantee), *s->guarantee_reason ? ": " : "",
             text_escape(s->guarantee_reason, strlen(s->guarantee_reason), a));
    add_row(t, "Guarantee", value);
    snprintf(value, sizeof(value), "%s%s%s", *s->fences ? text_escape(s->fences, strlen(s->fences), a) : "none",
             *s->fences_missing ? "; " : "", text_escape(s->fences_missing, strlen(s->fences_missing), b));
    add_row(t, "Fences", value);
    if (s->problem.len > 0)
        add_row(t, "Problem", text_escape(s->problem.data, s->problem.len, a));
}

// What of the disk is in use: of that which may be, without what is kept free.
static void add_disk(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    uint64_t usable = s->disk_total > s->keep_free ? s->disk_total - s->keep_free : 0;
    char a[TEXT_MAX], bar[TEXT_MAX], value[2 * TEXT_MAX];

    bar_of(ctl, s->disk_total > s->disk_available ? s->disk_total - s->disk_available : 0, usable, bar);
    snprintf(value, sizeof(value), "%s%s%s", text_size(s->disk_total, ctl->human, a), *bar ? "  " : "", bar);
    add_row(t, "Disk", value);
}

static void add_numbers(struct table *t, const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    char a[TEXT_MAX], b[TEXT_MAX], bar[TEXT_MAX];
    bool human = ctl->human;

    add_disk(t, ctl, s);
    add_row(t, "Disk available", text_size(s->disk_available, human, a));
    add_row(t, "Kept free", text_size(s->keep_free, human, a));
    if (s->disk_inodes > 0)
        add_used(t, "Inodes", text_count(s->disk_inodes - u64_min(s->disk_inodes, s->disk_inodes_available), a),
                 text_count(s->disk_inodes, b),
                 bar_of(ctl, s->disk_inodes - u64_min(s->disk_inodes, s->disk_inodes_available), s->disk_inodes, bar));
    if (s->fs_quota_limit > 0)
        add_used(t, "File system quota", text_size(s->fs_quota_used, human, a), text_size(s->fs_quota_limit, human, b),
                 bar_of(ctl, s->fs_quota_used, s->fs_quota_limit, bar));
    add_used(t, "Bytes", text_size(s->bytes, human, a), text_size(s->bytes_limit, human, b),
             bar_of(ctl, s->bytes, s->bytes_limit, bar));
    add_used(t, "Regions", text_count(s->regions, a), text_count(s->regions_limit, b),
             bar_of(ctl, s->regions, s->regions_limit, bar));
    add_used(t, "Connections", text_count(s->connections, a), text_count(s->connections_limit, b),
             bar_of(ctl, s->connections, s->connections_limit, bar));
    add_row(t, "Orphans", text_count(s->orphans, a));
    add_row(t, "Foreign files", text_count(s->foreign_files, a));
    if (s->lacking_blocks > 0)
        add_row(t, "Lacking blocks", text_count(s->lacking_blocks, a));
    if (s->mended > 0)
        add_row(t, "Mended files", text_count(s->mended, a));
}

static int print_text(const struct ctl *ctl, const Diskalloc__V1__Status *s)
{
    static const struct table_column columns[] = {{.title = NULL}, {.title = NULL}};
    struct table t;
    int r;

    table_init(&t, columns, 2);
    add_daemon(&t, ctl, s);
    add_numbers(&t, ctl, s);
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
