// Adding disks while the daemon runs: see opening.h.
//
// First a worker touches the directory: if the disk hangs, that worker hangs, and nothing else waits for it.  When the
// disk has answered, a worker opens and locks the directory, sets up its fences, and scans it.  Then the loop takes the
// regions over, all in one turn: so no client can take a name meanwhile that one of them has.  One disk is opened at a
// time, and the list of disks does not change while a worker does that.
#include "daemon/opening.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/settings.h"
#include "daemon/disks.h"
#include "daemon/fences.h"
#include "daemon/former.h"
#include "daemon/halves.h"
#include "daemon/health.h"
#include "daemon/home.h"
#include "daemon/log.h"
#include "daemon/recovery.h"
#include "daemon/state.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum { HANGS_SECONDS = 10 }; // without an answer

static const char slow_to_open[] = "the disk does not answer while it is opened, or answers slowly; other spill "
                                   "directories that were added wait for it";

// A directory of the configuration that is not in use, while its disk is asked whether it answers.
struct opening_trial {
    struct opening_trial *next;
    struct work work;
    struct daemon *daemon;
    char *dir;
    uint64_t begun; // ms, monotonic
    bool answered;
};

struct opening {
    struct work work;
    struct daemon *daemon;
    char *dir;
    uint64_t begun; // ms, monotonic
    bool require_mount;
    enum config_fence fence;
    // The worker's, until opening_done:
    struct daemon_disk *disk;
    struct recovery_list found;
    int result;        // 0 or -errno
    char *error;       // a sentence, or NULL
    struct half *rest; // files to be removed, when the disk was added
};

// Charges are rounded to the blocks of the daemon, so that they are the same on each disk.
static int check_blocks(struct opening *o)
{
    struct store *store = o->disk->disk.store;
    uint32_t ours = o->daemon->regions.block_size, its = store_block_size(store);

    if (its <= ours) {
        store_set_block_size(store, ours);
        return 0;
    }
    if (asprintf(&o->error,
                 "spill directory %s: its file system has blocks of %" PRIu32 " bytes, more than the other "
                 "disks have: start the daemon anew to use it",
                 o->dir, its) < 0)
        o->error = NULL;
    return -EINVAL;
}

static int open_disk(struct opening *o)
{
    struct disk *disk;
    int r = disks_open_one(o->daemon, o->dir, o->require_mount, &o->disk, &o->error);

    if (r < 0)
        return r;
    disk = &o->disk->disk;
    r = check_blocks(o);
    if (r == 0)
        r = fences_make(o->disk, o->fence, &o->error);
    if (r == 0)
        r = health_look_first(disk);
    return r == 0 ? recovery_collect(o->disk, &o->found, &o->error) : r;
}

static void close_disk(struct opening *o)
{
    if (!o->disk)
        return;
    halves_forget(&o->daemon->halves, o->disk);
    disks_free_one(o->disk);
    o->disk = NULL;
}

static enum work_status run_open(struct work *w)
{
    struct opening *o = container_of(w, struct opening, work);

    o->result = open_disk(o);
    if (o->result < 0) // here, because closing may block too
        close_disk(o);
    return WORK_DONE;
}

static void take_over(struct opening *o)
{
    struct daemon *d = o->daemon;
    struct daemon_disk *x = o->disk;

    disks_append(d, x);
    o->disk = NULL;
    if (recovery_take(&o->found, &o->rest) < 0)
        log_error("spill directory %s: out of memory: some regions there are unavailable until the daemon is started "
                  "anew",
                  o->dir);
    health_add_up(d);
    settings_have_changed(d->settings); // percentages are of the sum of all disks
    home_take_over(d, &x->disk);
    log_notice("spill directory %s was added, with %zu regions", o->dir, o->found.n);
    former_look(d);
}

static void fail(struct opening *o)
{
    _cleanup_free_ char *made = NULL;
    const char *sentence = o->error;

    if (!sentence && asprintf(&made, "spill directory %s: %s", o->dir, strerror(-o->result)) < 0)
        made = NULL;
    sentence = sentence ? sentence : made ? made : strerror(-o->result);
    log_error("%s; the spill directory is not used until the daemon is told to reload again", sentence);
    if (config_paths_have(&o->daemon->request.config->spill_dirs, o->dir)) // it may have been read again
        disks_note_absence(o->daemon, o->dir, sentence, true);
}

static void deinit(struct opening *o)
{
    recovery_list_deinit(&o->found);
    halves_forget(&o->rest, NULL);
    close_disk(o);
    free(steal(&o->error));
    free(steal(&o->dir));
}

static void open_next(struct opening *o);

static enum work_status run_remove(struct work *w)
{
    struct opening *o = container_of(w, struct opening, work);

    for (const struct half *h = o->rest; h; h = h->next)
        half_remove(h);
    return WORK_DONE;
}

static void remove_done(struct work *w)
{
    struct opening *o = container_of(w, struct opening, work);

    deinit(o);
    open_next(o);
}

static void opening_done(struct work *w)
{
    struct opening *o = container_of(w, struct opening, work);

    if (o->result == 0)
        o->result = fences_listen(o->disk);
    if (o->result == 0)
        take_over(o);
    else
        fail(o);
    if (!o->rest) {
        remove_done(w);
        return;
    }
    o->work = (struct work){.lane = WORK_LANE_DAEMON, .run = run_remove, .done = remove_done};
    worker_submit(o->daemon->pool, &o->work);
}

static void free_trial(struct opening_trial *t)
{
    free(t->dir);
    free(t);
}

static struct opening_trial **find_trial(struct daemon *d, const char *dir)
{
    struct opening_trial **at = &d->trials;

    while (*at && strcmp((*at)->dir, dir) != 0)
        at = &(*at)->next;
    return at;
}

// Takes the trial of DIR off the list if the disk has answered.
static bool take_answer(struct daemon *d, const char *dir)
{
    struct opening_trial **at = find_trial(d, dir), *t = *at;

    if (!t || !t->answered)
        return false;
    *at = t->next;
    free_trial(t);
    return true;
}

// The next directory of the configuration that is not in use and whose disk has answered.  NULL: there is none.
static const char *next_dir(struct daemon *d)
{
    const struct config_paths *dirs = &d->request.config->spill_dirs;

    for (size_t i = 0; i < dirs->n; i++)
        if (take_answer(d, dirs->items[i]) && !disks_have(d, dirs->items[i]))
            return dirs->items[i];
    return NULL;
}

// The configuration may have been read again: answers of directories that it does not name mean nothing any more.
static void forget_answers(struct daemon *d)
{
    for (struct opening_trial **at = &d->trials, *t; (t = *at);) {
        if (!t->answered) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        free_trial(t);
    }
}

static void open_next(struct opening *o)
{
    struct daemon *d = o->daemon;
    const struct config *config = d->request.config;
    const char *dir = next_dir(d);

    o->dir = dir ? strdup(dir) : NULL;
    if (!o->dir) {
        forget_answers(d);
        free(steal(&d->opening));
        return;
    }
    if (d->n_disks == CONFIG_MOST_DISKS) {
        o->result = -EUSERS;
        if (asprintf(&o->error, "spill directory %s: the daemon uses %d already, and can use no more: start it anew",
                     o->dir, CONFIG_MOST_DISKS) < 0)
            o->error = NULL;
        fail(o);
        deinit(o);
        forget_answers(d);
        free(steal(&d->opening));
        return;
    }
    o->begun = clock_now();
    o->require_mount = disks_require_mount(config, dir);
    o->fence = d->fence; // not that of a file that was read again
    o->work = (struct work){.lane = WORK_LANE_DAEMON, .run = run_open, .done = opening_done};
    worker_submit(d->pool, &o->work);
}

static void complain_of_memory(void)
{
    log_error("out of memory: new spill directories are not used until the daemon is told to reload again");
}

static enum work_status run_touch(struct work *w)
{
    store_touch(container_of(w, struct opening_trial, work)->dir);
    return WORK_DONE;
}

static void touch_done(struct work *w)
{
    struct opening_trial *t = container_of(w, struct opening_trial, work);
    struct daemon *d = t->daemon;

    t->answered = true;
    if (d->opening) // goes on with this one
        return;
    d->opening = calloc(1, sizeof *d->opening);
    if (!d->opening) {
        complain_of_memory();
        forget_answers(d);
        return;
    }
    d->opening->daemon = d;
    open_next(d->opening);
}

// NUMBER: of the directory among those that are asked.
static void touch(struct daemon *d, const char *dir, unsigned number)
{
    struct opening_trial *t;

    if (disks_have(d, dir) || *find_trial(d, dir))
        return;
    t = calloc(1, sizeof *t);
    if (t)
        *t = (struct opening_trial){.next = d->trials, .daemon = d, .dir = strdup(dir), .begun = clock_now()};
    if (!t || !t->dir) {
        free(t);
        complain_of_memory();
        return;
    }
    d->trials = t;
    t->work = (struct work){.lane = WORK_LANE_TRIALS, .disk = number, .run = run_touch, .done = touch_done};
    worker_submit(d->pool, &t->work);
}

void opening_begin(struct daemon *d)
{
    const struct config_paths *dirs = &d->request.config->spill_dirs;

    for (size_t i = 0; i < dirs->n; i++)
        touch(d, dirs->items[i], (unsigned)i);
}

void opening_await(struct daemon *d)
{
    unsigned n = 0;

    for (const struct disk_absence *a = d->request.absences; a; a = a->next)
        if (a->hangs)
            touch(d, a->dir, n++);
}

// Tells that the disk of DIR does not answer since BEGUN, once: then the absence is noted.  The configuration may have
// been read again meanwhile: a directory that was taken out is not told of, and told of anew when it is named again.
static void tell_of_hang(struct daemon *d, const char *dir, uint64_t begun, const char *problem)
{
    if (clock_now() - begun >= HANGS_SECONDS * 1000UL && !disks_know_hang(d, dir) && !disks_have(d, dir) &&
        config_paths_have(&d->request.config->spill_dirs, dir))
        disks_note_hang(d, dir, problem);
}

void opening_tick(struct daemon *d)
{
    for (const struct opening_trial *t = d->trials; t; t = t->next)
        if (!t->answered)
            tell_of_hang(d, t->dir, t->begun, DISKS_SILENT);
    if (d->opening)
        tell_of_hang(d, d->opening->dir, d->opening->begun, slow_to_open);
}

void opening_forget(struct daemon *d)
{
    struct opening_trial *t;

    if (d->opening)
        deinit(d->opening);
    free(steal(&d->opening));
    while ((t = d->trials)) {
        d->trials = t->next;
        free_trial(t);
    }
}
