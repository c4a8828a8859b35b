// The names that the configuration mentions: see names.h.
//
// Each name of a user or group has an entry with the last answer of the user database: a number, or "there is none".
// Everybody who has to know what a name means asks here, so that limits, commands and regions mean the same person.
// An entry is looked up on a worker: every 15 s if the name is known; after 1, 2, 4 ... 15 s if it is not known, or
// if the database did not answer.  An answer that differs from the last one makes the loop call CHANGED, and the log
// says so.
//
// A database that is away is not always honest: SSSD, for one, answers "there is none" while it is down.  So a name
// that was known is unknown only when it is still missing half a minute later.  A new number is believed at once.
//
// At start and at a reload the configuration is read by a thread that needs answers and must not wait for a database
// that is slow: names_resolve asks on a thread of its own, and leaves that thread alone when the budget is used up.
// The name counts as unknown then, until the look-up in the background has its answer.
//
// There is one lock, for the table and the entries.  Only the lock of the workers is taken under it, and nobody asks
// the database under it.  An entry with a look-up on its way is not freed before the look-up is done.
#include "daemon/names.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/outage.h"
#include "daemon/question.h"
#include "daemon/tree.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/util/text.h"

enum {
    PERIOD_MS = 15 * 1000, // between two look-ups of a known name
    GRACE_MS = 30 * 1000,  // a known name must be missing for so long
    FIRST_PAUSE_MS = 1000, // before an unknown name is looked up again; then twice as long each time, up to PERIOD_MS
    HUNG_MS = 10 * 1000,   // a look-up that takes longer got no answer
    ASK_MS = 1000,         // for names_ask
};

enum answer { UNASKED, KNOWN, MISSING };

struct entry {
    struct names *names;
    bool is_user;
    char *name;
    // Under the lock:
    enum answer answer, told_answer; // told: as the log and CHANGED have heard
    uint32_t id, told_id;            // if KNOWN
    uint64_t missing_since;          // ms; 0: the last look-up that was answered found the name
    uint64_t asked_at, due_at;       // ms: the last look-up began; the next one is due
    unsigned n_tries;                // look-ups since the name was known
    // The loop's:
    unsigned kept_in; // the round of names_keep that named it last
    bool quiet, being_read, failing;
    struct work work;
    int result;        // written by the worker
    uint32_t found_id; // the same
    RB_ENTRY(entry) node;
};
RB_HEAD(entry_tree, entry);

struct names {
    pthread_mutex_t lock;
    struct entry_tree entries;
    uint64_t budget_until; // ms: names_resolve waits until then
    bool dirty;            // an entry has another answer than CHANGED has heard of
    unsigned round;        // of names_keep; the loop's
    unsigned n_reading;    // look-ups on their way; the loop's
    struct outage outage;  // the loop's
    struct worker_pool *pool;
    void (*changed)(void *data);
    void *data;
};

static int compare(const struct entry *a, const struct entry *b)
{
    return a->is_user != b->is_user ? (int)a->is_user - (int)b->is_user : strcmp(a->name, b->name);
}

TREE_GENERATE(entry_tree, entry, node, compare)

static struct entry *find(struct names *n, bool is_user, const char *name)
{
    struct entry wanted = {.is_user = is_user, .name = (char *)name};

    return RB_FIND(entry_tree, &n->entries, &wanted);
}

// Found or made.  NULL: no memory.
static struct entry *get(struct names *n, bool is_user, const char *name)
{
    struct entry *e = find(n, is_user, name);

    if (e)
        return e;
    e = calloc(1, sizeof *e);
    if (e)
        e->name = strdup(name);
    if (!e || !e->name) {
        free(e);
        return NULL;
    }
    e->names = n;
    e->is_user = is_user;
    RB_INSERT(entry_tree, &n->entries, e);
    return e;
}

static void forget(struct names *n, struct entry *e)
{
    outage_note(&n->outage, &e->failing, false);
    RB_REMOVE(entry_tree, &n->entries, e);
    free(e->name);
    free(e);
}

static uint64_t pause_of(unsigned n_tries)
{
    return n_tries > 4 ? PERIOD_MS : (uint64_t)FIRST_PAUSE_MS << (n_tries ? n_tries - 1 : 0);
}

// Under the lock: the database has answered with RESULT, or not.
static void take(struct names *n, struct entry *e, int result, uint32_t id)
{
    uint64_t now = clock_now();

    if (result != 0) {
        e->n_tries++;
        e->due_at = now + pause_of(e->n_tries);
    }
    if (result == -ENOENT && e->answer == KNOWN && !e->missing_since)
        e->missing_since = now;
    if (result == 0) {
        e->answer = KNOWN;
        e->id = id;
        e->missing_since = 0;
        e->n_tries = 0;
        e->due_at = now + PERIOD_MS;
    } else if (result == -ENOENT && e->answer == KNOWN && now - e->missing_since < GRACE_MS)
        e->due_at = e->missing_since + GRACE_MS;
    else if (result == -ENOENT)
        e->answer = MISSING;
    n->dirty |= e->answer != e->told_answer || (e->answer == KNOWN && e->id != e->told_id);
}

static int answer_of(const struct entry *e, uint32_t *ret)
{
    if (!e || e->answer == UNASKED)
        return -EAGAIN;
    *ret = e->id;
    return e->answer == KNOWN ? 0 : -ENOENT;
}

// Asks until DEADLINE and keeps the answer; the caller tells if the name is unknown.
static int ask_and_keep(struct names *n, bool is_user, const char *name, uint64_t deadline, uint32_t *ret)
{
    uint32_t id = 0;
    int r = question_ask(is_user, name, deadline, &id);
    struct entry *e;

    pthread_mutex_lock(&n->lock);
    e = get(n, is_user, name);
    if (e && (r == 0 || r == -ENOENT)) {
        bool was_unasked = e->answer == UNASKED;

        take(n, e, r, id);
        if (was_unasked) {
            e->told_answer = e->answer;
            e->told_id = e->id;
        }
    }
    r = answer_of(e, ret);
    pthread_mutex_unlock(&n->lock);
    return r;
}

int names_resolve(void *data, bool is_user, const char *name, uint32_t *ret)
{
    struct names *n = data;
    uint64_t until;
    int r = id_parse(name, ret) ? 0 : names_find(n, is_user, name, ret);

    pthread_mutex_lock(&n->lock);
    until = n->budget_until;
    pthread_mutex_unlock(&n->lock);
    return r == -EAGAIN && clock_now() < until ? ask_and_keep(n, is_user, name, until, ret) : r;
}

int names_ask(struct names *n, bool is_user, const char *name, uint32_t *ret)
{
    return id_parse(name, ret) ? 0 : ask_and_keep(n, is_user, name, clock_after(ASK_MS), ret);
}

int names_find(struct names *n, bool is_user, const char *name, uint32_t *ret)
{
    int r;

    if (id_parse(name, ret))
        return 0;
    pthread_mutex_lock(&n->lock);
    r = answer_of(find(n, is_user, name), ret);
    pthread_mutex_unlock(&n->lock);
    return r;
}

void names_set_budget(struct names *n, unsigned ms)
{
    pthread_mutex_lock(&n->lock);
    n->budget_until = clock_after(ms);
    pthread_mutex_unlock(&n->lock);
}

// ---- Looking up in the background ----

static void tell(const struct entry *e)
{
    const char *what = e->is_user ? "user" : "group";

    if (e->answer == MISSING && e->told_answer == KNOWN)
        log_warning("the user database no longer has the %s %s: sections of it mean nothing until it has", what,
                    e->name);
    else if (e->answer == MISSING && !e->quiet)
        log_warning("the user database has no %s %s: sections of it mean nothing until it has", what, e->name);
    else if (e->answer == KNOWN && e->told_answer == MISSING)
        log_notice("the %s %s is known now, as +%u: what the configuration says of it holds", what, e->name, e->id);
    else if (e->answer == KNOWN && e->told_answer == KNOWN)
        log_notice("the %s %s is +%u now, and was +%u", what, e->name, e->id, e->told_id);
}

// Tells the log, and the owner of the names, what has changed.
static void tell_changes(struct names *n)
{
    struct entry *e;
    bool dirty;

    pthread_mutex_lock(&n->lock);
    dirty = n->dirty;
    n->dirty = false;
    RB_FOREACH (e, entry_tree, &n->entries) {
        if (e->answer == e->told_answer && e->id == e->told_id)
            continue;
        tell(e);
        e->told_answer = e->answer;
        e->told_id = e->id;
    }
    pthread_mutex_unlock(&n->lock);
    if (dirty && n->changed)
        n->changed(n->data);
}

static enum work_status run_look_up(struct work *w)
{
    struct entry *e = container_of(w, struct entry, work);

    e->result = question_look_up(e->is_user, e->name, &e->found_id);
    return WORK_DONE;
}

static void look_up_done(struct work *w)
{
    struct entry *e = container_of(w, struct entry, work);
    struct names *n = e->names;

    pthread_mutex_lock(&n->lock);
    e->being_read = false;
    n->n_reading--;
    outage_note(&n->outage, &e->failing, e->result < 0 && e->result != -ENOENT);
    take(n, e, e->result, e->found_id);
    if (e->kept_in != n->round)
        forget(n, e);
    pthread_mutex_unlock(&n->lock);
    if (n->n_reading == 0)
        tell_changes(n);
}

// Under the lock.
static void look_up_later(struct names *n, struct entry *e)
{
    if (e->being_read || !n->pool)
        return;
    e->being_read = true;
    e->asked_at = clock_now();
    n->n_reading++;
    // One lane for all names: they leave half of the workers to the users who connect.
    e->work = (struct work){.lane = WORK_LANE_NAMES, .brief = true, .run = run_look_up, .done = look_up_done};
    worker_submit(n->pool, &e->work);
}

static void look_up_all(struct names *n, bool only_due)
{
    uint64_t now = clock_now();
    struct entry *e;

    pthread_mutex_lock(&n->lock);
    RB_FOREACH (e, entry_tree, &n->entries) {
        if (e->being_read && now - e->asked_at >= HUNG_MS)
            outage_note(&n->outage, &e->failing, true);
        if (e->kept_in == n->round && (!only_due || now >= e->due_at))
            look_up_later(n, e);
    }
    pthread_mutex_unlock(&n->lock);
}

void names_refresh(struct names *n)
{
    look_up_all(n, false);
}

void names_tick(struct names *n)
{
    look_up_all(n, true);
    tell_changes(n);
    outage_tick(&n->outage);
}

void names_keep_begin(struct names *n)
{
    n->round++;
}

void names_keep(struct names *n, bool is_user, const char *name, bool quiet)
{
    struct entry *e;
    uint32_t id;

    if (id_parse(name, &id))
        return;
    pthread_mutex_lock(&n->lock);
    e = get(n, is_user, name);
    if (e) {
        e->kept_in = n->round;
        e->quiet = quiet;
    }
    pthread_mutex_unlock(&n->lock);
}

void names_keep_end(struct names *n)
{
    struct entry *e, *next;

    pthread_mutex_lock(&n->lock);
    for (e = RB_MIN(entry_tree, &n->entries); e; e = next) {
        next = RB_NEXT(entry_tree, &n->entries, e);
        if (e->kept_in != n->round && !e->being_read)
            forget(n, e);
        else if (e->kept_in == n->round && e->answer == UNASKED)
            look_up_later(n, e);
    }
    pthread_mutex_unlock(&n->lock);
}

void names_learn(struct names *n, const char *name, uint32_t id)
{
    struct entry *e;

    pthread_mutex_lock(&n->lock);
    e = find(n, true, name);
    if (e)
        take(n, e, 0, id);
    pthread_mutex_unlock(&n->lock);
    tell_changes(n);
}

struct outage *names_outage(struct names *n)
{
    return &n->outage;
}

void names_start(struct names *n, struct worker_pool *pool, void (*changed)(void *data), void *data)
{
    n->pool = pool;
    n->changed = changed;
    n->data = data;
}

int names_new(struct names **ret)
{
    struct names *n = calloc(1, sizeof *n);

    if (!n)
        return -ENOMEM;
    pthread_mutex_init(&n->lock, NULL);
    *ret = n;
    return 0;
}

void names_free(struct names *n)
{
    struct entry *e;

    if (!n)
        return;
    while ((e = RB_ROOT(&n->entries)))
        forget(n, e);
    pthread_mutex_destroy(&n->lock);
    free(n);
}
