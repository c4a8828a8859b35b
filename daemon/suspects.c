// When to look at the file of a region that was changed.
//
// An event of the tripwire says that a file was changed, not by whom: the daemon's own grows and shrinks raise events
// as well.  So the region becomes a suspect, and an operation of its own queue looks at the file (op/verify.c).  This
// file decides when; it looks at nothing itself.
//
// A suspect is looked at soon, but no more often than every REST_MS, however many events come; and no more often than
// its look takes, several times over.  So a client that writes to its file without pause costs a bounded share of a
// worker, which is charged to its own lane.  A region that grows is looked at in the same rhythm, and a last time when
// it has come to rest.
//
// A client can hold a look up, by the lock of the file, and can change thousands of files at once.  So owners take
// turns, and each has MOST_OF_OWNER looks under way: the regions that are due stand in a queue for each owner, and the
// owners that may have a further look stand in a ring.  Of all owners together MOST_AT_ONCE looks are under way, not
// counting those that have taken FRESH_MS or longer.
//
// When the kernel has dropped events, or the disk is full (op/failure.c), any region may have been changed: all are
// looked at, one after the other, and after those of which an event is known.  Whoever makes the kernel drop events can
// have that done again and again.  So it begins once a second at most, and no more often than it takes, several times
// over.
//
// A store through a mapping raises no event.  It can take blocks only in the discarded parts of a region: the client
// has agreed to leave these alone.  So regions with discarded parts are looked at from time to time, without an event:
// each once a second, and less often the more there are.
//
// An offence is a file that was not as the daemon had left it.  The second one within a minute freezes the region for a
// while: it cannot grow, and no descriptor of it that can write is handed out.  That holds only for a region that
// nobody but its owner may write to.  Where others may, the daemon cannot know who it was, and must not punish the
// innocent.
//
// All functions run on the loop.  Only regions with something to remember have a struct suspicion.
#include "daemon/suspects.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/region.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    REST_MS = 400,         // between two looks at a region
    FAILED_MS = 10 * 1000, // the same after a look that failed
    PERFORATED_MS = 1000,  // the same for a region with discarded parts, without an event
    AUDIT_MS = 1000,       // between the beginnings of two audits
    MOST_OF_OWNER = 8,     // looks that may be under way
    MOST_AT_ONCE = 32,     // the same, of all owners
    FRESH_MS = 1000,
    MOST_SKIPPED = 256,     // regions that an audit passes over in a call
    OFFENCE_MS = 60 * 1000, // two offences within it freeze a region
    FROZEN_MS = 10 * 60 * 1000,
};

enum state {
    KEPT, // in no list: what is remembered is the offences
    DUE,
    BEING_LOOKED_AT,
    RESTING,
};

struct suspicion {
    struct region *region;
    enum state state;
    bool noted;      // something has happened since it was taken last
    bool perforated; // has discarded parts, and is counted in n_perforated
    // Times are ms, monotonic; 0: never.
    uint64_t taken_at, rests_until, offence_at, frozen_until;
    uint64_t noted_from;         // after this, an event ends the rest
    bool told;                   // the log has named an offence
    bool unfinished;             // the file could not be mended when it was looked at last
    bool late;                   // while it is looked at: since FRESH_MS, and not counted in n_fresh
    struct suspicion_list *list; // that it is in
    TAILQ_ENTRY(suspicion) entry;
};

struct suspects {
    struct region_table *regions;
    void (*wake)(void *data, uint64_t at);
    void *data;
    TAILQ_HEAD(, user) owners;                     // those with regions that are due and may be looked at
    struct suspicion_list short_rests, long_rests; // in the order of rests_until; long: without an event
    struct suspicion_list running;                 // the oldest look first
    unsigned n_fresh;                              // looks under way that have not taken long yet
    uint64_t n_perforated;
    bool auditing, audit_again, has_cursor;
    uint64_t audit_at;      // ms, monotonic: when the audit began, or begins
    uint64_t next_audit_at; // the same: when the next one may begin
    struct handle cursor;   // the region that the audit took last
};

int suspects_new(struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data, struct suspects **ret)
{
    struct suspects *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    *s = (struct suspects){.regions = regions, .wake = wake, .data = data};
    TAILQ_INIT(&s->owners);
    TAILQ_INIT(&s->short_rests);
    TAILQ_INIT(&s->long_rests);
    TAILQ_INIT(&s->running);
    *ret = s;
    return 0;
}

void suspects_free(struct suspects *s)
{
    free(s);
}

// NULL: no memory.
static struct suspicion *suspicion_of(struct region *r)
{
    if (!r->suspicion) {
        r->suspicion = calloc(1, sizeof *r->suspicion);
        if (r->suspicion)
            r->suspicion->region = r;
    }
    return r->suspicion;
}

// Must follow each change of what OWNER has due or under way.
static void settle(struct suspects *s, struct user *owner)
{
    bool may_have_look = !TAILQ_EMPTY(&owner->due_suspects) && owner->n_looks < MOST_OF_OWNER;

    if (may_have_look && !owner->has_due_suspects)
        TAILQ_INSERT_TAIL(&s->owners, owner, of_suspects);
    if (!may_have_look && owner->has_due_suspects)
        TAILQ_REMOVE(&s->owners, owner, of_suspects);
    owner->has_due_suspects = may_have_look;
}

static void make_due(struct suspects *s, struct suspicion *x)
{
    x->state = DUE;
    x->list = &x->region->owner->due_suspects;
    TAILQ_INSERT_TAIL(x->list, x, entry);
    settle(s, x->region->owner);
}

// From the end of the list, because most rests of a list take the same time.
static void insert_resting(struct suspects *s, struct suspicion *x)
{
    struct suspicion *before;

    x->list = x->rests_until > x->noted_from ? &s->long_rests : &s->short_rests;
    before = TAILQ_LAST(x->list, suspicion_list);
    while (before && before->rests_until > x->rests_until)
        before = TAILQ_PREV(before, suspicion_list, entry);
    if (before)
        TAILQ_INSERT_AFTER(x->list, before, x, entry);
    else
        TAILQ_INSERT_HEAD(x->list, x, entry);
}

void suspects_note(struct suspects *s, struct region *r)
{
    struct suspicion *x = suspicion_of(r);

    if (!x)
        return;
    x->noted = true;
    if (x->state == KEPT) {
        make_due(s, x);
        s->wake(s->data, clock_now());
    } else if (x->state == RESTING && x->noted_from < x->rests_until) {
        TAILQ_REMOVE(x->list, x, entry);
        x->rests_until = x->noted_from;
        insert_resting(s, x);
        s->wake(s->data, x->rests_until);
    }
}

static void begin_audit(struct suspects *s)
{
    s->auditing = true;
    s->audit_again = s->has_cursor = false;
    s->audit_at = u64_max(clock_now(), s->next_audit_at);
    s->wake(s->data, s->audit_at);
}

static void end_audit(struct suspects *s)
{
    uint64_t now = clock_now();

    s->auditing = false;
    s->next_audit_at = u64_max(s->audit_at + AUDIT_MS, now + 4 * (now - u64_min(now, s->audit_at)));
    if (s->audit_again)
        begin_audit(s);
}

void suspects_note_all(struct suspects *s)
{
    if (s->auditing)
        s->audit_again = true;
    else
        begin_audit(s);
}

static void end_rests(struct suspects *s, struct suspicion_list *rests, uint64_t now)
{
    struct suspicion *x;

    while ((x = TAILQ_FIRST(rests)) && x->rests_until <= now) {
        TAILQ_REMOVE(rests, x, entry);
        x->state = KEPT;
        if (x->noted || x->perforated)
            make_due(s, x);
        else if (x->offence_at == 0) {
            x->region->suspicion = NULL;
            free(x);
        }
    }
}

// Makes the next region of the audit due, if there is one.
static void audit_next(struct suspects *s)
{
    for (int i = 0; i < MOST_SKIPPED && s->auditing && TAILQ_EMPTY(&s->owners); i++) {
        struct region *r = region_next(s->regions, s->has_cursor ? &s->cursor : NULL);

        if (!r) {
            end_audit(s);
            return;
        }
        s->has_cursor = true;
        s->cursor = r->record.handle;
        suspects_note(s, r);
    }
}

static void ask_to_be_woken(struct suspects *s, uint64_t now)
{
    const struct suspicion *a = TAILQ_FIRST(&s->short_rests), *b = TAILQ_FIRST(&s->long_rests);
    uint64_t at = u64_min(a ? a->rests_until : UINT64_MAX, b ? b->rests_until : UINT64_MAX);

    if (s->auditing)
        at = u64_min(at, u64_max(now, s->audit_at));
    if (at != UINT64_MAX)
        s->wake(s->data, at);
}

// Looks that have taken long do not keep others from theirs.  False: wakes the caller when one of them has.
static bool may_look(struct suspects *s, uint64_t now)
{
    struct suspicion *x;

    TAILQ_FOREACH (x, &s->running, entry) {
        if (x->taken_at + FRESH_MS > now)
            break;
        s->n_fresh -= !x->late;
        x->late = true;
    }
    if (!x || s->n_fresh < MOST_AT_ONCE) // without X none is fresh
        return true;
    s->wake(s->data, x->taken_at + FRESH_MS);
    return false;
}

static void begin_look(struct suspects *s, struct user *owner, struct suspicion *x)
{
    TAILQ_REMOVE(x->list, x, entry);
    x->state = BEING_LOOKED_AT;
    x->taken_at = clock_now();
    x->noted = x->late = false;
    x->list = &s->running;
    TAILQ_INSERT_TAIL(x->list, x, entry);
    s->n_fresh++;
    owner->n_looks++;
    // The owner's turn is over.
    TAILQ_REMOVE(&s->owners, owner, of_suspects);
    owner->has_due_suspects = false;
    settle(s, owner);
}

struct region *suspects_take_due(struct suspects *s, uint64_t now, bool *ret_noted)
{
    struct suspicion *x;
    struct user *owner;

    if (!may_look(s, now))
        return NULL;
    end_rests(s, &s->short_rests, now);
    end_rests(s, &s->long_rests, now);
    if (s->auditing && s->audit_at <= now)
        audit_next(s);
    owner = TAILQ_FIRST(&s->owners);
    if (!owner) {
        ask_to_be_woken(s, now);
        return NULL;
    }
    x = TAILQ_FIRST(&owner->due_suspects);
    *ret_noted = x->noted;
    begin_look(s, owner, x);
    return x->region;
}

static void set_perforated(struct suspects *s, struct suspicion *x, bool perforated)
{
    if (x->perforated != perforated)
        s->n_perforated += perforated ? 1 : UINT64_MAX; // adding UINT64_MAX subtracts one
    x->perforated = perforated;
}

void suspects_looked_at(struct suspects *s, struct region *r, bool again, bool failed)
{
    struct suspicion *x = r->suspicion;
    uint64_t now = clock_now(), rest = failed ? FAILED_MS : REST_MS;

    assert(x && x->state == BEING_LOOKED_AT);
    TAILQ_REMOVE(x->list, x, entry);
    s->n_fresh -= !x->late;
    r->owner->n_looks--;
    settle(s, r->owner);
    x->state = RESTING;
    x->noted |= again || failed;
    x->unfinished = failed;
    set_perforated(s, x, r->discarded.sum > 0);
    x->noted_from = x->rests_until = now + u64_max(rest, 4 * (now - x->taken_at));
    if (!x->noted && x->perforated)
        x->rests_until = u64_max(x->noted_from, now + u64_max(PERFORATED_MS, s->n_perforated));
    insert_resting(s, x);
    s->wake(s->data, TAILQ_EMPTY(&s->owners) && !s->auditing ? x->rests_until : now);
}

void suspects_forget(struct suspects *s, struct region *r)
{
    struct suspicion *x = r->suspicion;

    if (!x)
        return;
    assert(x->state != BEING_LOOKED_AT);
    if (x->state == DUE || x->state == RESTING)
        TAILQ_REMOVE(x->list, x, entry);
    settle(s, r->owner);
    set_perforated(s, x, false);
    r->suspicion = NULL;
    free(x);
}

enum suspects_verdict suspects_offence(struct region *r, uint64_t now)
{
    const unsigned others_write = 022;
    struct suspicion *x = r->suspicion;
    bool is_second = x->offence_at > 0 && now - x->offence_at < OFFENCE_MS, was_frozen = now < x->frozen_until;
    bool is_news = !x->told;

    if (x->unfinished) // the former offence is found once more
        return SUSPECTS_KNOWN;
    x->offence_at = now;
    x->told = true;
    if (is_second && !(r->record.mode & others_write)) {
        x->frozen_until = now + FROZEN_MS;
        if (!was_frozen)
            return SUSPECTS_FROZEN;
    }
    return is_news ? SUSPECTS_NEWS : SUSPECTS_KNOWN;
}

bool suspects_is_frozen(const struct region *r, uint64_t now)
{
    return r->suspicion && now < r->suspicion->frozen_until;
}
