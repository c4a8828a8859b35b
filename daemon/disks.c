// The disks of the running daemon: see disks.h.
#include "daemon/disks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/fence/fence.h"
#include "daemon/fences.h"
#include "daemon/health.h"
#include "daemon/log.h"
#include "daemon/state.h"
#include "daemon/trial.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"
#include "proto/util/size.h"

// For further disks to answer at start.  A disk that is only slow must not be left out: programs would find their
// regions unavailable.  The end comes well before the service manager's (TimeoutStartSec=), and before clients give up.
static const struct trial_times answer_times = {.tell_ms = 10 * 1000, .give_up_ms = 120 * 1000};

static struct daemon_disk *of(struct disk *disk)
{
    return container_of(disk, struct daemon_disk, disk);
}

bool disks_have(const struct daemon *d, const char *dir)
{
    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        if (strcmp(store_dir(disk->store), dir) == 0)
            return true;
    return false;
}

// The disk that has the same directory under another path.  Opening it twice would lose its lock.
static const struct disk *find_same(const struct daemon *d, const char *dir)
{
    struct stat mine, other;

    if (stat(dir, &mine) < 0)
        return NULL;
    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        if (fstat(store_dir_fd(disk->store), &other) == 0 && other.st_dev == mine.st_dev && other.st_ino == mine.st_ino)
            return disk;
    return NULL;
}

bool disks_require_mount(const struct config *config, const char *dir)
{
    const struct config_disk *rule = config_find_disk(config, dir);

    return rule && rule->has_require_mount ? rule->require_mount : config->spill_dir_require_mount;
}

int disks_open_one(struct daemon *d, const char *dir, bool require_mount, struct daemon_disk **ret, char **ret_error)
{
    const struct disk *same = find_same(d, dir);
    struct daemon_disk *x;
    int r;

    *ret_error = NULL;
    if (same) {
        if (asprintf(ret_error, "spill directory %s: it is the same directory as %s", dir, store_dir(same->store)) < 0)
            *ret_error = NULL;
        return -EEXIST;
    }
    x = calloc(1, sizeof *x);
    if (!x)
        return -ENOMEM;
    x->daemon = d;
    r = store_open(dir, require_mount, &file_ops_system, &x->disk.store, ret_error);
    if (r < 0)
        free(x);
    else
        *ret = x;
    return r;
}

// The lowest number that no disk has.
static unsigned free_number(const struct daemon *d)
{
    uint64_t used = 0;

    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        used |= UINT64_C(1) << disk->number;
    return (unsigned)__builtin_ctzll(~used);
}

void disks_append(struct daemon *d, struct daemon_disk *x)
{
    struct disk **at = &d->request.op.disks;

    x->disk.number = free_number(d);
    while (*at)
        at = &(*at)->next;
    *at = &x->disk;
    d->n_disks++;
    if (!d->home)
        d->home = &x->disk;
    disks_forget_absence(d, store_dir(x->disk.store));
}

static void free_absence(struct disk_absence *a)
{
    free(a->problem);
    free(a->dir);
    free(a);
}

void disks_forget_absence(struct daemon *d, const char *dir)
{
    for (struct disk_absence **at = &d->request.absences, *a; (a = *at); at = &a->next)
        if (strcmp(a->dir, dir) == 0) {
            *at = a->next;
            free_absence(a);
            return;
        }
}

// PROBLEM without the name of the directory in front.
static const char *cut_name(const char *problem, const char *dir)
{
    static const char before[] = "spill directory ";
    const size_t n = sizeof before - 1, length = strlen(dir);

    if (strncmp(problem, before, n) != 0 || strncmp(problem + n, dir, length) != 0 ||
        strncmp(problem + n + length, ": ", 2) != 0)
        return problem;
    return problem + n + length + 2;
}

// Without memory it is not noted: the log has told.
void disks_note_absence(struct daemon *d, const char *dir, const char *problem, bool is_configured)
{
    struct disk_absence *a = calloc(1, sizeof *a);

    disks_forget_absence(d, dir);
    if (!a)
        return;
    *a = (struct disk_absence){.next = d->request.absences,
                               .dir = strdup(dir),
                               .problem = strdup(cut_name(problem, dir)),
                               .is_configured = is_configured};
    if (a->dir && a->problem)
        d->request.absences = a;
    else
        free_absence(a);
}

// All disks round alike: a charge is the same on each disk.
static void agree_on_blocks(struct daemon *d)
{
    uint32_t most = 0;

    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        if (store_block_size(disk->store) > most)
            most = store_block_size(disk->store);
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        store_set_block_size(disk->store, most);
}

// At start: goes on without a directory of the configuration.
static void do_without(struct daemon *d, const char *dir, const char *sentence)
{
    log_error("%s; the regions there are unavailable until it can be used and the daemon is told to reload", sentence);
    disks_note_absence(d, dir, sentence, true);
}

void disks_note_hang(struct daemon *d, const char *dir, const char *problem)
{
    log_error("spill directory %s: %s; the regions there are unavailable: check the disk (dmesg); it is used when it "
              "answers",
              dir, problem);
    disks_note_absence(d, dir, problem, true);
    if (d->request.absences && strcmp(d->request.absences->dir, dir) == 0)
        d->request.absences->hangs = true;
}

bool disks_know_hang(const struct daemon *d, const char *dir)
{
    for (const struct disk_absence *a = d->request.absences; a; a = a->next)
        if (a->hangs && strcmp(a->dir, dir) == 0)
            return true;
    return false;
}

// Which directories of the configuration may be opened: the first one in any case.
static void find_answering(const struct config *config, bool *ret)
{
    const struct config_paths *dirs = &config->spill_dirs;

    ret[0] = true;
    if (dirs->n > 1)
        trial_run((const char *const *)dirs->items + 1, dirs->n - 1, &answer_times, ret + 1);
}

int disks_open(struct daemon *d, const struct config *config)
{
    bool answers[CONFIG_MOST_DISKS];

    find_answering(config, answers);
    for (size_t i = 0; i < config->spill_dirs.n; i++) {
        const char *dir = config->spill_dirs.items[i];
        _cleanup_free_ char *error = NULL;
        struct daemon_disk *x = NULL;
        const char *sentence;
        int r;

        if (!answers[i]) {
            disks_note_hang(d, dir, DISKS_SILENT);
            continue;
        }
        r = disks_open_one(d, dir, disks_require_mount(config, dir), &x, &error);
        sentence = error ? error : strerror(-r);
        if (r == 0) {
            disks_append(d, x);
            continue;
        }
        if (i == 0 || r == -EBUSY || r == -EEXIST || r == -ENOMEM) {
            log_error("%s", sentence);
            return r;
        }
        do_without(d, dir, sentence);
    }
    agree_on_blocks(d);
    return 0;
}

// A step has failed on the disk *AT.  0: the disk is not in the list any more; or ERROR.
static int lose(struct daemon *d, struct disk **at, int error, const char *sentence)
{
    struct disk *disk = *at;
    const char *dir = store_dir(disk->store);
    _cleanup_free_ char *made = NULL;

    if (!sentence && asprintf(&made, "spill directory %s: %s", dir, strerror(-error)) < 0)
        made = NULL;
    sentence = sentence ? sentence : made ? made : strerror(-error);
    if (disk == d->home || error == -ENOMEM) {
        log_error("%s", sentence);
        return error;
    }
    do_without(d, dir, sentence);
    *at = disk->next;
    d->n_disks--;
    disks_free_one(of(disk));
    return 0;
}

int disks_step_all(struct daemon *d, disks_step step, void *data)
{
    struct disk **at = &d->request.op.disks;
    int r = 0;

    while (r == 0 && *at) {
        _cleanup_free_ char *error = NULL;
        struct disk *disk = *at;

        r = step(of(disk), data, &error);
        if (r < 0)
            r = lose(d, at, r, error);
        else
            at = &disk->next;
    }
    return r;
}

// For disks_step_all.
static int fence_one(struct daemon_disk *x, void *data, char **ret_error)
{
    const struct daemon *d = data;
    int r = fences_make(x, d->fence, ret_error);

    return r == 0 ? fences_listen(x) : r;
}

int disks_fence(struct daemon *d, const struct config *config)
{
    d->fence = config->fence;
    return disks_step_all(d, fence_one, d);
}

// For disks_step_all.
static int look_at_one(struct daemon_disk *x, void *data, char **ret_error)
{
    (void)data;
    (void)ret_error;
    return health_look_first(&x->disk);
}

int disks_look(struct daemon *d)
{
    int r = disks_step_all(d, look_at_one, NULL);

    health_add_up(d);
    return r;
}

static void configure(struct disk *disk, const struct config *config)
{
    const char *dir = store_dir(disk->store);
    const struct config_disk *rule = config_find_disk(config, dir);
    bool own = rule && rule->keep_free.kind != CONFIG_UNSET, leaves = !config_paths_have(&config->spill_dirs, dir);

    if (leaves && !disk->is_leaving)
        log_warning("spill directory %s is not in the configuration any more: the regions there stay in use until the "
                    "daemon is started anew, and new ones are made elsewhere",
                    dir);
    disk->rule = rule;
    disk->is_leaving = leaves;
    store_require_mount(disk->store, disks_require_mount(config, dir));
    disk->keep_free = config_value_bytes(own ? &rule->keep_free : &config->keep_free, disk->space.total);
    disk->ample = 0; // was reckoned with the former keep_free
}

void disks_configure(struct daemon *d, const struct config *config)
{
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        configure(disk, config);
    for (struct disk_absence *a = d->request.absences, *next; a; a = next) {
        next = a->next;
        if (a->is_configured && !config_paths_have(&config->spill_dirs, a->dir))
            disks_forget_absence(d, a->dir);
    }
}

static void log_disk(const struct disk *disk)
{
    const struct spillfile_guarantee *g = store_guarantee(disk->store);
    const char *names = fence_names(disk->fence), *missing = fence_missing(disk->fence);
    char bytes[SIZE_TEXT_MAX], available[SIZE_TEXT_MAX], keep[SIZE_TEXT_MAX];
    const uint64_t found = disk->granted.used[QUOTA_BYTES] + disk->sparse.used[QUOTA_BYTES];

    log_notice("spill directory %s on %s; the guarantee is %s%s%s; discard %s; %s are available, of which %s are kept "
               "free; fences around descriptors: %s%s%s; found %" PRIu64 " regions with %s",
               store_dir(disk->store), g->file_system, g->hard ? "hard" : "soft", g->hard ? "" : ": ", g->reason,
               g->can_discard ? "works" : "does not work", size_format(disk->space.available, available),
               size_format(disk->keep_free, keep), *names ? names : "none", *missing ? "; " : "", missing,
               disk->granted.used[QUOTA_REGIONS] + disk->sparse.used[QUOTA_REGIONS], size_format(found, bytes));
}

void disks_log(const struct daemon *d)
{
    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        log_disk(disk);
}

void disks_free_one(struct daemon_disk *x)
{
    fences_remove(x);
    store_close(x->disk.store);
    free(x);
}

void disks_close(struct daemon *d)
{
    struct disk *disk;

    while ((disk = d->request.op.disks)) {
        d->request.op.disks = disk->next;
        disks_free_one(of(disk));
    }
    while (d->request.absences)
        disks_forget_absence(d, d->request.absences->dir);
}
