// Words of a heap in its region: see format.h.
#include "client/heap/format.h"

#include "client/heap/classes.h"

uint64_t seal(uint64_t value, enum seal bits, uint64_t place)
{
    return value | home_mix(value ^ home_mix(place ^ ((uint64_t)bits << 56))) << bits;
}

bool unseal(uint64_t word, enum seal bits, uint64_t place, uint64_t *ret)
{
    uint64_t value = word & (((uint64_t)1 << bits) - 1);

    if (seal(value, bits, place) != word)
        return false;
    *ret = value;
    return true;
}

uint64_t span_encode(struct span s, uint32_t unit)
{
    return seal((uint64_t)s.kind | (uint64_t)s.size_class << 3 | (uint64_t)s.n << 9, SEAL_ENTRY, unit);
}

bool span_decode(uint64_t word, uint32_t unit, uint32_t end, struct span *ret)
{
    struct span s;
    uint64_t value;

    if (!unseal(word, SEAL_ENTRY, unit, &value))
        return false;
    s.kind = (enum span_kind)(value & 7);
    s.size_class = value >> 3 & 63;
    s.n = (uint32_t)(value >> 9);
    if (s.kind <= SPAN_NONE || s.kind >= SPAN_KIND_N || s.n == 0 || s.n > end - unit)
        return false;
    if (s.kind == SPAN_SLAB ? s.size_class >= CLASS_N || s.n != class_slab_units(s.size_class) : s.size_class != 0)
        return false;
    *ret = s;
    return true;
}
