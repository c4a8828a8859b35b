// Users: who a uid is (name, primary group, all groups), as the user database says and never as a peer says.  Users are looked up on a
// worker, kept as long as anything refers to them, and looked up again when the answer is older than a minute.  All functions are called
// on the loop, unless something else is said.
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "daemon/quota/quota.h"
#include "daemon/tree.h"
#include "daemon/work/worker.h"

enum { USER_NAME_MAX = 64 };

// What the user database says about a uid.
struct user_entry {
    char name[USER_NAME_MAX]; // "+1000" if the database has no name
    gid_t gid;
    gid_t *groups; // all groups, the primary one too
    size_t n_groups;
};
// Blocks.  False: the database did not answer; RET is then a user without name and groups, like a uid that the database does not know.
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
    uint64_t n_releasing; // regions that are about to give their charge back
    unsigned n_waiting;   // operations on this user's regions in the wait queue
    unsigned n_silent;    // connections whose Hello was not granted yet
    uint64_t n_attachments;
    bool known, being_read;
    uint64_t read_at; // when entry was read: ms, monotonic
    struct user_entry entry, fresh;
    bool was_answered; // written by the worker, with fresh: the database has answered
    struct quota_user *quota;
    struct work work;
    TAILQ_HEAD(, user_waiter) waiters;
    TAILQ_HEAD(, peer) peers;              // the user's connections
    TAILQ_HEAD(user_conns, conn) readable; // connections with something to read; written by daemon/conn, like turn
    TAILQ_ENTRY(user) turn;
    RB_ENTRY(user) node;
};

// 0 or -ENOMEM.
int user_table_new(struct worker_pool *pool, struct quota *quota, struct user_table **ret);
void user_table_free(struct user_table *t);
// Sets the limits of all users by CONFIG, which must live until the next call.  0 or -ENOMEM.
int user_table_configure(struct user_table *t, const struct config *config, uint64_t disk_total);

// Finds or makes a user, and takes a reference.  NULL: no memory.  The user may not have been looked up yet (known).
struct user *user_ref(struct user_table *t, uid_t uid);
void user_unref(struct user *u);
// Calls WAITER->ready on the loop when the user is known; at once if the user is known already.
void user_await(struct user *u, struct user_waiter *waiter);
void user_forget_waiter(struct user *u, struct user_waiter *waiter);
// Looks the user up at once, and blocks: at start only.
void user_read_now(struct user *u);
// Finds a known user.  NULL: none is called NAME.  Takes no reference.
struct user *user_find_by_name(struct user_table *t, const char *name);
// Looks all users up again; their groups and limits follow.
void user_table_refresh(struct user_table *t);
// The user whose own account A is, or NULL.
struct user *user_find_by_account(struct user_table *t, const struct quota_account *a);
bool user_in_group(const struct user *u, gid_t gid);
