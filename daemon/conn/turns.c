// Users take turns, and so do the connections of a user.
//
// Each connection with something to read is in its user's list, and each user with such connections is in the list of
// the user who has a turn for them, its party.  That is the user itself, unless its uid is lent: whoever has 65,536
// uids of /etc/subuid has one turn with all of them.  A user whose budget is spent is taken out (held_up) and put back
// when there is room again.
//
// The parties are in the tree env->readable, by the time that the loop has worked for each, and the one that it has
// worked for least is next.  Packets count, and beginnings and ends of connections.  Operations and events do not: with
// operations counted, a grow took twice as long beside users who ask for lists.  This is start-time fair queueing
// (P. Goyal, H. Vin, H. Cheng: Start-time Fair Queueing, SIGCOMM 1996), with a weight of 1 for each party.
//
// A party that comes back begins where the one is that was served last, or up to MOST_SAVED_US before.  So it has not
// saved up much; but whoever asks for less than their share, and once for something that takes long, does not wait for
// that with the next packet.
#include <errno.h>
#include <event2/event.h>

#include "daemon/conn/connection.h"
#include "daemon/tree.h"
#include "daemon/user.h"
#include "proto/util/checked.h"

enum {
    TICK_MS = 100,
    MOST_DEBT_US = 100 * 1000, // by which others are served before a party, whatever its connections have cost
    MOST_SAVED_US = 100,       // by which a party that asked for little is served before others
};

static int compare(const struct user *a, const struct user *b)
{
    if (a->turn_us != b->turn_us)
        return a->turn_us > b->turn_us ? 1 : -1;
    return (a->uid > b->uid) - (a->uid < b->uid);
}

TREE_GENERATE(turn_tree, user, party_turn, compare)

// Where the next turn of PARTY begins.
static uint64_t begin_of(const struct conn_env *env, const struct user *party)
{
    return u64_max(party->turn_us, env->turn_us - u64_min(env->turn_us, MOST_SAVED_US));
}

static void put_into_tree(struct conn_env *env, struct user *u)
{
    struct user *party = u->turn_of = user_party(u);

    party->n_refs++;
    if (TAILQ_EMPTY(&party->turn_members)) {
        party->turn_us = begin_of(env, party);
        RB_INSERT(turn_tree, &env->readable, party);
    }
    TAILQ_INSERT_TAIL(&party->turn_members, u, turn);
    env->n_readable += u->n_readable;
}

static void take_out_of_tree(struct conn_env *env, struct user *u)
{
    struct user *party = u->turn_of;

    TAILQ_REMOVE(&party->turn_members, u, turn);
    if (TAILQ_EMPTY(&party->turn_members))
        RB_REMOVE(turn_tree, &env->readable, party);
    env->n_readable -= u->n_readable;
    u->turn_of = NULL;
    user_unref(party);
}

static bool is_in_tree(const struct user *u)
{
    return !u->held_up && u->n_readable > 0;
}

// As budget.has_room: U may go on.
static void has_room(void *data, struct user *u)
{
    struct conn_env *env = data;

    TAILQ_REMOVE(&env->held_up, u, turn);
    u->held_up = false;
    if (u->n_readable > 0)
        put_into_tree(env, u);
}

static void tick_soon(struct conn_env *env)
{
    static const struct timeval soon = {.tv_usec = TICK_MS * 1000L};

    if (!event_pending(env->turns_tick, EV_TIMEOUT, NULL))
        event_add(env->turns_tick, &soon);
}

// All users together may hold less than before.
static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct conn_env *env = data;
    struct user *u, *next;

    (void)fd;
    (void)what;
    for (u = TAILQ_FIRST(&env->held_up); u; u = next) {
        next = TAILQ_NEXT(u, turn);
        if (!budget_is_spent(&env->request->budget, u))
            has_room(env, u);
    }
    if (!TAILQ_EMPTY(&env->held_up))
        tick_soon(env);
}

int turns_init(struct conn_env *env)
{
    RB_INIT(&env->readable);
    TAILQ_INIT(&env->held_up);
    env->request->budget.has_room = has_room;
    env->request->budget.data = env;
    env->turns_tick = evtimer_new(env->base, on_tick, env);
    return env->turns_tick ? 0 : -ENOMEM;
}

void turns_deinit(struct conn_env *env)
{
    env->request->budget.has_room = NULL;
    if (env->turns_tick)
        event_free(env->turns_tick);
}

void turns_queue(struct conn *c)
{
    struct user *u = c->peer.user;

    if (is_in_tree(u))
        c->env->n_readable++;
    TAILQ_INSERT_TAIL(&u->readable, c, readable_entry);
    c->queued = true;
    if (++u->n_readable == 1 && !u->held_up)
        put_into_tree(c->env, u);
}

void turns_unqueue(struct conn *c)
{
    struct user *u = c->peer.user;

    if (!c->queued)
        return;
    if (is_in_tree(u))
        take_out_of_tree(c->env, u);
    TAILQ_REMOVE(&u->readable, c, readable_entry);
    c->queued = false;
    u->n_readable--;
    if (is_in_tree(u))
        put_into_tree(c->env, u);
    // A user is freed with the last connection and request: nobody is held up without either.
    if (u->n_readable == 0 && u->held_up)
        has_room(c->env, u);
}

struct conn *turns_next(struct conn_env *env)
{
    const struct user *party;

    while ((party = RB_MIN(turn_tree, &env->readable))) {
        struct user *u = TAILQ_FIRST(&party->turn_members);

        env->turn_us = u64_max(env->turn_us, party->turn_us);
        if (!budget_is_spent(&env->request->budget, u))
            return TAILQ_FIRST(&u->readable);
        take_out_of_tree(env, u);
        u->held_up = true;
        TAILQ_INSERT_TAIL(&env->held_up, u, turn);
        tick_soon(env);
    }
    return NULL;
}

void turns_charge(struct conn_env *env, struct user *u, uint64_t us)
{
    struct user *party = u->turn_of ? u->turn_of : user_party(u);
    bool waits = !TAILQ_EMPTY(&party->turn_members);

    if (waits)
        RB_REMOVE(turn_tree, &env->readable, party);
    party->turn_us = u64_min(begin_of(env, party) + us, env->turn_us + MOST_DEBT_US);
    if (waits)
        RB_INSERT(turn_tree, &env->readable, party);
}
