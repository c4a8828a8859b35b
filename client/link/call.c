// Requests whose answers are waited for, on another connection if the first one is lost.
//
// Calls that wait for space take turns.  The daemon reads 64 requests of a connection ahead; were all of them
// waiting, it would never read of the region that another thread closes or shrinks, and all would wait for ever.  So
// at most WAITERS_MAX calls of a client wait for space at the daemon; the others wait here.
#include <errno.h>

#include "client/link/link_internal.h"
#include "proto/util/clock.h"

enum {
    WAITERS_MAX = 32,
    WAITS = 1 << 8, // beside enum link_flag: the request is a GrowRegion with a deadline
};

// Sends the request of C and waits for the answer.  0; -EPIPE: the connection was lost; -ENOTCONN: it was lost before
// the request was sent.
static int exchange(struct link *link, struct call *c, const uint8_t *bytes, size_t n)
{
    int r;

    TAILQ_INSERT_TAIL(&link->calls, c, entry);
    c->awaited = true;
    r = link_send_call(link, c, bytes, n);
    if (r == 0)
        link_await(link, c);
    TAILQ_REMOVE(&link->calls, c, entry);
    link_hand_over_reading(link);
    if (c->answer.reply)
        return 0;
    return r == 0 ? -EPIPE : -ENOTCONN;
}

// Sends the request once, on the present connection.  A daemon that says that it is shutting down counts as a lost
// connection.
static int attempt(struct link *link, WireRequest *q, struct answer *ret)
{
    struct call c = {.answer.fd = -1};
    uint8_t bytes[REQUEST_MAX];
    size_t n = 0;
    int r;

    c.id = q->id = ++link->last_id;
    r = request_pack(q, bytes, &n);
    if (r < 0)
        return r;
    pthread_cond_init(&c.changed, NULL);
    r = exchange(link, &c, bytes, n);
    pthread_cond_destroy(&c.changed);
    if (r == 0 && c.answer.reply->error && c.answer.reply->error->code == DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN) {
        if (c.answer.epoch == link->epoch)
            link_lose(link);
        answer_deinit(&c.answer);
        r = -EPIPE;
    }
    if (r == 0)
        *ret = c.answer;
    return r;
}

// The first try may have attached the region.  Without this the daemon would think that another process of this
// program's may still map it.
static void say_repeated(WireRequest *q)
{
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION)
        q->attach_region->repeated = true;
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_OPEN_REGION)
        q->open_region->repeated = true;
}

static int call_until_answered(struct link *link, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret)
{
    struct deadline deadline = {.latest = until};
    bool repeated = false;
    uint64_t began;
    int r;

    pthread_mutex_lock(&link->lock);
    for (;;) {
        r = link_connect(link, &deadline);
        if (r < 0)
            break;
        if (flags & WAITS)
            q->grow_region->wait_ms = clock_left(until);
        began = clock_now();
        r = attempt(link, q, ret);
        if (r != -EPIPE && r != -ENOTCONN)
            break;
        if (r == -EPIPE && flags & LINK_ONCE) {
            r = -EINTR;
            break;
        }
        repeated |= r == -EPIPE;
        if (repeated)
            say_repeated(q);
        link_note_lost(&deadline, began);
    }
    pthread_mutex_unlock(&link->lock);
    ret->repeated = repeated;
    // A request that was sent may have been carried out, whatever keeps this process from connecting again.
    return r < 0 && repeated ? link_answer_lost(r) : r;
}

static void take_turn(struct link *link, uint64_t until)
{
    pthread_mutex_lock(&link->lock);
    while (link->n_waiting >= WAITERS_MAX && clock_left(until) > 0)
        link_sleep(link, &link->turn, until);
    link->n_waiting++;
    pthread_mutex_unlock(&link->lock);
}

static void end_turn(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->n_waiting--;
    pthread_cond_signal(&link->turn);
    pthread_mutex_unlock(&link->lock);
}

int link_call(struct link *link, WireRequest *q, unsigned flags, struct answer *ret)
{
    return call_until_answered(link, q, flags, UINT64_MAX, ret);
}

// A call whose turn does not come in time asks all the same, with no time left to wait: the daemon then says which
// limit refuses.
int link_call_until(struct link *link, WireRequest *q, uint64_t until, struct answer *ret)
{
    int r;

    take_turn(link, until);
    r = call_until_answered(link, q, WAITS, until, ret);
    end_turn(link);
    return r;
}
