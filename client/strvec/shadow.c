// Changing all entries by one store: see strvec.h.
#include <stdatomic.h>

#include "client/strvec/strvec.h"

void strvec_publish(struct diskalloc_strvec *v, uint64_t entry)
{
    struct strvec_header *h = strvec_header(v);

    __atomic_store_n(&h->changes, h->changes + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&h->first, entry, __ATOMIC_RELEASE);
    v->first = entry;
}

void strvec_settle(struct diskalloc_strvec *v)
{
    if (v->first == HEADER_ENTRIES)
        return;
    memmove((uint64_t *)v->offsets.data + HEADER_ENTRIES, strvec_entries(v), strvec_count(v) * ENTRY_SIZE);
    strvec_publish(v, HEADER_ENTRIES);
}
