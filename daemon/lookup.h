// Looking users up in the user database, on workers: when they connect, and again and again.  All functions are
// called on the loop.
#pragma once
#include "daemon/user.h"

// Looks U up, unless that was done within the last second, and calls WAITER->ready.  If the database takes long,
// READY is called all the same, after a second if there is a former answer, and else after some seconds; then U
// counts as unknown until there is an answer.
void lookup_await(struct user *u, struct user_waiter *waiter);
void lookup_forget(struct user *u, struct user_waiter *waiter);
// Calls READY of MOST waiters whose answer has come; users take turns.  False: there was none.
bool lookup_tell(struct user_table *t, unsigned most);
bool lookup_has_answers(const struct user_table *t); // lookup_tell would call some
// U owns regions that were found at start: looks U up, and has those who await a user in the first second wait for
// that as well.
void lookup_at_start(struct user *u);
void lookup_begin(struct user *u);      // looks U up again
void lookup_all(struct user_table *t);  // looks all users up again
void lookup_tick(struct user_table *t); // once a second: looks up again who is due, and ends waits that are too long
void lookup_names_changed(struct user_table *t); // the names of user_table_set_names have new answers
