// How much address space a region gets: see reservation.h.
#include "client/memory/reservation.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#include "proto/util/checked.h"

#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

// A process has 47 bits of addresses, 128 TiB; 16 TiB stay for the program.
#define HELD_MAX (112 * TIB)

static const struct {
    uint64_t held_below, reserve;
} ladder[] = {
    {32 * TIB, 512 * GIB},
    {96 * TIB, 64 * GIB},
    {HELD_MAX, GIB},
};

static _Atomic uint64_t held;

uint64_t reservation_default(uint64_t held_now)
{
    for (size_t i = 0; i < sizeof ladder / sizeof *ladder; i++)
        if (held_now < ladder[i].held_below)
            return ladder[i].reserve;
    return 0;
}

uint64_t reservation_for(uint64_t usual, uint64_t size)
{
    return size <= usual / 2 ? usual : u64_min(size, INT64_MAX / 2) * 2;
}

// First the sizes of the table; below the smallest of them (the program runs under `ulimit -v`) a quarter each time.
uint64_t reservation_smaller(uint64_t reserve, uint64_t needed)
{
    uint64_t next = reserve / 4 / RESERVATION_ALIGN * RESERVATION_ALIGN;

    for (size_t i = 0; i < sizeof ladder / sizeof *ladder; i++)
        if (ladder[i].reserve < reserve) {
            next = ladder[i].reserve;
            break;
        }
    return next >= needed ? next : needed < reserve ? needed : 0;
}

bool reservation_take(uint64_t bytes)
{
    uint64_t now = atomic_load(&held);

    do {
        if (bytes > HELD_MAX || now > HELD_MAX - bytes)
            return false;
    } while (!atomic_compare_exchange_weak(&held, &now, now + bytes));
    return true;
}

void reservation_release(uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub(&held, bytes);

    assert(before >= bytes);
    (void)before;
}

uint64_t reservation_held(void)
{
    return atomic_load(&held);
}
