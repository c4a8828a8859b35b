// Whether the user database answers: see outage.h.
#include "daemon/outage.h"

#include "daemon/log.h"
#include "proto/util/clock.h"

enum { QUIET_MS = 5 * 1000 }; // the database must answer for so long before the log says that it is back

void outage_note(struct outage *o, bool *failing, bool fails)
{
    if (fails)
        o->failed_at = clock_now();
    if (*failing != fails)
        o->n_failing += fails ? 1 : -1U;
    *failing = fails;
    if (!fails || o->told)
        return;
    o->told = true;
    o->n_told_users = 0;
    log_warning(
        "the user database does not answer: what it said last about users, groups and limits holds until it does");
}

void outage_tick(struct outage *o)
{
    if (!o->told || o->n_failing > 0 || clock_now() - o->failed_at < QUIET_MS)
        return;
    o->told = false;
    log_notice("the user database answers again");
}
