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
// An administrator sees what everybody does, and nobody may hide what others do by doing very much.  So in the queue of
// a watcher, the reports about one user take no more places than they leave free.  The watcher's own user is not bound
// by that.  A uid costs nothing where /etc/subuid lends 65,536 of them to everybody: the uids of one person are one
// party (reports_set_parties), and a user here is a party.
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
    SHARES = 256, // parties with the same remainder count together
};

struct queued_report {
    struct report report; // its texts lie in TEXTS
    struct handle handle;
    uint64_t n_lost; // before this one
    bool is_shared;  // counts in SHARES[SHARE] of the watcher
    uint8_t share;
    TAILQ_ENTRY(queued_report) entry;
    char texts[];
};

struct reports {
    TAILQ_HEAD(, watcher) watchers; // the first one has the next turn
    unsigned n_watchers;
    uint32_t (*party_of)(void *data, uid_t uid); // NULL: each uid is a party
    void *data;
};

int reports_new(struct reports **ret)
{
    struct reports *r = calloc(1, sizeof *r);

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

void reports_set_parties(struct reports *r, uint32_t (*party_of)(void *data, uid_t uid), void *data)
{
    r->party_of = party_of;
    r->data = data;
}

static uint32_t party_of(const struct reports *r, uid_t uid)
{
    return r->party_of ? r->party_of(r->data, uid) : uid;
}

int reports_watch(struct reports *r, struct watcher *w)
{
    const uint32_t party = party_of(r, w->uid);
    const struct watcher *other;
    unsigned n_of_party = 0;

    TAILQ_FOREACH (other, &r->watchers, entry)
        n_of_party += other->party == party;
    if (n_of_party >= MOST_OF_USER || r->n_watchers >= (w->is_admin ? MOST_OF_ALL : MOST_OF_ALL - KEPT_FOR_ADMINS))
        return -EUSERS;
    w->shares = calloc(SHARES, sizeof *w->shares);
    if (!w->shares)
        return -ENOMEM;
    w->reports = r;
    w->party = party;
    w->n_queued = 0;
    w->n_lost = 0;
    TAILQ_INIT(&w->queue);
    TAILQ_INSERT_TAIL(&r->watchers, w, entry);
    r->n_watchers++;
    return 0;
}

void reports_drop(struct watcher *w)
{
    struct queued_report *first = TAILQ_FIRST(&w->queue);

    TAILQ_REMOVE(&w->queue, first, entry);
    w->n_queued--;
    if (first->is_shared)
        w->shares[first->share]--;
    free(first);
}

void reports_unwatch(struct watcher *w)
{
    if (!w->reports)
        return;
    while (w->n_queued > 0)
        reports_drop(w);
    TAILQ_REMOVE(&w->reports->watchers, w, entry);
    w->reports->n_watchers--;
    w->reports = NULL;
    free(w->shares);
    w->shares = NULL;
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

// PARTY: whom R is about, if it is about somebody.
static void queue(struct watcher *w, const struct report *r, uint32_t party)
{
    const unsigned left = MOST_QUEUED - w->n_queued;
    const bool is_shared = r->has_user && party != w->party;
    const uint8_t share = (uint8_t)(party % SHARES);
    struct queued_report *copy = NULL;

    if (is_shared ? w->shares[share] < left : left > 0)
        copy = copy_report(r);
    if (!copy) {
        w->n_lost++;
        return;
    }
    copy->is_shared = is_shared;
    copy->share = share;
    if (is_shared)
        w->shares[share]++;
    copy->n_lost = w->n_lost;
    w->n_lost = 0;
    TAILQ_INSERT_TAIL(&w->queue, copy, entry);
    w->n_queued++;
}

void reports_publish(struct reports *r, struct report *report)
{
    struct timespec now;
    struct watcher *w;
    uint32_t party;

    if (!reports_are_wanted(r))
        return;
    party = report->has_user ? party_of(r, report->uid) : 0;
    clock_gettime(CLOCK_REALTIME, &now);
    report->time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    TAILQ_FOREACH (w, &r->watchers, entry)
        if (w->sees(w, report))
            queue(w, report, party);
}

void reports_publish_to_all(struct reports *r, enum report_kind kind, const char *text)
{
    struct report report = {.kind = kind, .is_public = true, .text = text};

    reports_publish(r, &report);
}

struct watcher *reports_take_turn(struct reports *r)
{
    struct watcher *w = r ? TAILQ_FIRST(&r->watchers) : NULL;

    if (!w)
        return NULL;
    TAILQ_REMOVE(&r->watchers, w, entry);
    TAILQ_INSERT_TAIL(&r->watchers, w, entry);
    return w;
}

unsigned reports_count_watchers(const struct reports *r)
{
    return r ? r->n_watchers : 0;
}

const struct report *reports_peek(const struct watcher *w, uint64_t *ret_lost)
{
    const struct queued_report *first = TAILQ_FIRST(&w->queue);

    if (!first)
        return NULL;
    *ret_lost = first->n_lost;
    return &first->report;
}
