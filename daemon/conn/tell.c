// Events about regions, which clients get when they have their turn (daemon/news.h), and reports of what happens, for
// the clients that watch it (daemon/reports.h).
//
// Some are sent at a time (conn_serve).  A client that does not read is left alone: when
// MOST_UNHEARD events were sent to it, it gets more only after the kernel has said that it has received everything; and
// none while replies wait in its queue.  Until then its news are held, and become fewer events.  The client is looked
// at again when it sends something, and from time to time: some clients at each tick of a timer.
//
// Reports wait in the watcher's own queue until the socket has taken the last one: so one packet of them at most is in
// the queue of the connection's replies.  Very many may be due at once, when watchers that had not read begin to.  So
// REPORTS_AT_A_TIME are sent at a time, one to each watcher that has its turn.
#include <errno.h>
#include <event2/event.h>

#include "daemon/conn/connection.h"
#include "daemon/news.h"
#include "daemon/reports.h"
#include "daemon/request/changes.h"
#include "daemon/request/watch.h"
#include "proto/util/container.h"

enum {
    MOST_AT_A_TIME = 4,
    REPORTS_AT_A_TIME = 4,
    MOST_UNHEARD = 32,
    TICK_MS = 50,
    LOOKED_AT_A_TICK = 256, // connections, and a quarter of the others
    LOOKED_AT_A_TIME = 8,   // of these
};

static bool may_tell(struct conn *c)
{
    if (c->bad || c->ending || c->gone || c->replies.n > 0)
        return false;
    if (c->n_unheard >= MOST_UNHEARD && unread_was_taken(c->fd))
        c->n_unheard = 0;
    return c->n_unheard < MOST_UNHEARD;
}

static void tick_soon(struct conn_env *env)
{
    static const struct timeval soon = {.tv_usec = TICK_MS * 1000L};

    if (!event_pending(env->tell_tick, EV_TIMEOUT, NULL))
        event_add(env->tell_tick, &soon);
}

static void hold(struct conn *c, struct attachment *a)
{
    news_hold(a, &c->peer.held);
    if (!c->holds) {
        TAILQ_INSERT_TAIL(&c->env->holding, c, holding_entry);
        c->env->n_holding++;
    }
    c->holds = true;
    tick_soon(c->env);
}

void tell_forget(struct conn *c)
{
    if (c->holds) {
        TAILQ_REMOVE(&c->env->holding, c, holding_entry);
        c->env->n_holding--;
    }
    c->holds = false;
}

// False: there is nothing that can be sent now.
static bool tell_watcher(struct conn *c)
{
    return !c->bad && !c->ending && !c->gone && c->replies.n == 0 && watch_tell(&c->peer);
}

bool tell_reports(struct conn_env *env)
{
    struct reports *reports = env->request->op.reports;
    const unsigned n = reports_count_watchers(reports);
    unsigned told = 0;

    for (unsigned in_vain = 0; in_vain < n && told < REPORTS_AT_A_TIME;) {
        struct watcher *w = reports_take_turn(reports);

        if (tell_watcher(container_of(w, struct conn, peer.watcher))) {
            told++;
            in_vain = 0;
        } else {
            in_vain++;
        }
    }
    return told > 0;
}

void tell_ended(struct conn *c)
{
    struct report report = {
        .kind = REPORT_DISCONNECTED,
        .has_user = true,
        .uid = c->peer.holder.uid,
        .pid = c->peer.holder.pid,
        .client_name = c->peer.client_name,
    };

    if (c->peer.said_hello)
        reports_publish(c->env->request->op.reports, &report);
}

bool tell_serve(struct conn_env *env)
{
    struct news *news = env->request->op.news;
    struct attachment *a;
    int i;

    for (i = 0; i < MOST_AT_A_TIME && (a = news_take(news)); i++) {
        struct conn *c = container_of(a->peer, struct conn, peer);

        if (c->peer.has_parted)
            continue;
        if (may_tell(c)) {
            c->n_unheard++;
            changes_tell(a);
        } else {
            hold(c, a);
        }
    }
    return i > 0;
}

void tell_again(struct conn *c)
{
    if (!c->holds || !may_tell(c))
        return;
    // No more than may be sent: a client may have a hundred thousand regions attached.
    if (news_release(c->env->request->op.news, &c->peer.held, MOST_UNHEARD - c->n_unheard))
        tell_forget(c);
}

bool tell_look(struct conn_env *env)
{
    struct conn *c;
    int i;

    for (i = 0; i < LOOKED_AT_A_TIME && env->n_to_look > 0 && (c = TAILQ_FIRST(&env->holding)); i++) {
        env->n_to_look--;
        TAILQ_REMOVE(&env->holding, c, holding_entry);
        TAILQ_INSERT_TAIL(&env->holding, c, holding_entry);
        tell_again(c);
    }
    if (i < LOOKED_AT_A_TIME)
        env->n_to_look = 0;
    return i > 0;
}

// tell_look does it.
static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct conn_env *env = data;
    unsigned n = env->n_holding / 4 + LOOKED_AT_A_TICK;

    (void)fd;
    (void)what;
    env->n_to_look = n < env->n_holding ? n : env->n_holding;
    if (!TAILQ_EMPTY(&env->holding))
        tick_soon(env);
}

int tell_init(struct conn_env *env)
{
    TAILQ_INIT(&env->holding);
    env->tell_tick = evtimer_new(env->base, on_tick, env);
    return env->tell_tick ? 0 : -ENOMEM;
}

void tell_deinit(struct conn_env *env)
{
    if (env->tell_tick)
        event_free(env->tell_tick);
}
