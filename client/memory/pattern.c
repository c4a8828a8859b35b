// Telling how a region is read from what the kernel keeps of it in memory.
//
// A region that is larger than memory can be read in two ways.  With *large pages* (2 MiB, the next ones read ahead) a
// scan runs at the speed of the disk; a read at a random place takes as long as 2 MiB take.  With *single pages* a
// random read takes as long as the disk needs for 4 KiB, and a scan waits for each page: a thirtieth of the speed.
//
// Nobody tells which places were touched.  But the kernel tells which pages are in memory (residency.c), and the
// difference between two looks tells which came in between.  So windows of 16 pages are looked at, 64 in each of 16
// parts of the region, each 50 ms while the program waits for the disk.
//
//   - Large pages: 2 MiB come in at once.  In a run, the 2 MiB before (or behind, of a program that reads backwards)
//     came in just before.  At random places they did only by chance.  "Just before" is a number of looks, chosen so
//     that no more than a sixth of all windows are that young: so chance would say run for a twentieth of the random
//     reads, whatever share of the region is in memory, and some dozens of runs may go on at once.
//   - Single pages: exactly the pages that were touched come in.  In a run, all pages of a window come in together, or
//     one after the other within some looks; at random places one of them does.  Half of a window is the limit: below
//     it, single pages are no slower.  A scan is slow with single pages, and comes to a window only now and then.  So
//     when one has come in, the windows next to it are looked at too, and all in a row that are in memory count.
//
// A program that announces its reads (announce.c) says itself that they are scattered.  Its pages come in one by one
// also while pages are large, so the windows do not show that.  These words weigh little: a scan outweighs them,
// because announced reads lose less by large pages (a fifth, measured) than a scan by single ones.
//
// Of a run with large pages, the windows do not show how much of it is touched: a stride of 1 MiB looks like a scan,
// and would be five times as fast with single pages.  client/memory/watch.c tells when the program spends too little
// time to have touched what is read (sparse).  Then single pages are tried.  They show the truth within some looks:
// if pages come in densely, as by strides of 64 KiB or one word of each page, all parts that were tried go back, and
// the pauses between such trials become longer.  Dense are hits in windows next to each other, of the same few looks.
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

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "client/memory/unlocked.h"
#include "client/memory/verdict.h"
#include "client/memory/windows.h"
#include "proto/util/page.h"

enum {
    OLD = 255,         // an age
    OLDEST_YOUNG = 15, // looks
    YOUNG_SHARE = 6,   // a sixth of the windows may be young
    MOST_CHANCE = 192, // of 256
    LIKE_A_RUN = 8,    // pages of a window
    ONE = PATTERN_ONE,
    MOST = 32 * ONE, // evidence
    SAID = 2,        // observations that announcements count for, in a look
    SETTLED = 4,     // looks: reads that had begun before a change have come to an end
    NEAR = 3,        // windows
    FEW_SHARE = 64,
    BESIDE = 8,        // windows
    MOST_STRETCHES = 8 // in a look
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

void pattern_reset(struct pattern *p, uint64_t part_size)
{
    memset(p, 0, sizeof *p);
    p->part_size = part_size;
}

// ---- Evidence ----

// Where a window lies: at AT, in a part that goes from FROM to END.
struct stretch {
    const struct pattern_region *region;
    uint64_t at, from, end;
};

// Older observations lose weight, so that all together weigh no more than MOST.
static void limit(struct pattern_evidence *e)
{
    uint32_t sum = e->scattered + e->runs;

    if (sum <= MOST)
        return;
    e->scattered = e->scattered * MOST / sum;
    e->runs = MOST - e->scattered;
}

// The windows behind this one were not looked at yet: a run that goes backwards has hit them in the look before.
static bool has_hits_near(const struct pattern_part *part, unsigned place)
{
    for (unsigned i = place < NEAR ? 0 : place - NEAR; i <= place + NEAR && i < PATTERN_PLACES; i++)
        if (i != place && part->age[i] < SETTLED)
            return true;
    return false;
}

static uint32_t count(uint16_t pages)
{
    return (uint32_t)__builtin_popcount(pages);
}

static bool are_neighbours(uint16_t pages)
{
    unsigned from_first = (unsigned)pages >> __builtin_ctz(pages);

    return (from_first & (from_first + 1)) == 0;
}

// A run that shares the disk with many others comes in by a few pages a look.  The first ones count as scattered, until
// it is known.  If many windows are hit at once, there are so many runs that large pages would push each other out.
static bool is_slow_run(const struct pattern *p, struct pattern_part *part, unsigned place, uint16_t came)
{
    uint16_t *grown = &part->grown[place];
    uint32_t before = part->age[place] < SETTLED ? count(*grown) : 0, taken_back;

    *grown = (uint16_t)(before > 0 ? *grown | came : came);
    if (p->many_hit || count(*grown) < LIKE_A_RUN || !are_neighbours(*grown))
        return false;
    taken_back = before < LIKE_A_RUN ? before * ONE : 0;
    part->own.runs += taken_back;
    part->own.scattered -= taken_back < part->own.scattered ? taken_back : part->own.scattered;
    return true;
}

// How many windows next to the one at AT are in memory, up to the first one that is not: on one side, or the other.
static unsigned measure_stretch(const struct pattern_region *r, uint64_t at, uint64_t from, uint64_t end)
{
    const uint64_t window = PATTERN_WINDOW * page_size();
    unsigned before = 0, behind = 0;

    while (before < BESIDE && at - from >= (before + 1) * window &&
           r->look(r->data, at - (before + 1) * window) == PATTERN_ALL_PAGES)
        before++;
    while (before < BESIDE && behind < BESIDE && at + (behind + 2) * window <= end &&
           r->look(r->data, at + (behind + 1) * window) == PATTERN_ALL_PAGES)
        behind++;
    return before > behind ? before : behind;
}

// A window has come in as those of a run do.  If it came at once, what lies beside it counts as well, so that nobody
// need wait for the run to come to more of the windows; and of these, two as what was read elsewhere.  Where strides
// have passed again and again, by a page at a time, a stretch says nothing.
static void note_run(struct pattern *p, struct pattern_part *part, uint32_t n, const struct stretch *s)
{
    unsigned beside = 0;

    if (n >= LIKE_A_RUN && p->n_stretches++ < MOST_STRETCHES)
        beside = measure_stretch(s->region, s->at, s->from, s->end);
    p->n_small += n + PATTERN_WINDOW * (beside < 2 ? beside : 2);
    part->own.runs += (n + PATTERN_WINDOW * beside) * ONE;
}

// Called before the age is written.
static void note_small_window(struct pattern *p, struct pattern_part *part, unsigned place, uint16_t before,
                              uint16_t now, const struct stretch *s)
{
    uint16_t came = (uint16_t)(now & ~before);
    uint32_t n = count(came);

    if (n == 0)
        return;
    if (is_slow_run(p, part, place, came) || n >= LIKE_A_RUN || (n >= 2 && now == PATTERN_ALL_PAGES)) {
        note_run(p, part, n, s);
        return;
    }
    p->n_small += n;
    if (pattern_is_on_trial(p, part) && has_hits_near(part, place)) {
        part->own.runs += n * ONE;
        return;
    }
    part->own.scattered += n * ONE;
    part->scattered_then = p->n_small;
    part->scattered_look = p->n_looks;
}

// How many looks ago a page came into the window.
static void note_small_age(struct pattern_part *part, unsigned place, uint16_t before, uint16_t now)
{
    uint8_t *age = &part->age[place];

    if (now & ~before)
        *age = 0;
    else if (*age < OLD)
        ++*age;
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
    part->scattered_look = p->n_looks;
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
    for (unsigned place = 0; place < PATTERN_PLACES && windows_is_used(p, place, single); place++) {
        uint64_t at = from + windows_place(p, place, single);
        uint16_t before = part->seen[place], now;

        if (at + PATTERN_WINDOW * page_size() > end)
            continue;
        now = r->look(r->data, at);
        part->seen[place] = now;
        if (known && single) {
            note_small_window(p, part, place, before, now,
                              &(struct stretch){.region = r, .at = at, .from = from, .end = end});
            note_small_age(part, place, before, now);
        }
        if (known && !single)
            grow_older(part, place, before, now);
    }
    if (!regular)
        memset(part->age, OLD, sizeof part->age);
    part->n_known = part->n_known < SETTLED ? part->n_known + 1 : SETTLED;
}

static void find_out_whether_many_are_hit(struct pattern *p)
{
    unsigned n = 0, n_hit = 0;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        for (unsigned place = 0; p->parts[i].is_single && place < PATTERN_PLACES; place++, n++)
            n_hit += p->parts[i].age[place] < SETTLED;
    p->many_hit = n_hit > n / FEW_SHARE;
}

// ---- Large pages ----

// The greatest age that no more than a sixth of the windows have.
static unsigned find_young(const struct pattern *p, const struct pattern_region *r)
{
    unsigned n_of_age[OLDEST_YOUNG + 1] = {0}, n = 0, sum, young = 0;

    for (unsigned i = 0; i < PATTERN_PARTS && i * p->part_size < r->size; i++) {
        if (!pattern_is_part(p, i, r) || p->parts[i].is_single)
            continue;
        for (unsigned place = 0; place < PATTERN_PLACES && windows_is_used(p, place, false); place++, n++)
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

    for (unsigned place = 0; place < PATTERN_PLACES && windows_is_used(p, place, false); place++, n++)
        n_young += part->age[place] <= young;
    assert(n > 0); // the first window is always used
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

static void judge_new_units(struct pattern *p, struct pattern_part *part, unsigned young, bool trial)
{
    uint32_t scattered = 0, runs = 0;

    for (unsigned place = 2; place + 2 < PATTERN_PLACES && windows_is_used(p, place, false); place++) {
        const uint8_t *age = &part->age[place];

        if (age[0] != 0 || !windows_has_neighbours(p, place))
            continue;
        if ((age[-1] <= young && age[-2] <= young) || (age[1] <= young && age[2] <= young))
            runs++;
        else
            scattered++;
    }
    if (trial) {
        scattered += runs;
        runs = 0;
    }
    if (scattered + runs > 0)
        add(p, part, scattered, runs, chance_of_run(p, part, young));
}

// While runs are read anywhere with large pages, announcements count for nothing.
static void note_announced(struct pattern *p, const struct pattern_region *r)
{
    bool any = false;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        any |= r->announced[i] > 0;
    if (!any)
        return;
    p->large.scattered += SAID * ONE;
    limit(&p->large);
    for (unsigned i = 0; i < PATTERN_PARTS && p->large.scattered >= 3 * p->large.runs; i++)
        if (r->announced[i] > 0 && pattern_is_part(p, i, r) && !p->parts[i].is_single)
            p->parts[i].own.scattered += SAID * ONE;
}

bool pattern_look(struct pattern *p, const struct pattern_region *r, bool regular)
{
    bool trial = r->sparse && p->n_looks >= p->next_trial;
    unsigned young;

    p->n_looks++;
    p->n_stretches = 0;
    if (trial)
        p->trial_end = p->n_looks + PATTERN_TRIAL;
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (pattern_is_part(p, i, r))
            look_at_part(p, i, r, regular);
    find_out_whether_many_are_hit(p);
    young = find_young(p, r);
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        if (!pattern_is_part(p, i, r))
            continue;
        if (!p->parts[i].is_single)
            judge_new_units(p, &p->parts[i], young, trial);
        limit(&p->parts[i].own);
    }
    if (regular)
        note_announced(p, r);
    limit(&p->large);
    return pattern_judge(p, r);
}
