// Reports of what happens, for the clients that watch it.  See the essay in reports.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "proto/util/name.h"

// The numbers are those of the protocol.
enum report_kind {
    REPORT_CONNECTED = 1,
    REPORT_DISCONNECTED,
    REPORT_CREATED,
    REPORT_UNLINKED,
    REPORT_REMOVED,
    REPORT_REFUSED,
    REPORT_WAITS,
    REPORT_WAIT_ENDED,
    REPORT_WARNING,
    REPORT_LIMITS_CHANGED,
    REPORT_ADMINISTERED,
    REPORT_TAMPERED,
    REPORT_IO_ERROR,
    REPORT_DISK_PROBLEM,
    REPORT_DISK_WELL,
    REPORT_ENDING,
};

// Something that has happened.  Whoever publishes a report fills in what is known; texts may be NULL.
struct report {
    enum report_kind kind;
    uint64_t time_us; // since 1970; reports_publish sets it
    bool is_public;   // it is about nobody, and concerns everybody
    bool has_user;
    uid_t uid; // whom it is about: only this user and administrators see it, unless it is public
    pid_t pid; // of the client that has caused it; 0: not known
    const char *client_name;
    const struct handle *handle;
    const char *name;
    uint64_t size; // bytes
    const char *limit_name;
    uint64_t limit, used, asked; // with limit_name
    const char *text;            // a sentence
};

struct reports;
struct queued_report;

// Someone who watches; embedded in what the owner has.
struct watcher {
    bool (*sees)(const struct watcher *w, const struct report *r); // whether this report is for the watcher
    uid_t uid;                                                     // whose watcher it is: each party may have a few
    bool is_admin; // when it began: some places are kept for administrators
    // reports.c's:
    struct reports *reports; // NULL: it does not watch
    uint32_t party;          // of UID
    TAILQ_HEAD(, queued_report) queue;
    unsigned n_queued;
    uint16_t *shares; // reports in the queue about each party, or about several parties together
    uint64_t n_lost;  // reports since the last one in the queue
    TAILQ_ENTRY(watcher) entry;
};

int reports_new(struct reports **ret); // 0 or -ENOMEM
void reports_free(struct reports *r);  // nobody watches any more
// From now on all uids for which PARTY_OF(DATA, UID) is the same have one share of what is bounded here.  Before, each
// uid is a party of its own.
void reports_set_parties(struct reports *r, uint32_t (*party_of)(void *data, uid_t uid), void *data);

// 0; -EUSERS: too many watch; or -ENOMEM.
int reports_watch(struct reports *r, struct watcher *w);
void reports_unwatch(struct watcher *w); // does nothing if W does not watch
// Whether anybody watches: if not, a report need not be made.  R may be NULL, in tests.
bool reports_are_wanted(const struct reports *r);
// Puts a copy of REPORT into the queues of those who may see it.  R may be NULL, in tests.
void reports_publish(struct reports *r, struct report *report);
// Publishes a report that concerns everybody.  TEXT may be NULL.
void reports_publish_to_all(struct reports *r, enum report_kind kind, const char *text);
// The watcher whose turn it is, and which then is the last one.  NULL: nobody watches.  R may be NULL, in tests.
struct watcher *reports_take_turn(struct reports *r);
unsigned reports_count_watchers(const struct reports *r); // the same

// The oldest report for W; NULL: there is none.  *RET_LOST: the reports that were lost before it.
const struct report *reports_peek(const struct watcher *w, uint64_t *ret_lost);
void reports_drop(struct watcher *w); // that report was sent
