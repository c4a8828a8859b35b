// Where windows of pages lie: see windows.h.
#include "client/memory/windows.h"

#include "proto/util/page.h"

#define MIB ((uint64_t)1 << 20)
#define UNIT (2 * MIB)
#define SMALLEST_PART (64 * MIB)

enum { STRETCH = 16 }; // neighbouring units that are looked at

uint64_t windows_part_size(uint64_t size)
{
    uint64_t part = SMALLEST_PART;

    while (part * PATTERN_PARTS < size)
        part *= 2;
    return part;
}

// The same place each time, and not at regular distances: a program's stride must not hit them all.
static uint64_t jitter(unsigned place, uint64_t below)
{
    uint64_t h = (place + 1) * UINT64_C(0x9E3779B97F4A7C15), window = PATTERN_WINDOW * page_size();

    return below <= window ? 0 : (h >> 32) % ((below - window) / page_size() + 1) * page_size();
}

// Windows all over the part.
static uint64_t place_of_single(const struct pattern *p, unsigned place)
{
    uint64_t distance = p->part_size / PATTERN_PLACES;

    return place * distance + jitter(place, distance);
}

// A window in each unit; in large parts, stretches of units.
static uint64_t place_of_large(const struct pattern *p, unsigned place)
{
    uint64_t n_units = p->part_size / UNIT, unit = place;

    if (n_units > PATTERN_PLACES)
        unit = place / STRETCH * (n_units / (PATTERN_PLACES / STRETCH)) + place % STRETCH;
    return unit * UNIT + jitter(place, UNIT);
}

bool windows_is_used(const struct pattern *p, unsigned place, bool single)
{
    return single || place * UNIT < p->part_size;
}

// Neighbours on both sides are looked at too.
bool windows_has_neighbours(const struct pattern *p, unsigned place)
{
    uint64_t n_units = p->part_size / UNIT;
    unsigned length = n_units > PATTERN_PLACES ? STRETCH : (unsigned)n_units;

    return place % length >= 2 && place % length + 2 < length;
}

uint64_t windows_place(const struct pattern *p, unsigned place, bool single)
{
    return single ? place_of_single(p, place) : place_of_large(p, place);
}
