// The budgets of users.
//
// A user holds a share of the daemon by each request in flight, also when the connection of the request has ended
// meanwhile, and by each descriptor that was sent to a client and not received yet.  The kernel counts the latter
// against this process's limit of open files, and the former need memory and, soon, descriptors.  When a user holds
// too much, nothing more is read from that user's connections, until something has ended or was received.  Operations
// that wait for a limit do not count here: daemon/op/wait bounds them.
//
// Each user gets USER_MAX_HELD at most, and not more than all users together have left: so however many users want as
// much as they can get, each further user still gets something.  A user who holds nothing always gets a first
// request read.
#include "daemon/request/budget.h"

#include <assert.h>
#include <sys/resource.h>

#include "daemon/user.h"

enum {
    USER_MAX_HELD = 1024,
    LEAST_OF_ALL = 128, // for all users together, where the process may open few files
};

void budget_init(struct budget *b)
{
    struct rlimit files;

    *b = (struct budget){.most = UINT64_MAX};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        b->most = files.rlim_cur / 2 > LEAST_OF_ALL ? files.rlim_cur / 2 : LEAST_OF_ALL;
}

bool budget_is_spent(const struct budget *b, const struct user *u)
{
    uint64_t left = b->most > b->held ? b->most - b->held : 0;

    return u->n_held > 0 && (u->n_held >= USER_MAX_HELD || u->n_held >= left);
}

void budget_take(struct budget *b, struct user *u)
{
    u->n_held++;
    b->held++;
}

void budget_give_back(struct budget *b, struct user *u, unsigned n)
{
    assert(n <= u->n_held);
    u->n_held -= n;
    b->held -= n;
    if (u->held_up && b->has_room && !budget_is_spent(b, u))
        b->has_room(b->data, u);
}
