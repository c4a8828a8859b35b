// Requests that no thread waits for: the thread that sent one looks for the answer later.  Until then any thread that
// reads the connection may put the answer into the call.
#include "client/link/post.h"

#include <errno.h>
#include <sys/socket.h>

#include "client/link/link_internal.h"

static int post(struct link *link, struct call *c, const uint8_t *bytes, size_t n)
{
    uint64_t epoch = link->epoch;
    int r = link_flush_leaving(link);

    if (r == 0 && (!link->connection || epoch != link->epoch))
        r = -EAGAIN;
    if (r == 0)
        r = link_try_send(link, bytes, n);
    if (r < 0)
        return -EAGAIN;
    TAILQ_INSERT_TAIL(&link->calls, c, entry);
    return 0;
}

int link_post(struct link *link, WireRequest *q, struct call *c)
{
    uint8_t bytes[REQUEST_MAX];
    size_t n = 0;
    int r;

    *c = (struct call){.answer.fd = -1};
    pthread_mutex_lock(&link->lock);
    c->id = q->id = ++link->last_id;
    r = request_pack(q, bytes, &n);
    if (r == 0)
        r = post(link, c, bytes, n);
    if (r == 0)
        pthread_cond_init(&c->changed, NULL);
    link_hand_over_reading(link);
    pthread_mutex_unlock(&link->lock);
    return r;
}

static void forget(struct link *link, struct call *c)
{
    TAILQ_REMOVE(&link->calls, c, entry);
    pthread_cond_destroy(&c->changed);
}

int link_collect(struct link *link, struct call *c, bool wait, struct answer *ret)
{
    int r;

    pthread_mutex_lock(&link->lock);
    c->awaited = wait;
    if (wait)
        link_await(link, c);
    else
        while (!c->answer.reply && !c->lost && !link->reading && link_read_one(link, MSG_DONTWAIT))
            ;
    c->awaited = false;
    r = c->answer.reply ? 0 : c->lost ? -EPIPE : -EAGAIN;
    if (r == 0)
        *ret = c->answer;
    if (r != -EAGAIN)
        forget(link, c);
    link_hand_over_reading(link);
    pthread_mutex_unlock(&link->lock);
    return r;
}

void link_drop(struct link *link, struct call *c)
{
    pthread_mutex_lock(&link->lock);
    if (!c->answer.reply && !c->lost)
        link->n_unawaited++;
    answer_deinit(&c->answer);
    forget(link, c);
    pthread_mutex_unlock(&link->lock);
}
