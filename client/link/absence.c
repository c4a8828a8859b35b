// The time without a daemon.  Calls that wait for it say nothing, for minutes if it does not come back.  So the
// program is told by an event, once, and the error in the end says how long the daemon was waited for, and why it
// could not be reached.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/link/link_internal.h"
#include "client/util/error.h"
#include "proto/util/clock.h"

enum { TOLD_AFTER_MS = 3000, MS_PER_S = 1000 };

static void tell(struct link *link, int kind)
{
    struct diskalloc_event event = {.kind = kind};

    link->absence.told = kind == DISKALLOC_EVENT_DAEMON_GONE;
    events_add(&link->events, &event);
}

void link_note_attempt(struct link *link, int r)
{
    struct absence *a = &link->absence;

    if (r == 0) {
        if (a->told)
            tell(link, DISKALLOC_EVENT_DAEMON_BACK);
        *a = (struct absence){0};
        return;
    }
    snprintf(a->why, sizeof a->why, "%s", error_reason()[0] ? error_reason() : strerror(-r));
    if (a->since == 0)
        a->since = clock_now();
    else if (!a->told && clock_now() - a->since >= TOLD_AFTER_MS)
        tell(link, DISKALLOC_EVENT_DAEMON_GONE);
}

int link_answer_lost(int r)
{
    char why[sizeof((struct absence *)0)->why];

    if (r != -ENOMEM && r != -EMFILE && r != -ENFILE)
        return r;
    snprintf(why, sizeof why, "%s", error_reason()[0] ? error_reason() : strerror(-r));
    return error_why(-ECONNRESET, "the daemon's answer was lost (%s)", why);
}

int link_gone(const struct link *link)
{
    const struct absence *a = &link->absence;
    unsigned long long ms = a->since > 0 ? clock_now() - a->since : 0;

    if (!a->why[0])
        return error_why(-ECONNRESET, "the daemon at %s has gone", link->path);
    return error_why(-ECONNRESET, "the daemon at %s has gone, and did not come back in %llu%s (%s)", link->path,
                     ms < MS_PER_S ? ms : ms / MS_PER_S, ms < MS_PER_S ? " ms" : " s", a->why);
}
