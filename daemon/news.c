// Which clients have to be told something about a region that they have attached: its size has changed, or they are
// asked whether it may be cut.
//
// A change may concern thousands of attachments, and there may be very many changes.  So an attachment stands in the
// queue once, however many changes there were, and what is sent is what is true at that moment (request/changes.c).
// Users take turns, and the connections send a few events at a time (conn/tell.c).
// An attachment whose client does not read waits in a list of its connection (news_hold).  So the queue needs no memory
// of its own.
#include "daemon/news.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/region.h"
#include "daemon/user.h"

struct news {
    TAILQ_HEAD(news_ring, user) ring; // users with attachments in user.news
};

int news_new(struct news **ret)
{
    struct news *n = calloc(1, sizeof *n);

    if (!n)
        return -ENOMEM;
    TAILQ_INIT(&n->ring);
    *ret = n;
    return 0;
}

void news_free(struct news *n)
{
    assert(!n || TAILQ_EMPTY(&n->ring));
    free(n);
}

bool news_is_empty(const struct news *n)
{
    return !n || TAILQ_EMPTY(&n->ring);
}

static void put_into_list(struct attachment *a, struct news_list *list)
{
    TAILQ_INSERT_TAIL(list, a, of_news);
    a->in_news = list;
    a->region->holders.n_news++;
}

static void take_out_of_list(struct attachment *a)
{
    TAILQ_REMOVE(a->in_news, a, of_news);
    a->in_news = NULL;
    a->region->holders.n_news--;
}

static void leave_ring_if_empty(struct user *u)
{
    if (!u->news_ring || !TAILQ_EMPTY(&u->news))
        return;
    TAILQ_REMOVE(&u->news_ring->ring, u, of_news);
    u->news_ring = NULL;
}

void news_add(struct news *n, struct attachment *a)
{
    struct user *u = a->user;

    if (a->in_news)
        return;
    put_into_list(a, &u->news);
    if (u->news_ring)
        return;
    TAILQ_INSERT_TAIL(&n->ring, u, of_news);
    u->news_ring = n;
}

struct attachment *news_take(struct news *n)
{
    struct user *u = n ? TAILQ_FIRST(&n->ring) : NULL;
    struct attachment *a;

    if (!u)
        return NULL;
    a = TAILQ_FIRST(&u->news);
    take_out_of_list(a);
    // The user's turn is over.
    TAILQ_REMOVE(&n->ring, u, of_news);
    TAILQ_INSERT_TAIL(&n->ring, u, of_news);
    leave_ring_if_empty(u);
    return a;
}

void news_hold(struct attachment *a, struct news_list *held)
{
    put_into_list(a, held);
}

bool news_release(struct news *n, struct news_list *held, unsigned most)
{
    struct attachment *a;

    for (; most > 0 && (a = TAILQ_FIRST(held)); most--) {
        take_out_of_list(a);
        news_add(n, a);
    }
    return TAILQ_EMPTY(held);
}

void news_forget(struct attachment *a)
{
    if (!a->in_news)
        return;
    take_out_of_list(a);
    leave_ring_if_empty(a->user);
}
