// The budgets of users: how much of the daemon a user's requests may occupy at a time.  See the essay in budget.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct user;

struct budget {
    uint64_t held;                                   // the sum of user.n_held
    uint64_t most;                                   // of HELD, for all users together
    void (*has_room)(void *data, struct user *user); // USER, who was held up, may go on; the connections set it
    void *data;
};

void budget_init(struct budget *b);
void budget_take(struct budget *b, struct user *u);
void budget_give_back(struct budget *b, struct user *u, unsigned n);
// Whether no further request of U may be read now.  Whoever holds U up sets user.held_up.
bool budget_is_spent(const struct budget *b, const struct user *u);
