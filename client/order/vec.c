// name_sort: what is checked before the elements are touched, and what the sort may use.
#include <diskalloc/order.h>

#include <errno.h>

#include "client/diskalloc.h"
#include "client/order/memory.h"
#include "client/order/pages.h"
#include "client/order/pool.h"
#include "client/order/sort.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "client/vec.h"
#include "proto/util/checked.h"
#include "proto/util/ranges.h"

#define SMALL ((uint64_t)4 << 20)       // bytes: always in memory; looking for limits would take as long as sorting
#define MEMORY_MIN ((uint64_t)16 << 20) // bytes that a sort takes also where there seem to be none

static int check(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size)
{
    int e = vec_check(r, len, cap, element_size);
    uint64_t gone;

    if (e < 0)
        return e;
    pthread_mutex_lock(&r->lock);
    gone = ranges_overlap(&r->backing->discarded, 0, (uint64_t)len * element_size);
    pthread_mutex_unlock(&r->lock);
    if (r->backing->read_only)
        return error_why(-EROFS, "the region is attached for reading only");
    return gone > 0 ? error_why(-EINVAL, "a part of the vector's elements was discarded") : 0;
}

static bool may_have_threads(struct diskalloc_region *r)
{
    return !r->da || r->da->threads;
}

static int file_of(struct diskalloc_region *r)
{
    int fd;

    pthread_mutex_lock(&r->lock);
    fd = region_keep_file(r);
    pthread_mutex_unlock(&r->lock);
    error_forget();
    return fd < 0 ? -1 : fd;
}

static void sort_beyond_memory(struct diskalloc_region *r, struct sort_job *job, uint64_t bytes)
{
    bool threads = may_have_threads(r);

    // The calling thread moves blocks while the others sort.
    if (threads)
        job->pool = pool_new(order_processors(POOL_THREADS_MAX));
    job->pages = pages_new(&r->mapping, file_of(r), threads);
    region_read_alone(r, bytes);
    sort_elements(job);
    region_advise_again(r);
    pages_free(job->pages);
    pool_free(job->pool);
}

static void sort(struct diskalloc_region *r, struct sort_job *job)
{
    uint64_t bytes = (uint64_t)job->n * job->order->element_size;

    job->at = r->mapping.base;
    // Before the kernel is told not to read ahead.
    if (job->order->is_sorted(job->at, job->n))
        return;
    job->memory = bytes > SMALL ? u64_max(order_memory(NULL) / 8 * 7, MEMORY_MIN) : UINT64_MAX;
    if (bytes > job->memory) {
        sort_beyond_memory(r, job, bytes);
        return;
    }
    if (bytes > SMALL && may_have_threads(r))
        job->pool = pool_new(order_processors(POOL_THREADS_MAX) - 1);
    sort_elements(job);
    pool_free(job->pool);
}

int diskalloc_vec_sort(struct diskalloc_region *r, size_t len, size_t cap, const struct diskalloc_order *order,
                       const char *call)
{
    struct sort_job job = {.order = order, .n = len};
    int e;

    error_begin(call);
    e = check(r, len, cap, order->element_size);
    if (e == 0)
        sort(r, &job);
    return error_end(e);
}
