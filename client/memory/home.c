// See home.h.
#include "client/memory/home.h"

#include <string.h>

#include "client/memory/reservation.h"

// Of 47 bits.  Above are position-independent programs (from 0x5555...), libraries and stacks; below are programs that
// are not position-independent, and the shadow memory of AddressSanitizer.
#define WINDOW_START ((uint64_t)32 << 40)
#define WINDOW_END ((uint64_t)80 << 40)

// splitmix64
uint64_t home_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// The magic is the one of whole headers: it may not be written yet.
uint64_t home_check(const struct home_header *header)
{
    uint64_t magic;

    memcpy(&magic, HOME_MAGIC, sizeof magic);
    return home_mix(magic ^ home_mix(header->version ^ home_mix(header->unit ^ home_mix(header->home))));
}

bool home_is_possible(uint64_t address, uint64_t reserve)
{
    return address % RESERVATION_ALIGN == 0 && address >= WINDOW_START && address < WINDOW_END &&
           reserve <= WINDOW_END - address;
}

uint64_t home_of(const struct home_header *header, uint64_t reserve)
{
    struct home_header h;

    memcpy(&h, header, sizeof h); // others may be writing
    if (memcmp(h.magic, HOME_MAGIC, sizeof h.magic) != 0 || h.check != home_check(&h))
        return 0;
    return home_is_possible(h.home, reserve) ? h.home : 0;
}

uint64_t home_seed(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t seed = n;

    for (size_t i = 0; i < n; i++)
        seed = home_mix(seed ^ p[i]);
    return seed;
}

// Places are as far apart as the reservation is long, up to a power of 2: two regions of one length have the same
// place or lie apart.
uint64_t home_place(uint64_t seed, unsigned try, uint64_t reserve)
{
    uint64_t step = RESERVATION_ALIGN;

    while (step < reserve && step < WINDOW_END - WINDOW_START)
        step *= 2;
    if (step > WINDOW_END - WINDOW_START)
        return 0;
    return WINDOW_START + home_mix(seed + try) % ((WINDOW_END - WINDOW_START) / step) * step;
}
