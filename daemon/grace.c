// Since when accounts are above their soft limits, across restarts: see grace.h.
//
// Each line of the file is "SECONDS KEY": "1764500000 user:+1000".  What it says is kept for some minutes: groups, jobs
// and users who are not listed are charged only when users were looked up, and a disk may answer late.
//
// The file is written anew when an account has come above its soft limit, or below it, or when somebody has set the
// clock (daemon/calendar.h).  A daemon that is killed in between has its successor count from its own start for that
// account: some seconds are given away, and nothing else can go wrong.  A file that is missing or damaged gives away
// the time before the start.
#include "daemon/grace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/quota/soft.h"
#include "daemon/state.h"
#include "daemon/store/small_file.h"
#include "daemon/store/store.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/util/duration.h"

enum { SETTLED_AFTER_MS = 5 * 60 * 1000 }; // all that an earlier daemon knew of is charged

static void keep(struct daemon *d, const struct quota_over *over)
{
    struct quota_over *notes = reallocarray(d->grace_notes, d->n_grace_notes + 1, sizeof *notes);

    if (!notes) {
        log_warning("out of memory: the grace period of %s may begin anew", over->key);
        return;
    }
    notes[d->n_grace_notes++] = *over;
    d->grace_notes = notes;
}

void grace_forget(struct daemon *d)
{
    free(steal(&d->grace_notes));
    d->n_grace_notes = 0;
}

// Keeps the notes of accounts that are not above their soft limits.
static void take_notes(struct daemon *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_grace_notes; i++)
        if (!quota_note_over(d->quota, &d->grace_notes[i]))
            d->grace_notes[n++] = d->grace_notes[i];
    d->n_grace_notes = n;
    if (n > 0 && clock_left(d->grace_settled) == 0) {
        grace_forget(d);
        d->grace_written = UINT64_MAX; // without them
    }
}

static void take_line(struct daemon *d, const char *line)
{
    struct quota_over over = {0};

    _Static_assert(sizeof over.key > 287, "a key fits");
    if (sscanf(line, "%" SCNu64 " %287[^\n]", &over.since, over.key) == 2)
        keep(d, &over);
    else
        log_warning("%s/%s has a line that means nothing, which is left out", store_dir(d->home->store), GRACE_FILE);
}

void grace_load(struct daemon *d)
{
    _cleanup_free_ char *text = NULL;
    int r = small_file_read(store_dir_fd(d->home->store), GRACE_FILE, &text);

    if (r < 0 && r != -ENOENT)
        log_warning("%s/%s cannot be read: %s: grace periods begin anew", store_dir(d->home->store), GRACE_FILE,
                    strerror(-r));
    for (char *line = text, *end; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            break;
        *end = '\0';
        take_line(d, line);
    }
    d->grace_settled = clock_after(SETTLED_AFTER_MS);
    take_notes(d);
}

static void add_line(void *data, const struct quota_over *over)
{
    fprintf(data, "%" PRIu64 " %s\n", over->since, over->key);
}

// NULL: no memory.
static char *render(struct daemon *d)
{
    char *text = NULL;
    size_t n;
    FILE *stream = open_memstream(&text, &n);

    if (!stream)
        return NULL;
    quota_each_over(d->quota, add_line, stream);
    for (size_t i = 0; i < d->n_grace_notes; i++)
        add_line(stream, &d->grace_notes[i]);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

static enum work_status write_grace(struct work *w)
{
    struct daemon *d = container_of(w, struct daemon, grace_work);

    d->grace_result = small_file_write(store_dir_fd(d->home->store), GRACE_FILE, d->grace_text);
    return WORK_DONE;
}

static void grace_is_written(struct work *w)
{
    struct daemon *d = container_of(w, struct daemon, grace_work);

    free(steal(&d->grace_text));
    if (d->grace_result < 0) {
        if (!d->grace_failed)
            log_warning("%s/%s cannot be written: %s: a restart would begin grace periods anew",
                        store_dir(d->home->store), GRACE_FILE, strerror(-d->grace_result));
        d->grace_written = UINT64_MAX; // again
    }
    d->grace_failed = d->grace_result < 0;
}

// Both clocks are read in whole seconds, so a step has one second more or less than it had.
static uint64_t in_whole_minutes(int64_t step)
{
    return ((uint64_t)(step < 0 ? -step : step) + 30) / 60 * 60;
}

static void follow_clock(struct daemon *d)
{
    struct calendar *c = &d->request.op.calendar;
    char text[DURATION_TEXT_MAX];
    int64_t by;

    quota_set_time(d->quota, calendar_now(c));
    by = c->set_by - d->clock_set_by;
    if (by == 0)
        return;
    log_notice(
        "the time of day was set %s by %s: grace periods do not end sooner or later for that, nor do regions expire",
        by < 0 ? "back" : "forward", duration_format(in_whole_minutes(by), text));
    for (size_t i = 0; i < d->n_grace_notes; i++)
        d->grace_notes[i].since = calendar_convert(c, d->grace_notes[i].since, d->clock_set_by);
    quota_move_time(d->quota, by);
    d->clock_set_by = c->set_by;
}

void grace_tick(struct daemon *d)
{
    uint64_t changes;

    follow_clock(d);
    take_notes(d);
    if (d->marks_are_due)
        quota_tell_all(d->quota);
    d->marks_are_due = false;
    changes = quota_over_changes(d->quota);
    if (changes == d->grace_written || d->grace_text)
        return;
    d->grace_text = render(d);
    if (!d->grace_text)
        return;
    d->grace_written = changes;
    d->grace_work =
        (struct work){.lane = WORK_LANE_DAEMON, .brief = true, .run = write_grace, .done = grace_is_written};
    worker_submit(d->pool, &d->grace_work);
}
