// How many calls of a client wait for space at the same time.  The daemon reads 64 requests of a connection ahead; were all of them
// waiting, it would never read of the region that another thread closes or shrinks, and they would wait for ever.  The others
// wait here.
#include "client/link/link_internal.h"
#include "proto/util/clock.h"

enum { WAITERS_MAX = 32 };

void link_take_turn(struct link *link, uint64_t until)
{
    pthread_mutex_lock(&link->lock);
    while (link->n_waiting >= WAITERS_MAX && clock_left(until) > 0)
        link_sleep(link, &link->turn, until);
    link->n_waiting++;
    pthread_mutex_unlock(&link->lock);
}

void link_end_turn(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->n_waiting--;
    pthread_cond_signal(&link->turn);
    pthread_mutex_unlock(&link->lock);
}
