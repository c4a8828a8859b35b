// The names that the configuration mentions, and the numbers that they mean in the user database.  The database comes
// and goes, and so do the users in it: each name is looked up again and again, and while the database does not
// answer, its last answer holds.
//
// See the essay in names.c.  names_find, names_resolve and names_ask may be called on any thread, the other functions
// on the loop only.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct names;
struct outage;
struct worker_pool;

int names_new(struct names **ret); // 0 or -ENOMEM
void names_free(struct names *n);  // after the workers have stopped
// Look-ups run on POOL from now on.  CHANGED is called on the loop when names mean something else than before.
void names_start(struct names *n, struct worker_pool *pool, void (*changed)(void *data), void *data);
// For start and reload: names_resolve may wait for MS in all from now on.
void names_set_budget(struct names *n, unsigned ms);

// The functions below return 0; -ENOENT: the database knows no such user (or group); -EAGAIN: nobody knows yet.
// The last answer.
int names_find(struct names *n, bool is_user, const char *name, uint32_t *ret);
// For config_load (N is a struct names): the last answer.  If there is none, asks the database and waits as long as
// the budget allows.
int names_resolve(void *n, bool is_user, const char *name, uint32_t *ret);
// Asks the database anew, and waits for a second.  Without an answer until then: the last answer.
int names_ask(struct names *n, bool is_user, const char *name, uint32_t *ret);

// Says which names are of interest: names_keep for each of them, between the other two.  Names that were not kept are
// forgotten.  QUIET: the log says nothing if the name is unknown.
void names_keep_begin(struct names *n);
void names_keep(struct names *n, bool is_user, const char *name, bool quiet);
void names_keep_end(struct names *n);

void names_refresh(struct names *n); // looks all names up again
void names_tick(struct names *n);    // once a second: looks up again what is due
// Somebody else has asked the database: the user NAME has the uid ID.
void names_learn(struct names *n, const char *name, uint32_t id);
struct outage *names_outage(struct names *n);
