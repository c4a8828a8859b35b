// A user database that the test makes up, for the daemons that it starts and for nobody else: an /etc of its own, in
// a mount namespace of the test process, in which /etc/nsswitch.conf names the module nss_module.c.
#pragma once
#include <stddef.h>

struct user_database {
    char dir[128]; // holds passwd, group and mode, and the copy of /etc
};

// Ends the program as skipped where that can't be had.  To be called before the program starts a daemon, once.
void user_database_make(struct user_database *u);
void user_database_remove(struct user_database *u);
// Each replaces a file as a whole.  USERS: lines "NAME:UID:GID".  GROUPS: lines "NAME:GID:MEMBER,MEMBER".
void user_database_users(const struct user_database *u, const char *users);
void user_database_groups(const struct user_database *u, const char *groups);
void user_database_subuid(const struct user_database *u, const char *ranges); // of /etc/subuid
// Tells the database what it does from now on: "", "away", "again", "empty", "slow N", or "hang"; see nss_module.c.
void user_database_mode(const struct user_database *u, const char *mode);
// How often the database was asked for a user or a group so far.
size_t user_database_asked(const struct user_database *u);

// The database of a program that has one from its first test to its last: cmocka's fixtures for the group.
extern struct user_database database;
int make_database(void **state);
int remove_database(void **state);
