// Reports of what happens.
//
// Everything in the daemon publishes: operations, requests, connections, the timer that looks at the disk.  A report is
// copied into the queue of each watcher that may see it (watcher.sees), and daemon/conn sends the queues' reports while
// their clients read.
//
// Guarantees: nobody who publishes waits, and memory is bounded.  A queue holds MOST_QUEUED reports; what does not fit
// is counted, and the next report that the watcher gets says how many were lost before it.  A user may have a few
// watchers, and so may all users together; some places are kept for administrators.
//
// While nobody watches, publishing costs one look at an empty list.  All functions run on the loop's thread.
#include "daemon/reports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MOST_QUEUED = 512, // reports of one watcher
    MOST_OF_USER = 8,  // watchers
    MOST_OF_ALL = 64,
    KEPT_FOR_ADMINS = 16,
};

struct queued_report {
    struct report report; // its texts lie in TEXTS
    struct handle handle;
    uint64_t n_lost; // before this one
    TAILQ_ENTRY(queued_report) entry;
    char texts[];
};

struct reports {
    TAILQ_HEAD(, watcher) watchers;
};

int reports_new(struct reports **ret)
{
    struct reports *r = malloc(sizeof *r);

    if (!r)
        return -ENOMEM;
    TAILQ_INIT(&r->watchers);
    *ret = r;
    return 0;
}

void reports_free(struct reports *r)
{
    free(r);
}

int reports_watch(struct reports *r, struct watcher *w)
{
    unsigned n = 0, n_of_user = 0;
    const struct watcher *other;

    TAILQ_FOREACH (other, &r->watchers, entry) {
        n++;
        n_of_user += other->uid == w->uid;
    }
    if (n_of_user >= MOST_OF_USER || n >= (w->is_admin ? MOST_OF_ALL : MOST_OF_ALL - KEPT_FOR_ADMINS))
        return -EUSERS;
    w->reports = r;
    w->n_queued = 0;
    w->n_lost = 0;
    TAILQ_INIT(&w->queue);
    TAILQ_INSERT_TAIL(&r->watchers, w, entry);
    return 0;
}

void reports_drop(struct watcher *w)
{
    struct queued_report *first = TAILQ_FIRST(&w->queue);

    TAILQ_REMOVE(&w->queue, first, entry);
    w->n_queued--;
    free(first);
}

void reports_unwatch(struct watcher *w)
{
    if (!w->reports)
        return;
    while (w->n_queued > 0)
        reports_drop(w);
    TAILQ_REMOVE(&w->reports->watchers, w, entry);
    w->reports = NULL;
}

bool reports_are_wanted(const struct reports *r)
{
    return r && !TAILQ_EMPTY(&r->watchers);
}

static size_t length_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *copy_text(const char *text, char **at)
{
    char *copy = *at;
    size_t n = length_of(text);

    if (!text)
        return NULL;
    memcpy(copy, text, n);
    *at += n;
    return copy;
}

static struct queued_report *copy_report(const struct report *r)
{
    size_t n = length_of(r->client_name) + length_of(r->name) + length_of(r->limit_name) + length_of(r->text);
    struct queued_report *copy = malloc(sizeof *copy + n);
    char *at = copy ? copy->texts : NULL;

    if (!copy)
        return NULL;
    copy->report = *r;
    copy->report.client_name = copy_text(r->client_name, &at);
    copy->report.name = copy_text(r->name, &at);
    copy->report.limit_name = copy_text(r->limit_name, &at);
    copy->report.text = copy_text(r->text, &at);
    if (r->handle) {
        copy->handle = *r->handle;
        copy->report.handle = &copy->handle;
    }
    return copy;
}

static void queue(struct watcher *w, const struct report *r)
{
    struct queued_report *copy = w->n_queued < MOST_QUEUED ? copy_report(r) : NULL;

    if (!copy) {
        w->n_lost++;
        return;
    }
    copy->n_lost = w->n_lost;
    w->n_lost = 0;
    TAILQ_INSERT_TAIL(&w->queue, copy, entry);
    w->n_queued++;
}

void reports_publish(struct reports *r, struct report *report)
{
    struct timespec now;
    struct watcher *w;

    if (!reports_are_wanted(r))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    report->time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    TAILQ_FOREACH (w, &r->watchers, entry)
        if (w->sees(w, report))
            queue(w, report);
}

void reports_publish_to_all(struct reports *r, enum report_kind kind, const char *text)
{
    struct report report = {.kind = kind, .is_public = true, .text = text};

    reports_publish(r, &report);
}

struct watcher *reports_next_watcher(const struct reports *r, const struct watcher *after)
{
    if (after)
        return TAILQ_NEXT(after, entry);
    return r ? TAILQ_FIRST(&r->watchers) : NULL;
}

const struct report *reports_peek(const struct watcher *w, uint64_t *ret_lost)
{
    const struct queued_report *first = TAILQ_FIRST(&w->queue);

    if (!first)
        return NULL;
    *ret_lost = first->n_lost;
    return &first->report;
}
