// See page.h.
#include "proto/util/page.h"

#include <stdatomic.h>
#include <unistd.h>

static _Atomic uint64_t pretended;

uint64_t page_size(void)
{
    uint64_t size = atomic_load_explicit(&pretended, memory_order_relaxed);

    return size > 0 ? size : (uint64_t)sysconf(_SC_PAGESIZE);
}

void page_size_pretend(uint64_t size)
{
    atomic_store(&pretended, size);
}
