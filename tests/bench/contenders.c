#include "tests/bench/contenders.h"

#include <string.h>

extern const struct contender contender_hand, contender_ram_huge, contender_malloc, contender_diskalloc_daemon,
    contender_diskalloc_dir, contender_memkind, contender_stxxl, contender_boost, contender_lmdb,
    contender_diskalloc_std, contender_gnu_sort, contender_hand_random, contender_diskalloc_random, contender_fio,
    contender_lmdb_random, contender_stxxl_small, contender_stdio, contender_zlib, contender_lz4;

// The others are compared with the first one.
const struct contender *const contenders[] = {
    &contender_hand,
    &contender_diskalloc_daemon,
    &contender_diskalloc_dir,
    &contender_ram_huge,
    &contender_malloc,
    &contender_diskalloc_std,
    &contender_gnu_sort,
    &contender_hand_random,
    &contender_diskalloc_random,
    &contender_stdio,
    &contender_zlib,
#ifdef BENCH_LZ4
    &contender_lz4,
#endif
#ifdef BENCH_BOOST
    &contender_boost,
#endif
#ifdef BENCH_LMDB
    &contender_lmdb,
    &contender_lmdb_random,
#endif
#ifdef BENCH_MEMKIND
    &contender_memkind,
#endif
#ifdef BENCH_STXXL
    &contender_stxxl,
    &contender_stxxl_small,
#endif
    &contender_fio,
};
const size_t n_contenders = sizeof contenders / sizeof *contenders;

const struct contender *contender_find(const char *name)
{
    for (size_t i = 0; i < n_contenders; i++)
        if (!strcmp(contenders[i]->name, name))
            return contenders[i];
    return NULL;
}
