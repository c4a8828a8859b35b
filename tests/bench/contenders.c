#include "tests/bench/contenders.h"

#include <string.h>

extern const struct contender contender_hand, contender_ram_huge, contender_malloc, contender_diskalloc_daemon,
    contender_diskalloc_dir, contender_memkind, contender_stxxl, contender_boost, contender_lmdb,
    contender_diskalloc_std, contender_gnu_sort;

// The others are compared with the first one.
const struct contender *const contenders[] = {
    &contender_hand,    &contender_diskalloc_daemon, &contender_diskalloc_dir, &contender_ram_huge,
    &contender_malloc,  &contender_diskalloc_std,    &contender_gnu_sort,
#ifdef BENCH_BOOST
    &contender_boost,
#endif
#ifdef BENCH_LMDB
    &contender_lmdb,
#endif
#ifdef BENCH_MEMKIND
    &contender_memkind,
#endif
#ifdef BENCH_STXXL
    &contender_stxxl,
#endif
};
const size_t n_contenders = sizeof contenders / sizeof *contenders;

const struct contender *contender_find(const char *name)
{
    for (size_t i = 0; i < n_contenders; i++)
        if (!strcmp(contenders[i]->name, name))
            return contenders[i];
    return NULL;
}
