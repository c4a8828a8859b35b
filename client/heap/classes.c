// See classes.h.
#include "client/heap/classes.h"

#define FOUR(step) 5 * (step), 6 * (step), 7 * (step), 8 * (step)

const uint16_t class_size_in_steps[CLASS_N] = {
    1, 2, 3, 4, 5, 6, 7, 8, FOUR(2), FOUR(4), FOUR(8), FOUR(16), FOUR(32), FOUR(64), FOUR(128), FOUR(256),
};

#define TWO(c) (c), (c)
#define FOUR_OF(c) TWO(c), TWO(c)
#define EIGHT_OF(c) FOUR_OF(c), FOUR_OF(c)

const uint8_t class_of_steps[65] = {
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    TWO(8),
    TWO(9),
    TWO(10),
    TWO(11),
    FOUR_OF(12),
    FOUR_OF(13),
    FOUR_OF(14),
    FOUR_OF(15),
    EIGHT_OF(16),
    EIGHT_OF(17),
    EIGHT_OF(18),
    EIGHT_OF(19),
};

unsigned class_of_aligned(size_t size, size_t alignment)
{
    unsigned c = class_of(size);

    while (c < CLASS_N && class_size(c) % alignment != 0)
        c++;
    return c;
}

// The fewest units that hold 4 blocks and waste at most a sixteenth.
uint32_t class_slab_units(unsigned c)
{
    uint32_t size = class_size(c), n = 1;

    while (n < SLAB_UNITS_MAX && ((uint32_t)UNIT * n / size < 4 || (uint32_t)UNIT * n % size > UNIT * n / 16))
        n++;
    return n;
}

uint32_t class_blocks(unsigned c)
{
    return class_slab_units(c) * (uint32_t)UNIT / class_size(c);
}

uint32_t class_cached(unsigned c)
{
    uint32_t n = 16384 / class_size(c);

    return n > 64 ? 64 : n < 2 ? 2 : n;
}
