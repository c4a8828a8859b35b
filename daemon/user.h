// Users: who a uid is (name, primary group, all groups), as the user database says (lookup.h) and never as a peer
// says.  Users are kept as long as anything refers to them.  All functions are called on the loop.
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/quota/quota.h"
#include "daemon/rounds.h"
#include "daemon/tree.h"
#include "daemon/user_entry.h"
#include "daemon/work/worker.h"

struct user_waiter {
    void (*ready)(struct user_waiter *waiter);
    struct user *user; // lookup.c's, like the fields below
    TAILQ_ENTRY(user_waiter) entry;
    struct rounds_item of_answered; // while it waits for its turn to be told
    bool waiting;
    bool at_start;     // waits for the users found at start as well
    uint64_t deadline; // ms, monotonic
};
TAILQ_HEAD(user_waiters, user_waiter);

struct attachment;
struct conn;
struct names;
struct news;
struct peer;
struct request;
struct suspicion;
struct user_table;

TAILQ_HEAD(suspicion_list, suspicion);

struct user {
    struct user_table *table;
    uid_t uid;
    unsigned n_refs;
    uint64_t n_releasing; // regions that are about to give their charge back
    struct waits *waits;  // op/wait.c's: NULL: no operation of this user waits
    unsigned n_asks;      // shrinks of this user that wait for the agreement of others: op/ask.c's
    unsigned n_probes;    // regions that orphans.c has probed at this moment
    unsigned n_leaving;   // connections that end, and have regions or requests: conn/leaving.c's
    unsigned n_silent;    // connections whose Hello was not granted yet
    unsigned n_held;      // requests in flight and descriptors under way: request/budget.c's
    uint64_t n_attachments;
    uint64_t n_making; // the sum of its peers' n_making: request/request.c's
    // op/verify.c's:
    uint64_t tampering_told_at; // ms, monotonic; 0: never
    unsigned n_tampering_told;  // since then
    struct quota_user *quota;
    struct user_entry entry;
    // lookup.c's:
    bool known;          // there was an answer, or it is settled that there is none for the time being
    bool being_read;     // a look-up is on its way
    bool failing;        // the last look-up got no answer
    bool check_name;     // another user had the same name: look-ups ask whose name it is
    bool found_at_start; // counted in the table's n_starting
    bool is_recent;      // kept for the sake of its answer: in the table's list
    TAILQ_ENTRY(user) of_recent;
    unsigned n_failures;    // look-ups without an answer since the last answer
    uint64_t read_at;       // ms, monotonic: the last answer
    uint64_t asked_at;      // ms: the last look-up began
    uint64_t due_at;        // ms: the next look-up
    uint64_t missing_since; // ms; 0: the last answer had the uid
    struct user_entry fresh;
    bool asks_whose;   // check_name before the look-up, for the worker
    bool was_answered; // written by the worker, with fresh: the database has answered
    gid_t *former;     // the groups before the look-up, for the worker
    size_t n_former;
    struct work work;
    struct user_waiters waiters;
    TAILQ_ENTRY(user) awaited;    // if there are waiters
    struct rounds_owner answered; // waiters whose answer is there
    RB_ENTRY(user) by_name;       // if entry.has_name
    // orphans.c's:
    TAILQ_HEAD(, region) due_orphans;
    TAILQ_ENTRY(user) of_orphans; // if there are due orphans
    // suspects.c's:
    struct suspicion_list due_suspects;
    unsigned n_looks;      // at regions of this user, under way
    bool has_due_suspects; // in the ring of owners
    TAILQ_ENTRY(user) of_suspects;
    // news.c's:
    TAILQ_HEAD(news_list, attachment)
    news;                   // attachments of this user's connections whose clients have to be told something
    struct news *news_ring; // NULL: there are none
    TAILQ_ENTRY(user) of_news;
    // account.c's:
    struct quota_account *shared_account; // takes the place of this user's own account; NULL: none does
    struct user *lender;                  // a reference: the user to whom this uid is lent; NULL: nobody
    TAILQ_HEAD(, user) borrowers;         // the users whose lender this user is
    TAILQ_ENTRY(user) borrower;
    TAILQ_HEAD(, peer) peers; // the user's connections
    // request/hello.c's: connections that end and are still charged, and Hellos that wait for one of them
    unsigned n_ending, n_entering;
    TAILQ_HEAD(, request) entering;
    // The connections with something to read, n_readable of them; written by daemon/conn, like the next seven.
    TAILQ_HEAD(, conn) readable;
    unsigned n_readable;
    bool held_up; // the user's budget was spent: nothing is read from these connections
    TAILQ_ENTRY(user) turn;
    struct user *turn_of; // a reference: the user (user_party) who has a turn for these connections; NULL: nobody has
    TAILQ_HEAD(user_members, user) turn_members; // the users for whom this one has a turn
    RB_ENTRY(user) party_turn;                   // if there are some
    uint64_t turn_us; // the time that the loop has worked for them, and when they asked for nothing, for somebody else
    struct rounds_owner changed;   // connections that have to be settled: conn/connection.c's
    struct rounds_owner leaving;   // connections that have ended and still have regions: conn/leaving.c's
    struct rounds_owner abandoned; // requests of connections that have ended: request/request.c's
    RB_ENTRY(user) node;
};

// 0 or -ENOMEM.
int user_table_new(struct worker_pool *pool, struct quota *quota, struct user_table **ret);
void user_table_free(struct user_table *t);
// The answer of NAMES about a name wins over the answer of this table.  NULL, as at first: there is no such table.
void user_table_set_names(struct user_table *t, struct names *names);
// From now on CHANGED is called when a user was made, and when the user database says something else of a user.
void user_table_on_change(struct user_table *t, void (*changed)(void *data, struct user *u), void *data);
// The user with the next uid after U, or the first user if U is NULL.  NULL: there is none.
struct user *user_next(struct user_table *t, const struct user *u);
struct user *user_from(struct user_table *t, uid_t uid); // the user with this uid or the next one; NULL: there is none

// Finds or makes a user, and takes a reference.  NULL: no memory.  The user may not have been looked up yet (known).
struct user *user_ref(struct user_table *t, uid_t uid);
void user_unref(struct user *u);
// Finds a user.  NULL: none here is called NAME.  Takes no reference.
struct user *user_find_by_name(struct user_table *t, const char *name);
// Makes the user with the uid LENDER the lender of U; (uid_t)-1: nobody.  0; or -ENOMEM, then U has no lender.
int user_set_lender(struct user *u, uid_t lender);
// The user who has a turn for U, where users take turns: the one to whom the uid of U is lent, or else U.
struct user *user_party(struct user *u);
// The lane of workers (struct work) for U: all uids that count in one account share a lane.
uint32_t user_lane(const struct user *u);
const char *user_name(const struct user *u); // to be shown
bool user_in_group(const struct user *u, gid_t gid);
