// Counting: see tally.h.
#include "daemon/tally.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const tally_operation_names[TALLY_OPERATION_N] = {
    [TALLY_OTHER] = "other",     [TALLY_CREATE] = "create", [TALLY_OPEN] = "open",
    [TALLY_GROW] = "grow",       [TALLY_SHRINK] = "shrink", [TALLY_DISCARD] = "discard",
    [TALLY_RESTORE] = "restore", [TALLY_COMMIT] = "commit", [TALLY_CLONE] = "clone",
    [TALLY_MOVE] = "move",       [TALLY_UNLINK] = "unlink", [TALLY_SET_EXPIRY] = "set_expiry",
    [TALLY_REAP] = "reap",       [TALLY_VERIFY] = "verify",
};

const char *const tally_result_names[TALLY_RESULT_N] = {
    [TALLY_DONE] = "done",           [TALLY_LIMIT] = "limit", [TALLY_FULL] = "full",     [TALLY_EARLY] = "early",
    [TALLY_TIMED_OUT] = "timed_out", [TALLY_IO] = "io_error", [TALLY_FAILED] = "failed",
};

const char *const tally_disk_limit_names[TALLY_DISK_LIMIT_N] = {
    [TALLY_KEEP_FREE] = "keep_free",
    [TALLY_SPACE] = "space",
    [TALLY_INODES] = "inodes",
    [TALLY_FILE_SYSTEM_QUOTA] = "file_system_quota",
};

const uint32_t tally_bounds_us[TALLY_BOUNDS] = {20,    50,    100,    250,    500,     1000,    2500,    5000,
                                                10000, 50000, 100000, 500000, 1000000, 5000000, 10000000};

void tally_init(struct tally *t)
{
    *t = (struct tally){.reload_ok = 1};
}

// Most operations take some ten microseconds, so that the search ends after a few steps.
void tally_note(struct tally_histogram *h, uint64_t us)
{
    unsigned i = 0;

    while (i < TALLY_BOUNDS && us > tally_bounds_us[i])
        i++;
    h->buckets[i]++;
    h->sum_us += us;
}

uint64_t tally_count(const struct tally_histogram *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i <= TALLY_BOUNDS; i++)
        n += h->buckets[i];
    return n;
}

enum tally_result tally_result_of(int result)
{
    switch (result) {
    case 0:
        return TALLY_DONE;
    case -EDQUOT:
        return TALLY_LIMIT;
    case -ENOSPC:
        return TALLY_FULL;
    case -EXFULL:
        return TALLY_EARLY;
    case -ETIMEDOUT:
        return TALLY_TIMED_OUT;
    case -EIO:
        return TALLY_IO;
    default:
        return TALLY_FAILED;
    }
}

void tally_note_disk_refusal(struct tally *t, const char *limit_name)
{
    enum tally_disk_limit limit = TALLY_SPACE;

    if (strcmp(limit_name, "disk keep_free") == 0)
        limit = TALLY_KEEP_FREE;
    else if (strstr(limit_name, "quota"))
        limit = TALLY_FILE_SYSTEM_QUOTA;
    else if (strstr(limit_name, "inodes"))
        limit = TALLY_INODES;
    t->disk_refusals[limit]++;
}

struct tally_refusal *tally_refusal_place(struct tally *t, uid_t uid, const char *limit_name, uint64_t now)
{
    struct tally_refusal *place = &t->refusals[0];

    for (unsigned i = 0; i < TALLY_REFUSALS; i++) {
        struct tally_refusal *r = &t->refusals[i];

        if (r->at && r->uid == uid && strncmp(r->limit_name, limit_name, sizeof r->limit_name - 1) == 0) {
            r->at = now;
            r->n++;
            return r;
        }
        if (r->at < place->at)
            place = r;
    }
    *place = (struct tally_refusal){.at = now, .n = 1, .uid = uid};
    snprintf(place->limit_name, sizeof place->limit_name, "%s", limit_name);
    return place;
}
