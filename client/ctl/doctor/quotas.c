// `doctor`: limits that are reached, that can't be reached, or that mean nobody.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/doctor/parts.h"
#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

enum {
    MOST_TOLD = 20,           // findings of one kind
    OTHER_DESCRIPTORS = 64,   // of the daemon, beside those of connections
    WATCHES_OF_OTHERS = 8192, // that inotify should have room for
};

struct look {
    struct findings *f;
    uint64_t usable; // bytes of the disk that may be granted
    unsigned n_full, n_unreachable;
    uint64_t n_ownerless;     // regions
    char ownerless[TEXT_MAX]; // one of their owners
};

static bool is_key(const Diskalloc__V1__QuotaValue *v, const char *key)
{
    return v->key.len == strlen(key) && memcmp(v->key.data, key, v->key.len) == 0;
}

// SUBJECT is user:NAME, members:GROUP or group:GROUP, and the user database has none of that name.
static bool means_nobody(const char *subject)
{
    const char *colon = strchr(subject, ':');
    id_t id = 0;

    if (!colon || strncmp(subject, "cgroup:", 7) == 0)
        return false;
    return (*subject == 'u' ? nss_find_user : nss_find_group)(colon + 1, &id) == -ENOENT;
}

static void look_at_value(struct look *l, const char *subject, const Diskalloc__V1__QuotaValue *v)
{
    static const struct advice nothing = {"0 is a limit: nothing is allowed.", "write unlimited for no limit"};
    static const struct advice unreachable = {"The disk is full before this limit is reached, and refuses then.",
                                              "a limit in percent follows the disk: bytes = 80%"};
    char key[TEXT_MAX], now[TEXT_MAX], usable[TEXT_MAX];

    text_escape(v->key.data, v->key.len, key);
    if (v->value == 0 && !is_key(v, "warn_at") && !is_key(v, "grace"))
        finding(l->f, FINDING_NOTE, "nothing-allowed", nothing, "%s: %s = 0", subject, key);
    if (is_key(v, "bytes") && v->value != UINT64_MAX && v->value > l->usable && strcmp(subject, "default") != 0 &&
        l->n_unreachable++ < MOST_TOLD)
        finding(l->f, FINDING_NOTE, "limit-above-disk", unreachable, "%s may have %s, and the disk has %s", subject,
                text_size(v->value, true, now), text_size(l->usable, true, usable));
}

static ProtobufCBinaryData *look_at_quotas(struct list *list, const Diskalloc__V1__Reply *reply)
{
    static const struct advice stale = {"It counts for nobody, and for whoever gets that name next.",
                                        "diskallocctl quota unset SUBJECT"};
    struct look *l = list->data;

    for (size_t i = 0; i < reply->quota_list->n_entries; i++) {
        const Diskalloc__V1__QuotaEntry *e = reply->quota_list->entries[i];
        char subject[TEXT_MAX];
        bool at_run_time = false;

        text_escape(e->subject.data, e->subject.len, subject);
        for (size_t k = 0; k < e->n_values; k++) {
            look_at_value(l, subject, e->values[k]);
            at_run_time |= query_is_set_at_run_time(e->values[k]);
        }
        if (at_run_time && means_nobody(subject))
            finding(l->f, FINDING_NOTE, "stale-quota", stale,
                    "a limit is set at run time for %s, whom the user database does not know", subject);
    }
    return &reply->quota_list->next_cursor;
}

static void note_full(struct look *l, const char *subject, const char *what, uint64_t used, uint64_t limit, bool bytes)
{
    static const struct advice advice = {
        "Whatever would take more is refused.",
        "give something back (diskallocctl regions), or: diskallocctl quota set SUBJECT KEY=VALUE"};
    char a[TEXT_MAX], b[TEXT_MAX];

    // A limit of 0 that nobody needs is no trouble.
    if (limit == UINT64_MAX || used < limit || used == 0 || l->n_full++ >= MOST_TOLD)
        return;
    finding(l->f, FINDING_WRONG, "at-limit", advice, "%s has %s of %s %s", subject, text_size(used, bytes, a),
            text_size(limit, bytes, b), what);
}

static void look_at_usage(struct look *l, const Diskalloc__V1__Usage *u)
{
    static const struct advice over = {"The grace period is over: growth is refused.",
                                       "give something back, until less than soft_bytes is used"};
    static const struct advice grace = {"When the grace period ends, growth is refused.",
                                        "give something back before, or raise soft_bytes"};
    static const struct advice waiting = {"They wait for somebody to give something back.",
                                          "diskallocctl top shows who has what"};
    char subject[TEXT_MAX], when[TEXT_MAX];

    text_escape(u->subject.data, u->subject.len, subject);
    note_full(l, subject, "bytes", u->bytes, u->bytes_limit, true);
    note_full(l, subject, "regions", u->regions, u->regions_limit, false);
    note_full(l, subject, "connections", u->connections, u->connections_limit, false);
    if (u->grace_ends > 0 && u->grace_ends <= (uint64_t)time(NULL))
        finding(l->f, FINDING_WRONG, "soft-limit", over, "%s is above its soft limit since too long", subject);
    else if (u->grace_ends > 0)
        finding(l->f, FINDING_NOTE, "soft-limit", grace, "%s is above its soft limit%s%s", subject,
                u->grace_ends == UINT64_MAX ? "" : ", until ",
                u->grace_ends == UINT64_MAX ? "" : text_time(u->grace_ends, when));
    if (u->waiters > 0)
        finding(l->f, FINDING_NOTE, "waiting", waiting, "%llu requests wait for a limit of %s",
                (unsigned long long)u->waiters, subject);
}

static ProtobufCBinaryData *look_at_usages(struct list *list, const Diskalloc__V1__Reply *reply)
{
    static const struct advice advice = {"What is wrong for others is not found.",
                                         "run it as root, or as a member of the daemon's admin_group"};
    struct look *l = list->data;

    for (size_t i = 0; i < reply->usage_list->n_usages; i++)
        look_at_usage(l, reply->usage_list->usages[i]);
    if (!reply->usage_list->everything && reply->usage_list->next_cursor.len == 0)
        finding(l->f, FINDING_NOTE, "rights", advice, "only what concerns you was looked at");
    return &reply->usage_list->next_cursor;
}

// An owner that is shown as a number is not in the user database.
static ProtobufCBinaryData *look_at_owners(struct list *list, const Diskalloc__V1__Reply *reply)
{
    struct look *l = list->data;

    for (size_t i = 0; i < reply->region_list->n_regions; i++) {
        const Diskalloc__V1__Region *r = reply->region_list->regions[i];

        if (r->owner.len == 0 || r->owner.data[0] != '+' || r->owner_uid == getuid())
            continue;
        l->n_ownerless++;
        text_escape(r->owner.data, r->owner.len, l->ownerless);
    }
    return &reply->region_list->next_cursor;
}

static void look_at_regions(struct ctl *ctl, struct look *l)
{
    static const struct list_kind regions = {NULL, NULL, 0, query_regions, look_at_owners};
    static const struct advice advice = {"Whoever gets such a uid next finds the regions as their own.",
                                         "diskallocctl rm --user +UID, for users who were deleted"};

    if (list_fetch(ctl, &regions, l) == EXIT_DONE && l->n_ownerless > 0)
        finding(l->f, FINDING_NOTE, "ownerless", advice,
                "%llu regions belong to uids that the user database does not know, such as %s",
                (unsigned long long)l->n_ownerless, l->ownerless);
}

// ---- What the process of the daemon may have ----

// The soft limit in a line of /proc/PID/limits, or 0.
static uint64_t limit_of_process(unsigned pid, const char *name)
{
    char path[64], line[256];
    uint64_t found = 0;
    const char *end;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%u/limits", pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            digits_parse(line + strlen(name) + strspn(line + strlen(name), " "), 10, &found, &end);
    if (file)
        fclose(file);
    return found;
}

static void look_at_descriptors(const Diskalloc__V1__Status *s, struct findings *f)
{
    static const struct advice advice = {"Connections are refused before their limit is reached.",
                                         "raise LimitNOFILE= of the service, or lower connections of [quota total]"};
    uint64_t files = limit_of_process(s->pid, "Max open files");

    if (files == 0)
        return;
    if (s->connections_limit != UINT64_MAX && s->connections_limit + OTHER_DESCRIPTORS > files)
        finding(f, FINDING_WRONG, "open-files", advice,
                "the daemon may open %llu files, and %llu connections are allowed", (unsigned long long)files,
                (unsigned long long)s->connections_limit);
    else
        finding_well(f, "open-files", "the daemon may open %llu", (unsigned long long)files);
}

static void look_at_watches(struct findings *f)
{
    static const struct advice advice = {
        "The tripwire needs one for each user; without it, changes of files are found later.",
        "sysctl fs.inotify.max_user_watches=65536"};
    FILE *file = fopen("/proc/sys/fs/inotify/max_user_watches", "re");
    char line[64] = "";
    uint64_t most;
    const char *end;

    if (file && fgets(line, sizeof(line), file) && digits_parse(line, 10, &most, &end) == 0) {
        if (most < WATCHES_OF_OTHERS)
            finding(f, FINDING_NOTE, "inotify", advice, "there can be %llu inotify watches", (unsigned long long)most);
        else
            finding_well(f, "inotify", "there can be %llu watches", (unsigned long long)most);
    }
    if (file)
        fclose(file);
}

void doctor_quotas(struct ctl *ctl, const Diskalloc__V1__Status *s, struct findings *f)
{
    static const struct list_kind quotas = {NULL, NULL, 0, query_quotas, look_at_quotas};
    static const struct list_kind usages = {NULL, NULL, 0, query_usages, look_at_usages};
    static const struct advice advice = {"", "journalctl -u diskallocd may say more"};
    struct look look = {.f = f, .usable = s->disk_total > s->keep_free ? s->disk_total - s->keep_free : 0};
    size_t before = f->n;

    if (list_fetch(ctl, &quotas, &look) != EXIT_DONE || list_fetch(ctl, &usages, &look) != EXIT_DONE)
        finding(f, FINDING_WRONG, "daemon", advice, "%s", ctl_last_complaint());
    look_at_regions(ctl, &look);
    if (f->n == before)
        finding_well(f, "limits", "none is reached");
    look_at_descriptors(s, f);
    look_at_watches(f);
}
