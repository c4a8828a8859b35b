// The uses that adaptive reading leaves alone, and what it costs then.
#include "tests/lib/proc_self.h"
#include "tests/lib/reading_scene.h"

#include "proto/util/clock.h"

enum { LINE = 64, FEW = 2, PATIENCE = 10 };

// Each cache line: a scan that touches less is no scan to the library.
static void scan(struct scene *s, uint64_t from, uint64_t to)
{
    const char *data = diskalloc_region_data(s->r);

    for (uint64_t at = from; at < to; at += SCENE_STRIDE) {
        scene_read(s, at);
        for (uint64_t i = LINE; i < SCENE_STRIDE; i += LINE)
            (void)*(const volatile char *)(data + at + i);
    }
}

static void play_a_scan_alone_changes_nothing(struct scene *s)
{
    scene_open(s, 0, 0);
    for (int i = 0; i < 4; i++)
        scan(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).to_single == 0);
    scene_close(s);
}
SCENE(a_scan_alone_changes_nothing, SCENE_LIMIT)

static void play_advice_of_the_programs_stands(struct scene *s)
{
    scene_open(s, 0, 0);
    NEED(diskalloc_region_advise(s->r, 0, SCENE_SIZE, DISKALLOC_ADVICE_SEQUENTIAL) == 0);
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).to_single == 0);
    NEED(diskalloc_region_advise(s->r, 0, SCENE_SIZE, DISKALLOC_ADVICE_RANDOM) == 0);
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    scan(s, 0, SCENE_SIZE / 8);
    NEED(scene_counted(s).to_single == 0 && scene_counted(s).to_large == 0);
    // NORMAL adapts again.
    NEED(diskalloc_region_advise(s->r, 0, SCENE_SIZE, DISKALLOC_ADVICE_NORMAL) == 0);
    scene_read_until_single(s, 2);
    // And is obeyed at once.
    NEED(diskalloc_region_advise(s->r, 0, SCENE_SIZE, DISKALLOC_ADVICE_NORMAL) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    scene_close(s);
}
SCENE(advice_of_the_programs_stands, SCENE_LIMIT)

static void play_advice_about_a_part_stands_and_the_rest_adapts(struct scene *s)
{
    scene_open(s, 0, 0);
    NEED(diskalloc_region_advise(s->r, 0, 128 * MIB, DISKALLOC_ADVICE_SEQUENTIAL) == 0);
    scene_read_until_single(s, 1);
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    NEED(s->r->adapt.part_size == 64 * MIB);
    NEED(s->r->adapt.single_to[0] == 0 && s->r->adapt.single_to[1] == 0);
    scene_close(s);
}
SCENE(advice_about_a_part_stands_and_the_rest_adapts, SCENE_LIMIT)

static void play_nothing_happens_while_all_fits_into_memory(struct scene *s)
{
    size_t n_threads;

    scene_open(s, 0, 0);
    n_threads = count_threads();
    for (int i = 0; i < 500; i++)
        scene_read_some(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).rounds == 0 && scene_counted(s).to_single == 0);
    NEED(count_threads() == n_threads && !background_runs(&s->da->background));
    scene_close(s);
}
SCENE_EMBEDDED(nothing_happens_while_all_fits_into_memory, 0)

// ---- The cost ----

#define MOST_OF_IT (SCENE_SIZE + 64 * MIB)

struct cost {
    pid_t tid;
    uint64_t switches, ns, rounds, began;
};

static bool sleeps(void *data)
{
    return is_asleep(*(pid_t *)data);
}

static struct cost begin_cost(struct scene *s)
{
    struct cost c = {.tid = other_thread()};

    NEED(c.tid > 0 && count_threads() == 2);
    test_wait_until(sleeps, &c.tid, PATIENCE, "the thread sleeps");
    c.switches = count_switches(c.tid);
    c.ns = count_run_ns(c.tid);
    c.rounds = scene_counted(s).rounds;
    c.began = clock_now();
    return c;
}

static struct cost end_cost(struct scene *s, const struct cost *before)
{
    struct cost c = {.tid = before->tid};

    c.began = clock_now() - before->began;
    c.switches = count_switches(c.tid) - before->switches;
    c.ns = count_run_ns(c.tid) - before->ns;
    c.rounds = scene_counted(s).rounds - before->rounds;
    print_message("the thread woke %llu times in %llu ms, ran %llu us of that, and looked %llu times\n",
                  (unsigned long long)c.switches, (unsigned long long)c.began, (unsigned long long)c.ns / 1000,
                  (unsigned long long)c.rounds);
    return c;
}

static void read_for_ms(struct scene *s, uint64_t ms, uint64_t to)
{
    uint64_t end = clock_now() + ms;

    while (clock_now() < end)
        scene_read_some(s, 0, to);
}

// The thread was started for something else, such as making pages ahead.
static void play_a_thread_that_runs_anyway_sleeps_while_all_fits(struct scene *s)
{
    struct cost c;

    scene_open(s, 0, 0);
    NEED(background_start(&s->da->background));
    c = begin_cost(s);
    read_for_ms(s, 1500, SCENE_SIZE);
    c = end_cost(s, &c);
    NEED(c.switches == 0 && c.ns == 0 && c.rounds == 0);
    scene_close(s);
}
SCENE_EMBEDDED(a_thread_that_runs_anyway_sleeps_while_all_fits, 0)

// It compares once a second, and looks at no page.
static void play_what_fits_barely_is_compared_and_not_looked_at(struct scene *s)
{
    struct cost c;

    scene_open(s, 0, 0);
    read_for_ms(s, 500, SCENE_SIZE);
    c = begin_cost(s);
    read_for_ms(s, 2200, SCENE_SIZE);
    c = end_cost(s, &c);
    NEED(c.switches > 0 && c.switches <= 2 * (c.began / 1000 + 2) && c.rounds == 0);
    scene_close(s);
}
SCENE_EMBEDDED(what_fits_barely_is_compared_and_not_looked_at, MOST_OF_IT)

// The program's major faults are counted four times a second.
static void play_nothing_is_looked_at_while_the_part_that_is_read_fits(struct scene *s)
{
    struct cost c;

    scene_open(s, 0, 0);
    scan(s, 0, SCENE_SIZE);
    read_for_ms(s, 1000, SCENE_LIMIT / 4);
    c = begin_cost(s);
    read_for_ms(s, 2000, SCENE_LIMIT / 4);
    c = end_cost(s, &c);
    NEED(c.switches > 0 && c.switches <= 2 * (c.began / 250 + 8) && c.rounds == 0);
    scene_close(s);
}
SCENE_EMBEDDED(nothing_is_looked_at_while_the_part_that_is_read_fits, SCENE_LIMIT)

// ---- Turned off ----

static void play_the_environment_turns_it_off(struct scene *s)
{
    setenv("DISKALLOC_ADAPT", "0", 1);
    scene_open(s, 0, 0);
    for (int i = 0; i < FEW; i++)
        scene_read_some(s, 0, SCENE_SIZE);
    NEED(!background_runs(&s->da->background));
    NEED(scene_counted(s).rounds == 0 && scene_counted(s).to_single == 0);
    scene_close(s);
}
SCENE_EMBEDDED(the_environment_turns_it_off, SCENE_LIMIT)

static void play_without_threads_nothing_adapts(struct scene *s)
{
    scene_open(s, 0, DISKALLOC_NO_THREADS);
    for (int i = 0; i < FEW; i++)
        scene_read_some(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).rounds == 0 && scene_counted(s).to_single == 0);
    scene_close(s);
}
SCENE_EMBEDDED(without_threads_nothing_adapts, SCENE_LIMIT)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_scan_alone_changes_nothing),
        EACH_BACKEND(advice_of_the_programs_stands),
        EACH_BACKEND(advice_about_a_part_stands_and_the_rest_adapts),
        TEST(nothing_happens_while_all_fits_into_memory),
        TEST(a_thread_that_runs_anyway_sleeps_while_all_fits),
        TEST(what_fits_barely_is_compared_and_not_looked_at),
        TEST(nothing_is_looked_at_while_the_part_that_is_read_fits),
        TEST(the_environment_turns_it_off),
        TEST(without_threads_nothing_adapts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
