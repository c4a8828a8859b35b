// Telling how a region is read from what the kernel keeps of it in memory.
//
// A region that is larger than memory can be read in two ways.  With *large pages* (2 MiB, the next ones read ahead) a
// scan runs at the speed of the disk; a read at a random place takes as long as 2 MiB take.  With *single pages* a
// random read takes as long as the disk needs for 4 KiB, and a scan waits for each page: a thirtieth of the speed.
//
// Nobody tells which places were touched.  But mincore(2) tells which pages are in memory, and the difference between
// two looks tells which came in between.  So windows of 16 pages are looked at, 64 in each of 16 parts of the region,
// each 50 ms while the program waits for the disk.
//
//   - Large pages: 2 MiB come in at once.  In a run, the 2 MiB before (or behind, of a program that reads backwards)
//     came in just before.  At random places they did only by chance.  "Just before" is a number of looks, chosen so
//     that no more than a sixth of all windows are that young: so chance would say run for a twentieth of the random
//     reads, whatever share of the region is in memory, and some dozens of runs may go on at once.
//   - Single pages: exactly the pages that were touched come in.  In a run, all pages of a window come in together; at
//     random places one of them does.  Half of a window is the limit: below it, single pages are no slower.
//
// Evidence is counted for each part and for all parts together.  Only the last 32 observations count, so a new phase
// of the program outweighs the one before within some looks, however large the region is.  A part changes to single
// pages when three of four reads are scattered, and back when three of four pages are read in runs: so use that is
// mixed leaves it as it is.  If the region as a whole gives a verdict, a part that says nothing else follows: a scan
// need not convince each part anew.  And a part with single pages in which nothing is read while others are read goes
// back.
//
// A part that changes back soon after it changed has reads that look scattered one way and like runs the other way
// (records of some 100 KiB).  Large pages are right for them.  Each time they stay twice as long before single pages
// are tried again.
//
// Strides of less than 4 MiB look like a run while pages are large, and are read at the disk's speed.
//
// No function of this file but pattern_new and pattern_free calls the kernel.
#include "client/memory/pattern.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "client/memory/unlocked.h"
#include "proto/util/page.h"

#define MIB ((uint64_t)1 << 20)
#define UNIT (2 * MIB)
#define SMALLEST_PART (64 * MIB)

enum {
    STRETCH = 16,      // neighbouring units that are looked at
    OLD = 255,         // an age
    OLDEST_YOUNG = 15, // looks
    YOUNG_SHARE = 6,   // a sixth of the windows may be young
    MOST_CHANCE = 192, // of 256
    LIKE_A_RUN = 8,    // pages of a window
    ONE = 16,          // an observation, as evidence counts it
    MOST = 32 * ONE,   // evidence
    ENOUGH = 6 * ONE,  // for a part
    PLENTY = 12 * ONE, // for all parts
    ENOUGH_PAGES = 24 * ONE,
    SETTLED = 4,        // looks: reads that had begun before a change have come to an end
    QUIET = 48,         // reads elsewhere
    FORGOTTEN = 256,    // pages read elsewhere
    FIRST_HOLD = 10,    // looks
    LONGEST_HOLD = 600, // looks
    SOON = 20,          // looks
};

struct pattern *pattern_new(void)
{
    void *at = map_unlocked(NULL, sizeof(struct pattern), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

void pattern_free(struct pattern *p)
{
    if (p)
        munmap(p, sizeof *p);
}

uint64_t pattern_part_size(uint64_t size)
{
    uint64_t part = SMALLEST_PART;

    while (part * PATTERN_PARTS < size)
        part *= 2;
    return part;
}

void pattern_reset(struct pattern *p, uint64_t part_size)
{
    memset(p, 0, sizeof *p);
    p->part_size = part_size;
}

// ---- Where to look ----

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

static bool is_looked_at(const struct pattern *p, unsigned place, bool single)
{
    return single || place * UNIT < p->part_size;
}

// Neighbours on both sides are looked at too.
static bool has_neighbours(const struct pattern *p, unsigned place)
{
    uint64_t n_units = p->part_size / UNIT;
    unsigned length = n_units > PATTERN_PLACES ? STRETCH : (unsigned)n_units;

    return place % length >= 2 && place % length + 2 < length;
}

// ---- Evidence ----

// Older observations lose weight, so that all together weigh no more than MOST.
static void limit(struct pattern_evidence *e)
{
    uint32_t sum = e->scattered + e->runs;

    if (sum <= MOST)
        return;
    e->scattered = e->scattered * MOST / sum;
    e->runs = MOST - e->scattered;
}

static void note_small_window(struct pattern *p, struct pattern_part *part, uint16_t before, uint16_t now)
{
    uint32_t n = (uint32_t)__builtin_popcount((unsigned)(now & ~before));

    if (n == 0)
        return;
    p->n_small += n;
    if (n >= LIKE_A_RUN || (n >= 2 && now == PATTERN_ALL_PAGES)) {
        part->own.runs += n * ONE;
        return;
    }
    part->own.scattered += n * ONE;
    part->scattered_then = p->n_small;
}

static void grow_older(struct pattern_part *part, unsigned place, uint16_t before, uint16_t now)
{
    uint8_t *age = &part->age[place];

    if (now != PATTERN_ALL_PAGES)
        *age = OLD;
    else if (before != PATTERN_ALL_PAGES)
        *age = 0;
    else if (*age < OLD)
        ++*age;
}

// Evidence of the time before a change says nothing about the time after it.
static void begin(struct pattern *p, struct pattern_part *part, bool single)
{
    part->own = (struct pattern_evidence){0};
    if (!single)
        p->large = part->own;
    part->n_known = 0;
    part->is_single = single;
    part->scattered_then = p->n_small;
    memset(part->age, OLD, sizeof part->age);
}

static void look_at_part(struct pattern *p, unsigned i, const struct pattern_region *r, bool regular)
{
    struct pattern_part *part = &p->parts[i];
    bool single = r->single_to[i] > 0, known;
    uint64_t from = i * p->part_size, end = single && r->single_to[i] < r->size ? r->single_to[i] : r->size;

    if (single != part->is_single || part->n_known == 0)
        begin(p, part, single);
    known = part->n_known >= SETTLED && regular;
    for (unsigned place = 0; place < PATTERN_PLACES && is_looked_at(p, place, single); place++) {
        uint64_t at = from + (single ? place_of_single(p, place) : place_of_large(p, place));
        uint16_t before = part->seen[place], now;

        if (at + PATTERN_WINDOW * page_size() > end)
            continue;
        now = r->look(r->data, at);
        part->seen[place] = now;
        if (known && single)
            note_small_window(p, part, before, now);
        if (known && !single)
            grow_older(part, place, before, now);
    }
    if (!regular)
        memset(part->age, OLD, sizeof part->age);
    part->n_known = part->n_known < SETTLED ? part->n_known + 1 : SETTLED;
}

// ---- Large pages ----

static bool is_part(const struct pattern *p, unsigned i, const struct pattern_region *r)
{
    return i * p->part_size < r->size && !(r->skipped & 1U << i);
}

// The greatest age that no more than a sixth of the windows have.
static unsigned find_young(const struct pattern *p, const struct pattern_region *r)
{
    unsigned n_of_age[OLDEST_YOUNG + 1] = {0}, n = 0, sum, young = 0;

    for (unsigned i = 0; i < PATTERN_PARTS && i * p->part_size < r->size; i++) {
        if (!is_part(p, i, r) || p->parts[i].is_single)
            continue;
        for (unsigned place = 0; place < PATTERN_PLACES && is_looked_at(p, place, false); place++, n++)
            if (p->parts[i].age[place] <= OLDEST_YOUNG)
                n_of_age[p->parts[i].age[place]]++;
    }
    sum = n_of_age[0];
    while (young < OLDEST_YOUNG && (sum += n_of_age[young + 1]) <= n / YOUNG_SHARE)
        young++;
    return young;
}

// How many of 256 reads at random places look like a run: two neighbours on one side are young.
static uint32_t chance_of_run(const struct pattern *p, const struct pattern_part *part, unsigned young)
{
    uint32_t n = 0, n_young = 0, both;

    for (unsigned place = 0; place < PATTERN_PLACES && is_looked_at(p, place, false); place++, n++)
        n_young += part->age[place] <= young;
    both = n_young * n_young * 256 / (n * n);
    both = 2 * both - both * both / 256;
    return both < MOST_CHANCE ? both : MOST_CHANCE;
}

// Where much is new at once, as in the only part that still has large pages, many random reads look like runs.  So many
// as chance would make are counted as what they are.
static void add(struct pattern *p, struct pattern_part *part, uint32_t scattered, uint32_t runs, uint32_t chance)
{
    uint32_t truly = scattered * 256 * ONE / (256 - chance), by_chance = truly - scattered * ONE;

    runs = runs * ONE > by_chance ? runs * ONE - by_chance : 0;
    p->n_large += (truly + runs) / ONE;
    part->own.scattered += truly;
    p->large.scattered += truly;
    part->own.runs += runs;
    p->large.runs += runs;
    if (runs >= ONE)
        part->run_then = p->n_large;
}

static void judge_new_units(struct pattern *p, struct pattern_part *part, unsigned young)
{
    uint32_t scattered = 0, runs = 0;

    for (unsigned place = 2; place + 2 < PATTERN_PLACES && is_looked_at(p, place, false); place++) {
        const uint8_t *age = &part->age[place];

        if (age[0] != 0 || !has_neighbours(p, place))
            continue;
        if ((age[-1] <= young && age[-2] <= young) || (age[1] <= young && age[2] <= young))
            runs++;
        else
            scattered++;
    }
    if (scattered + runs > 0)
        add(p, part, scattered, runs, chance_of_run(p, part, young));
}

// ---- Verdicts ----

static bool says_scattered(const struct pattern_evidence *e, uint32_t enough)
{
    return e->scattered >= enough && e->scattered >= 3 * e->runs;
}

static bool says_runs(const struct pattern_evidence *e)
{
    return e->runs >= ENOUGH_PAGES && e->runs >= 3 * e->scattered;
}

// A part follows all parts together, unless it was read in a run lately.
static enum pattern_verdict judge_large(const struct pattern *p, const struct pattern_part *part)
{
    if (p->n_looks < part->large_until)
        return PATTERN_UNKNOWN;
    if (says_scattered(&part->own, ENOUGH))
        return PATTERN_SCATTERED;
    if (!says_scattered(&p->large, PLENTY))
        return PATTERN_UNKNOWN;
    return part->own.scattered >= part->own.runs || p->n_large - part->run_then >= QUIET ? PATTERN_SCATTERED
                                                                                         : PATTERN_UNKNOWN;
}

// A part that says nothing itself follows one that says runs; and a part where nothing is read any more goes back.
static enum pattern_verdict judge_single(const struct pattern *p, const struct pattern_part *part, bool follow)
{
    uint32_t quiet = p->n_small - part->scattered_then;

    if (says_runs(&part->own) || (follow && quiet >= QUIET))
        return PATTERN_RUNS;
    return quiet >= FORGOTTEN ? PATTERN_RUNS : PATTERN_UNKNOWN;
}

static void remember(struct pattern *p, struct pattern_part *part, enum pattern_verdict verdict)
{
    if (verdict == PATTERN_SCATTERED)
        part->single_since = p->n_looks;
    if (verdict != PATTERN_RUNS)
        return;
    if (p->n_looks - part->single_since >= SOON)
        part->hold = 0;
    else
        part->hold = part->hold == 0 ? FIRST_HOLD : part->hold < LONGEST_HOLD ? part->hold * 2 : LONGEST_HOLD;
    part->large_until = p->n_looks + part->hold;
}

static bool some_part_says_runs(struct pattern *p, const struct pattern_region *r)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (is_part(p, i, r) && p->parts[i].is_single && says_runs(&p->parts[i].own)) {
            p->first_run = i;
            return true;
        }
    return false;
}

static bool judge(struct pattern *p, const struct pattern_region *r)
{
    bool follow = some_part_says_runs(p, r), any = false;

    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        struct pattern_part *part = &p->parts[i];

        p->verdicts[i] = PATTERN_UNKNOWN;
        if (!is_part(p, i, r))
            continue;
        p->verdicts[i] = part->is_single ? judge_single(p, part, follow) : judge_large(p, part);
        remember(p, part, p->verdicts[i]);
        any |= p->verdicts[i] != PATTERN_UNKNOWN;
    }
    return any;
}

bool pattern_look(struct pattern *p, const struct pattern_region *r, bool regular)
{
    unsigned young;

    p->n_looks++;
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (is_part(p, i, r))
            look_at_part(p, i, r, regular);
    young = find_young(p, r);
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        if (!is_part(p, i, r))
            continue;
        if (!p->parts[i].is_single)
            judge_new_units(p, &p->parts[i], young);
        limit(&p->parts[i].own);
    }
    limit(&p->large);
    return judge(p, r);
}
