// See own.h.
#include "client/preload/own.h"

enum { RANGES_MAX = 160 };

struct own_range {
    uintptr_t begin, end;
    _Atomic int kind;
    void *heap;
};

struct own_bounds own_bounds = {.low = UINTPTR_MAX};

static struct own_range ranges[RANGES_MAX];
static _Atomic unsigned n_ranges;

bool own_add(const void *begin, uint64_t length, enum own_kind kind, void *heap)
{
    uintptr_t from = (uintptr_t)begin, to = from + length;
    unsigned n = atomic_load(&n_ranges);

    if (n == RANGES_MAX)
        return false;
    ranges[n].begin = from;
    ranges[n].end = to;
    ranges[n].heap = heap;
    atomic_store(&ranges[n].kind, (int)kind);
    atomic_store(&n_ranges, n + 1);
    if (from < atomic_load(&own_bounds.low))
        atomic_store(&own_bounds.low, from);
    if (to > atomic_load(&own_bounds.high))
        atomic_store(&own_bounds.high, to);
    return true;
}

enum own_kind own_find_slowly(const void *p, void **ret_heap)
{
    uintptr_t at = (uintptr_t)p;

    for (unsigned i = 0, n = atomic_load_explicit(&n_ranges, memory_order_acquire); i < n; i++)
        if (at >= ranges[i].begin && at < ranges[i].end) {
            *ret_heap = ranges[i].heap;
            return (enum own_kind)atomic_load_explicit(&ranges[i].kind, memory_order_relaxed);
        }
    return OWN_NONE;
}

void own_forked(void)
{
    for (unsigned i = 0; i < n_ranges; i++)
        if (ranges[i].kind == OWN_HEAP)
            atomic_store(&ranges[i].kind, OWN_OLD_HEAP);
}
