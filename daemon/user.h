// Who a uid is: name, primary group, all groups, by the user database and never by what a peer says.  Looked up on a worker,
// kept while anybody refers to it, asked again when older than a minute.
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "daemon/quota/quota.h"
#include "daemon/tree.h"
#include "daemon/work/worker.h"

enum { USER_NAME_MAX = 64 };

// What the user database says.
struct user_entry {
    char name[USER_NAME_MAX]; // "+1000" when it knows none
    gid_t gid;
    gid_t *groups; // all of them, the primary too
    size_t n_groups;
};
// Blocks. False: the database did not answer; RET is then a user of no name and no groups, as one that it does not know.
bool user_entry_read(uid_t uid, struct user_entry *ret);

struct user_waiter {
    void (*ready)(struct user_waiter *waiter);
    TAILQ_ENTRY(user_waiter) entry;
    bool waiting;
};

struct conn;
struct peer;
struct user_table;

struct user {
    struct user_table *table;
    uid_t uid;
    unsigned n_refs;
    uint64_t n_releasing; // regions about to give their charge back
    unsigned n_waiting;   // growth of theirs in the wait queue
    unsigned n_silent;    // connections that have not been let in yet
    uint64_t n_attachments;
    bool known, being_read;
    uint64_t read_at; // ms, monotonic
    struct user_entry entry, fresh;
    bool was_answered; // fresh is what the database says
    struct quota_user *quota;
    struct work work;
    TAILQ_HEAD(, user_waiter) waiters;
    TAILQ_HEAD(, peer) peers;              // its connections
    TAILQ_HEAD(user_conns, conn) readable; // those that have something to say: conn.c's, as the next
    TAILQ_ENTRY(user) turn;
    RB_ENTRY(user) node;
};

// 0 or -ENOMEM.
int user_table_new(struct worker_pool *pool, struct quota *quota, struct user_table **ret);
void user_table_free(struct user_table *t);
// Takes CONFIG (which must live until the next call) and sets everybody's limits by it.  0 or -ENOMEM.
int user_table_configure(struct user_table *t, const struct config *config, uint64_t disk_total);

// Found or made, with a reference; NULL: no memory.  May not be known yet.
struct user *user_ref(struct user_table *t, uid_t uid);
void user_unref(struct user *u);
// WAITER->ready is called from the loop once the user is known, at once if it is already.
void user_await(struct user *u, struct user_waiter *waiter);
void user_forget_waiter(struct user *u, struct user_waiter *waiter);
// Blocks: at start only.
void user_read_now(struct user *u);
// Among the users that are known and referred to: borrowed, or NULL.
struct user *user_find_by_name(struct user_table *t, const char *name);
// Asks the user database anew about everybody: their groups and limits follow.
void user_table_refresh(struct user_table *t);
// Whose own account A is, or NULL.
struct user *user_find_by_account(struct user_table *t, const struct quota_account *a);
bool user_in_group(const struct user *u, gid_t gid);
