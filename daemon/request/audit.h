// What administrators do to others goes to the log: who did it, to whom or what, and how it was before and is after.
#pragma once
#include "daemon/reports.h"
#include "daemon/request/peer.h"

struct audit;

// Begins the entry of an ACTION of PEER, a constant ("rm --force", "quota set").  NULL: no memory; the functions below
// do nothing then, and the log has one line less.
struct audit *audit_new(const struct peer *peer, const char *action);
enum audit_part {
    AUDIT_SUBJECT, // whom or what it is done to: "user:alice", "alice/results"
    AUDIT_BEFORE,
    AUDIT_AFTER,
    AUDIT_PART_N,
};
__attribute__((format(printf, 3, 4))) void audit_say(struct audit *a, enum audit_part part, const char *format, ...);
// The subject is this region of its owner's.
void audit_region(struct audit *a, const struct region *r);
// The action was done: writes the entry, and reports KIND to those who watch.  audit_free must follow.
void audit_done(const struct audit *a, struct reports *reports, enum report_kind kind);
void audit_free(struct audit *a); // NULL: does nothing
