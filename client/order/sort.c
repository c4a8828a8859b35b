// Sorting, in memory or beyond it.
//
// A vector that fits into memory is sorted in place by all threads (client/order/pool.c), a larger one
// in runs that are merged (client/order/beyond.c).
#include "client/order/sort.h"

#include <diskalloc/order.h>
#include <stdbool.h>

#include "client/order/beyond.h"
#include "client/order/pool.h"

static bool sort_beyond(const struct sort_job *job)
{
    struct beyond b;

    if (beyond_init(&b, job) < 0)
        return false;
    beyond_make_runs(&b);
    beyond_merge(&b);
    beyond_arrange(&b);
    beyond_deinit(&b);
    return true;
}

void sort_elements(const struct sort_job *job)
{
    if (job->n < 2)
        return;
    // Without memory for buffers, quicksort takes its place, and reads and writes more.
    if (job->n > job->memory / job->order->element_size && sort_beyond(job))
        return;
    pool_begin(job->pool, job->order, job->at, job->n);
    pool_wait(job->pool);
}
