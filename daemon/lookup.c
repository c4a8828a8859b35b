// Looking users up: see lookup.h.
//
// A user is looked up on a worker of a pool of its own, because the user database may be a server that does not
// answer; requests of that user wait (lookup_await), other users' do not.  A user with connections is looked up again
// every 15 s, so that groups which change under a connected program are noticed; other users every 5 minutes; and
// each Hello asks anew.  If a look-up gets no answer, the user stays as the last answer was, and is looked up again
// after 1, 2, 4 ... 15 s.  A user of whom nothing is known meanwhile counts as unlisted.
//
// The answer about a user whose last connection ends is kept for a second or two, for the next connection: a script
// may start one program after the other.
//
// If two uids claim one name, the one that was looked up last has it, and both are looked up again, with the question
// whose name it is.
//
// Very many requests may wait for one answer, or for the first second to be over.  So those who made them are told in
// turn, a few at a time (lookup_tell).
//
// A uid that was known is unknown only when it is still missing half a minute later: a database that is down may say
// so of everybody.
#include "daemon/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/outage.h"
#include "daemon/user_internal.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum {
    FRESH_MS = 1000,       // an answer that is not older satisfies a Hello
    PERIOD_MS = 15 * 1000, // between two look-ups of a connected user
    IDLE_PERIOD_MS = 300 * 1000,
    GRACE_MS = 30 * 1000,   // a known uid must be missing for so long
    HUNG_MS = 10 * 1000,    // a look-up that takes longer got no answer
    KNOWN_WAIT_MS = 1000,   // lookup_await, if there is a former answer
    UNKNOWN_WAIT_MS = 3500, // if there is none; the library gives up after 5 s
    START_MS = 1000,        // after start, for the users who were found
    SLICES = 16,            // the table is looked through in so many ticks
    MOST_RECENT = 256,      // users who are kept only because they were looked up a moment ago
    MAX_TOLD = 10,          // users without an answer whom the log names, each time the database goes away
};

// Another uid has U's name now.  If U is not found when it is looked up, that is believed at once.
static void lose_name(struct user *u)
{
    char *number = user_entry_number(u->uid);

    user_drop_name(u);
    free(u->entry.name);
    u->entry.name = number;
    u->check_name = true;
    u->missing_since = 1;
    user_changed(u);
    lookup_begin(u);
}

// U's entry is new, and claims a name.
static void claim_name(struct user *u)
{
    struct user *other;

    if (!u->entry.has_name)
        return;
    other = user_insert_name(u);
    if (other) {
        lose_name(other);
        user_insert_name(u);
        if (!u->check_name) {
            u->check_name = true;
            u->due_at = 0;
        }
    }
    if (u->table->names && u->entry.is_verified)
        names_learn(u->table->names, u->entry.name, u->uid);
}

// Once for each user and outage, and for a few of them only.
static void tell_unknown(struct user *u)
{
    struct outage *o = u->table->names ? names_outage(u->table->names) : NULL;

    if (!o || o->n_told_users >= MAX_TOLD)
        return;
    o->n_told_users++;
    log_warning("uid %u could not be looked up in the user database: until it answers, the uid has no groups and "
                "counts as unlisted, "
                "unless a section [quota user:+%u] is there",
                (unsigned)u->uid, (unsigned)u->uid);
}

// The waits are over without an answer, or the database is away.
static void settle_for_nothing(struct user *u)
{
    if (u->known)
        return;
    u->known = true;
    tell_unknown(u);
    user_changed(u);
}

static void tell_later(struct user_waiter *waiter)
{
    struct user *u = waiter->user;

    lookup_forget(u, waiter);
    waiter->waiting = true;
    rounds_add(&u->table->answered, &u->answered, &waiter->of_answered);
}

static void release_waiters(struct user *u, bool only_late)
{
    uint64_t now = clock_now();
    struct user_waiter *waiter, *next;

    for (waiter = TAILQ_FIRST(&u->waiters); waiter; waiter = next) {
        next = TAILQ_NEXT(waiter, entry);
        if (only_late && waiter->deadline > now)
            continue;
        settle_for_nothing(u);
        tell_later(waiter);
    }
}

static bool has_fresh_answer(const struct user *u, uint64_t now)
{
    return u->known && u->read_at && now - u->read_at < FRESH_MS;
}

static void wait_for_answer(struct user_waiter *waiter, uint64_t now)
{
    struct user *u = waiter->user;

    waiter->waiting = true;
    waiter->deadline = now + (u->known ? KNOWN_WAIT_MS : UNKNOWN_WAIT_MS);
    if (TAILQ_EMPTY(&u->waiters))
        TAILQ_INSERT_TAIL(&u->table->awaited, u, awaited);
    TAILQ_INSERT_TAIL(&u->waiters, waiter, entry);
    lookup_begin(u);
}

static void release_start(struct user_table *t)
{
    uint64_t now = clock_now();
    struct user_waiter *waiter;

    while ((waiter = TAILQ_FIRST(&t->at_start))) {
        if (has_fresh_answer(waiter->user, now)) {
            tell_later(waiter);
        } else {
            lookup_forget(waiter->user, waiter);
            wait_for_answer(waiter, now); // this user may not have been looked up
        }
    }
}

static void has_started(struct user *u)
{
    if (!u->found_at_start)
        return;
    u->found_at_start = false;
    if (--u->table->n_starting == 0)
        release_start(u->table);
}

static void note_outage(struct user *u, bool fails)
{
    if (u->table->names)
        outage_note(names_outage(u->table->names), &u->failing, fails);
}

// The uid is missing, and it is too early to believe that.
static bool is_in_grace(struct user *u, uint64_t now)
{
    if (u->fresh.is_listed || !u->entry.is_listed)
        return false;
    if (!u->missing_since)
        u->missing_since = now;
    u->due_at = u->missing_since + GRACE_MS;
    return now < u->due_at;
}

static void take_answer(struct user *u)
{
    uint64_t now = clock_now();
    bool is_new;

    u->read_at = now;
    u->n_failures = 0;
    if (is_in_grace(u, now))
        return;
    u->due_at = now + PERIOD_MS;
    u->missing_since = 0;
    is_new = !u->known || !user_entry_equal(&u->entry, &u->fresh);
    u->known = true;
    if (!is_new)
        return;
    user_drop_name(u);
    user_entry_deinit(&u->entry);
    u->entry = u->fresh;
    u->fresh = (struct user_entry){0};
    claim_name(u);
    user_changed(u);
}

static void take_failure(struct user *u)
{
    u->due_at = clock_now() + (u->n_failures < 4 ? 1000u << u->n_failures : PERIOD_MS);
    u->n_failures++;
    settle_for_nothing(u);
}

// The last use of the reference that keeps U for the sake of its answer.
static void let_go(struct user *u)
{
    TAILQ_REMOVE(&u->table->recent, u, of_recent);
    u->table->n_recent--;
    u->is_recent = false;
    user_unref(u);
}

static void keep_for_a_moment(struct user *u)
{
    struct user_table *t = u->table;

    u->n_refs++;
    if (u->is_recent)
        let_go(u);
    else if (t->n_recent == MOST_RECENT)
        let_go(TAILQ_FIRST(&t->recent));
    TAILQ_INSERT_TAIL(&t->recent, u, of_recent);
    t->n_recent++;
    u->is_recent = true;
}

static void let_go_of_old(struct user_table *t, uint64_t now)
{
    struct user *u;

    while ((u = TAILQ_FIRST(&t->recent)) && now - u->read_at >= FRESH_MS)
        let_go(u);
}

static enum work_status run_read(struct work *w)
{
    struct user *u = container_of(w, struct user, work);

    u->was_answered = user_entry_read(u->uid, u->asks_whose, u->table->names, u->former, u->n_former, &u->fresh);
    return WORK_DONE;
}

static void read_done(struct work *w)
{
    struct user *u = container_of(w, struct user, work);

    u->being_read = false;
    note_outage(u, !u->was_answered);
    if (u->was_answered) {
        take_answer(u);
        keep_for_a_moment(u);
    } else {
        take_failure(u);
    }
    user_entry_deinit(&u->fresh);
    free(u->former);
    u->former = NULL;
    has_started(u);
    release_waiters(u, false);
    user_unref(u);
}

void lookup_begin(struct user *u)
{
    if (u->being_read)
        return;
    u->being_read = true;
    u->asked_at = clock_now();
    u->asks_whose = u->check_name;
    u->n_refs++; // for the work
    u->former = calloc(u->entry.n_groups + 1, sizeof *u->former);
    u->n_former = u->former ? u->entry.n_groups : 0;
    if (u->n_former)
        memcpy(u->former, u->entry.groups, u->n_former * sizeof *u->former);
    u->work = (struct work){.lane = user_lane(u), .brief = true, .run = run_read, .done = read_done};
    worker_submit(u->table->pool, &u->work);
}

void lookup_await(struct user *u, struct user_waiter *waiter)
{
    struct user_table *t = u->table;
    uint64_t now = clock_now();

    waiter->user = u;
    if (t->n_starting > 0 && now < t->start_until) {
        waiter->waiting = waiter->at_start = true;
        TAILQ_INSERT_TAIL(&t->at_start, waiter, entry);
        return;
    }
    if (has_fresh_answer(u, now))
        waiter->ready(waiter);
    else
        wait_for_answer(waiter, now);
}

void lookup_forget(struct user *u, struct user_waiter *waiter)
{
    if (waiter->of_answered.owner)
        rounds_remove(&waiter->of_answered);
    else if (waiter->waiting && waiter->at_start)
        TAILQ_REMOVE(&u->table->at_start, waiter, entry);
    else if (waiter->waiting) {
        TAILQ_REMOVE(&u->waiters, waiter, entry);
        if (TAILQ_EMPTY(&u->waiters))
            TAILQ_REMOVE(&u->table->awaited, u, awaited);
    }
    waiter->waiting = waiter->at_start = false;
}

bool lookup_tell(struct user_table *t, unsigned most)
{
    struct rounds_item *i;
    bool was_empty = rounds_is_empty(&t->answered);

    for (; most > 0 && (i = rounds_take(&t->answered)); most--) {
        struct user_waiter *waiter = container_of(i, struct user_waiter, of_answered);

        waiter->waiting = false;
        waiter->ready(waiter);
    }
    return !was_empty;
}

bool lookup_has_answers(const struct user_table *t)
{
    return !rounds_is_empty(&t->answered);
}

void lookup_at_start(struct user *u)
{
    if (u->known || u->being_read)
        return;
    u->found_at_start = true;
    u->table->n_starting++;
    u->table->start_until = clock_after(START_MS);
    lookup_begin(u);
}

void lookup_all(struct user_table *t)
{
    for (struct user *u = user_next(t, NULL); u; u = user_next(t, u))
        lookup_begin(u);
}

static void look_at(struct user *u, uint64_t now)
{
    uint64_t due = u->due_at;

    if (u->being_read && now - u->asked_at >= HUNG_MS)
        note_outage(u, true);
    if (TAILQ_EMPTY(&u->peers) && u->n_failures == 0 && !u->missing_since && due)
        due += IDLE_PERIOD_MS - PERIOD_MS;
    if (now >= due)
        lookup_begin(u);
}

void lookup_tick(struct user_table *t)
{
    uint64_t now = clock_now();
    struct user *u, *next;

    if (now >= t->start_until)
        release_start(t);
    let_go_of_old(t, now);
    u = user_from(t, t->cursor);
    for (size_t n = t->n_users / SLICES + 64; u && n > 0; n--) {
        look_at(u, now);
        u = user_next(t, u);
    }
    t->cursor = u ? u->uid : 0;
    for (u = TAILQ_FIRST(&t->awaited); u; u = next) {
        next = TAILQ_NEXT(u, awaited);
        release_waiters(u, true);
    }
}

void lookup_names_changed(struct user_table *t)
{
    uint32_t uid;

    for (struct user *u = user_next(t, NULL); u; u = user_next(t, u))
        if (u->entry.has_name && names_find(t->names, true, u->entry.name, &uid) == 0 && uid != u->uid)
            lose_name(u);
}
