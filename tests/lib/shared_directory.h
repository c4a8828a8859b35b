// A directory that several users share, without a daemon.  The program has one at a time.
#pragma once
#include "tests/lib/test_backend.h"

enum { ALICE = 61234, BOB = 61235, CAROL = 61236 };

void shared_directory_make(void);
void shared_directory_remove(void);
const char *shared_directory(void);         // its path
const char *in_directory(const char *name); // a path, valid until the next call
struct diskalloc *open_directory(void);
// STEP in a process of user UID, with a client of its own.
void as_user(uid_t uid, void (*step)(struct diskalloc *da));
int open_mode(struct diskalloc *da, const char *name, uint32_t mode, uint32_t flags, struct diskalloc_region **ret);
void make_with_mode(struct diskalloc *da, const char *name, uint32_t mode);
void make_three(struct diskalloc *da);  // private, read and write: what the other users may do
void expect_sentence(const char *part); // of diskalloc_last_error
