#include "tests/lib/made_up_world.h"

#include "client/memory/windows.h"

struct world *world;

bool world_is_in(uint64_t page)
{
    return world->came[page] > 0 && world->n_came - world->came[page] < world->memory;
}

static uint16_t look(void *data, uint64_t at)
{
    unsigned bits = 0;

    (void)data;
    for (unsigned i = 0; i < PATTERN_WINDOW; i++)
        bits |= (unsigned)world_is_in(at / page_size() + i) << i;
    return (uint16_t)bits;
}

void world_open(uint64_t size, uint64_t memory)
{
    world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->p = pattern_new();
    assert_non_null(world->p);
    world->n_units = size / UNIT;
    assert_true(world->n_units <= MOST_UNITS);
    world->memory = memory / page_size();
    world->random = 88172645463325252;
    world->page_takes = 1;
    world->region = (struct pattern_region){.size = size, .look = look};
    pattern_reset(world->p, windows_part_size(size));
}

void world_close(void)
{
    pattern_free(world->p);
    free(world);
}

unsigned world_part_of(uint64_t page)
{
    return (unsigned)(page * page_size() / world->p->part_size);
}

bool world_is_single(unsigned part)
{
    return world->region.single_to[part] > 0;
}

unsigned world_count_single(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        n += world_is_single(i);
    return n;
}

// Returns how long that took: a unit takes as long as 16 single pages.
unsigned world_touch(uint64_t page)
{
    uint64_t unit = page / PAGES_OF_UNIT * PAGES_OF_UNIT;

    if (world_is_in(page))
        return 0;
    if (world_is_single(world_part_of(page))) {
        world->came[page] = ++world->n_came;
        return world->page_takes;
    }
    for (uint64_t i = unit; i < unit + PAGES_OF_UNIT; i++)
        world->came[i] = ++world->n_came;
    world->n_units_read++;
    return 16 * world->page_takes;
}

uint64_t world_any_below(uint64_t n)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random % n;
}

static void obey(void)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        if (world->p->verdicts[i] == PATTERN_SCATTERED && !world_is_single(i)) {
            world->region.single_to[i] = (i + 1) * world->p->part_size;
            world->n_single++;
        } else if (world->p->verdicts[i] == PATTERN_RUNS && world_is_single(i)) {
            world->region.single_to[i] = 0;
            world->n_large++;
        }
    }
}

// READ reads something, and returns how long that took.
void world_read_for(unsigned n_looks, unsigned (*read)(void))
{
    for (unsigned k = 0; k < n_looks; k++) {
        for (unsigned passed = 0, n = 0; passed < 800 && n < 1000000; n++)
            passed += read();
        world->region.sparse = world->sparse && world->n_units_read > 10;
        world->n_units_read = 0;
        if (pattern_look(world->p, &world->region, true))
            obey();
        memset(world->region.announced, 0, sizeof world->region.announced);
    }
}

unsigned world_n_pages(void)
{
    return (unsigned)(world->n_units * PAGES_OF_UNIT);
}

unsigned world_at_random(void)
{
    return world_touch(world_any_below(world_n_pages()));
}

unsigned world_in_order(void)
{
    return world_touch(world->next++ % world_n_pages());
}

unsigned world_streams(unsigned n)
{
    uint64_t stream = world->next % n, at = world->next / n;

    world->next++;
    return world_touch(stream * (world_n_pages() / n) + at % (world_n_pages() / n));
}
