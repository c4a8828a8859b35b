// New vectors, and how large they begin.
//
// A vector begins with what the client's last vectors needed (client/growth.c), so that a program with many vectors of
// one size makes one request for each.  Where they needed little, it begins in memory, without a file.
#include "client/vec_init.h"

#include <assert.h>
#include <errno.h>

#include "client/diskalloc.h"
#include "client/growth.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "client/vec.h"

// After so many vectors that did not need a quarter of what the ones before them needed, the next ones begin with less;
// and without a file, if that is the least.
enum { UNNEEDED_MOST = 256, SMALL_IN_ROW = 2 };

// The bytes that the next vector begins with.  *RET_SMALL: in memory, without a file.
static uint64_t choose_first_size(struct diskalloc *da, bool *ret_small)
{
    uint64_t first = da->first_size;
    unsigned n = da->n_unneeded++;

    if (n >= UNNEEDED_MOST && first > GROWTH_FIRST_LEAST) {
        da->first_size = first = first / 2;
        da->n_unneeded = 0;
    }
    if (n >= SMALL_IN_ROW)
        da->outgrows = false;
    *ret_small = first == GROWTH_FIRST_LEAST && !da->outgrows;
    return first;
}

static int create(struct diskalloc *da, bool may_be_small, struct diskalloc_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    bool small = false;
    int e;

    o.size = da ? choose_first_size(da, &small) : 0;
    if (small && may_be_small) {
        e = region_create_small(da, ret);
        if (e == 0)
            (*ret)->began_with = o.size;
        return e;
    }
    if (da)
        r = region_take_spare(da, o.size);
    e = r ? 0 : region_create(da, &o, true, &r);
    // The first size is a guess: an empty vector needs no space.
    if (e == -EDQUOT || e == -ENOSPC) {
        error_forget();
        e = region_create(da, NULL, true, &r);
    }
    if (e == 0) {
        assert(r);
        r->began_with = r->size;
        r->prefetch.first = growth_is_learned(r->size) ? r->size : 0;
        if (r->size == o.size)
            region_make_spare(da, o.size);
        *ret = r;
    }
    return e;
}

static struct diskalloc_vec_state init(struct diskalloc *da, bool may_be_small, const char *call)
{
    struct diskalloc_region *r = NULL;
    int e;

    error_begin(call);
    e = create(da, may_be_small, &r);
    return vec_state_of(r, error_end(e));
}

struct diskalloc_vec_state diskalloc_vec_init(struct diskalloc *da, const char *call)
{
    return init(da, true, call);
}

struct diskalloc_vec_state vec_init_with_file(struct diskalloc *da, const char *call)
{
    return init(da, false, call);
}

struct diskalloc_vec_state diskalloc_vec_init_with(struct diskalloc *da, const struct diskalloc_region_options *o,
                                                   size_t element_size, const char *call)
{
    struct diskalloc_vec_state v;
    struct diskalloc_region *r = NULL;
    int e;

    if (!o && element_size > 0)
        return diskalloc_vec_init(da, call);
    error_begin(call);
    e = element_size > 0 ? region_create(da, o, true, &r) : error_why(-EINVAL, "the elements have no bytes");
    v = vec_state_of(r, error_end(e));
    if (element_size > 0 && v.region)
        v.cap = v.region->size / element_size;
    return v;
}
