// See limit.h.
#include "client/preload/limit.h"

struct limit limit = {.bytes = UINT64_MAX};

void limit_set_used(enum limit_part part, uint64_t bytes)
{
    uint64_t most = atomic_load(&limit.most_used[part]);

    atomic_store(&limit.used[part], bytes);
    while (bytes > most && !atomic_compare_exchange_weak(&limit.most_used[part], &most, bytes))
        ;
}

uint64_t limit_used(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < LIMIT_PART_N; i++)
        sum += atomic_load(&limit.used[i]);
    return sum;
}

bool limit_allows(uint64_t more)
{
    uint64_t used = limit_used();

    return limit.bytes == UINT64_MAX || (used <= limit.bytes && more <= limit.bytes - used);
}

void limit_forked(void)
{
    for (int i = 0; i < LIMIT_PART_N; i++) {
        atomic_store(&limit.used[i], 0);
        atomic_store(&limit.most_used[i], 0);
    }
}
