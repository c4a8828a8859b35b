// The answer of the user database about one uid: its name, its groups, or to whom it is lent.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct names;

enum { USER_NAME_MAX = 1024 }; // bytes, with the NUL, of a name that a client sends

struct user_entry {
    char *
        name; // to be shown: "+1000" if the database has no name, or one that is no text, or one that means another uid
    gid_t gid;
    gid_t *groups; // all groups, the primary one too
    size_t n_groups;
    bool is_listed;   // the database knows the uid
    bool has_name;    // NAME is no number
    bool is_verified; // the database was asked whose name it is
    bool is_lent;     // the database does not know the uid, and /etc/subuid lends it to LENDER
    uid_t lender;
};

// Blocks: on workers only.  CHECK_NAME: somebody else claims this uid's name.  NAMES may be NULL.  FORMER are the
// groups of the last answer. False: the database did not answer, and RET is empty.
bool user_entry_read(uid_t uid, bool check_name, struct names *names, const gid_t *former, size_t n_former,
                     struct user_entry *ret);
bool user_entry_equal(const struct user_entry *a, const struct user_entry *b); // is_verified aside
void user_entry_deinit(struct user_entry *e);                                  // idempotent
char *user_entry_number(uid_t uid);                                            // "+1000", to be freed; NULL: no memory
