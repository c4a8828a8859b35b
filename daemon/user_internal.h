// The table of users: shared by user.c and lookup.c.
#pragma once
#include "daemon/user.h"

RB_HEAD(user_tree, user);
RB_HEAD(user_name_tree, user);

struct user_table {
    struct worker_pool *pool;
    struct quota *quota;
    struct names *names;
    struct user_tree users;
    struct user_name_tree by_name;
    size_t n_users;
    uid_t cursor;               // the tick goes on with this uid
    TAILQ_HEAD(, user) awaited; // users with waiters
    struct rounds answered;     // waiters whose answer is there
    TAILQ_HEAD(, user) recent;  // references to n_recent users, in the order of their last answers
    unsigned n_recent;
    struct user_waiters at_start; // wait for the users found at start
    unsigned n_starting;          // users found at start who were not looked up yet
    uint64_t start_until;         // ms: nobody waits for these any longer
    void (*changed)(void *data, struct user *u);
    void *changed_data;
};

void user_changed(struct user *u);   // calls the function of user_table_on_change
void user_drop_name(struct user *u); // U has no name any longer, for user_find_by_name
struct user *user_insert_name(
    struct user *u); // U has a name from now on; or the user who has this name already, and nothing has changed
