// Adaptive reading by a client that is another user than the daemon, as on most machines.  mincore(2) tells such a
// client that all pages are in memory.
#include "tests/lib/old_kernel.h"
#include "tests/lib/passthrough.h"
#include "tests/lib/reading_scene.h"

enum { OTHER_USER = 54321, MANY = 20, MOST = 16, SOME = 100 };

static void run(void (*play)(struct scene *s))
{
    struct test_backend b;

    backend_start(&b, true, NULL, NULL);
    scene_run_as(&b, play, SCENE_LIMIT, OTHER_USER);
    backend_stop(&b);
}

static void print_counts(struct scene *s)
{
    struct diskalloc_adaptation a = scene_counted(s);

    print_message("looked %llu times, %llu parts to single pages, %llu back\n", (unsigned long long)a.rounds,
                  (unsigned long long)a.to_single, (unsigned long long)a.to_large);
}

static void play_adapts(struct scene *s)
{
    scene_open(s, 0, 0);
    for (int i = 0; i < 2; i++) {
        scene_read_until_single(s, 2);
        scene_scan_until_all_large(s);
    }
    print_counts(s);
    scene_close(s);
}

static void a_client_that_is_another_user_adapts(void **state)
{
    (void)state;
    run(play_adapts);
}

// How many windows of the first part have a page in memory; DROP: its pages are dropped first.
static unsigned count_windows(struct scene *s, bool drop)
{
    const uint64_t part = 64 * MIB, window = PATTERN_WINDOW * SCENE_STRIDE;
    struct residency *r = &s->r->adapt.residency;
    unsigned n = 0;

    // The client's thread does not look meanwhile.
    pthread_mutex_lock(&s->da->watch.lock);
    NEED(r->by_file && r->counts);
    if (drop)
        residency_drop(r, 0, part);
    for (uint64_t at = 0; at < part; at += window)
        n += residency_window(r, at, PATTERN_WINDOW) != 0;
    pthread_mutex_unlock(&s->da->watch.lock);
    return n;
}

static void play_a_part_is_dropped(struct scene *s)
{
    unsigned before;

    scene_open(s, 0, 0);
    scene_read_until_single(s, 4);
    while ((before = count_windows(s, false)) < SOME)
        scene_read_some(s, 0, SCENE_SIZE);
    // Pages that the kernel is at work with stay.
    NEED(count_windows(s, true) * 10 < before);
    scene_close(s);
}

static void pages_are_dropped_for_another_user_too(void **state)
{
    (void)state;
    run(play_a_part_is_dropped);
}

static bool has_file(const struct diskalloc_region *r)
{
    return r->backing->file.fd >= 0;
}

static void play_grows(struct scene *s)
{
    struct diskalloc_region *more;

    scene_open(s, 0, 0);
    NEED(has_file(s->r));
    more = make_region(s->da, 0);
    NEED(!has_file(more) && s->da->watch.n_files == 1);
    for (int i = 0; i < 2; i++) {
        NEED(diskalloc_region_resize(more, (uint64_t)(64 + i) * MIB) == 0);
        NEED(has_file(more) && s->da->watch.n_files == 2);
    }
    diskalloc_region_close(more);
    NEED(s->da->watch.n_files == 1);
    scene_close(s);
}

static void a_region_that_grows_gets_a_descriptor(void **state)
{
    (void)state;
    run(play_grows);
}

static void play_many(struct scene *s)
{
    struct diskalloc_region *more[MANY];
    unsigned n = 0;

    scene_open(s, 0, 0);
    for (int i = 0; i < MANY; i++)
        more[i] = make_region(s->da, 32 * MIB);
    for (int i = 0; i < MANY; i++)
        n += has_file(more[i]);
    NEED(n == MOST - 1);
    for (int i = 0; i < MANY; i++)
        diskalloc_region_close(more[i]);
    NEED(s->da->watch.n_files == 1);
    scene_close(s);
}

static void a_client_keeps_few_descriptors(void **state)
{
    (void)state;
    run(play_many);
}

// ---- Where nobody tells ----

// Announcements are words of the program, which count only beside true looks.
static void announce_for_rounds(struct scene *s)
{
    enum { N = 64 };
    uint64_t before = scene_counted(s).rounds, at[N];

    while (scene_counted(s).rounds < before + SCENE_ROUNDS) {
        for (unsigned i = 0; i < N; i++)
            at[i] = scene_random_place(s);
        NEED(diskalloc_region_prefetch(s->r, at, N, sizeof(uint64_t)) == 0);
        scene_read(s, at[0]);
    }
}

static void expect_no_change(struct scene *s)
{
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    announce_for_rounds(s);
    print_counts(s);
    NEED(scene_counted(s).to_single == 0 && scene_counted(s).to_large == 0);
    NEED(!has_file(s->r) && s->da->watch.n_files == 0);
}

static void play_without_cachestat(struct scene *s)
{
    old_kernel_without_cachestat();
    scene_open(s, 0, 0);
    NEED(!has_file(s->r));
    NEED(diskalloc_region_commit(s->r, 8, 8, 0) == 0);
    expect_no_change(s);
    scene_close(s);
}

static void without_cachestat_nothing_changes(void **state)
{
    (void)state;
    run(play_without_cachestat);
}

// The pages of a file of FUSE are counted for another file than the one that is mapped.
static void play_through_fuse(struct scene *s)
{
    scene_open(s, 0, 0);
    expect_no_change(s);
    scene_close(s);
}

static void behind_the_passthrough_fence_nothing_changes(void **state)
{
    struct test_backend b;

    (void)state;
    if (!test_daemon_can_start(PASSTHROUGH_CONFIG)) {
        print_message("skipped: no passthrough fence on this machine\n");
        return;
    }
    backend_start(&b, true, PASSTHROUGH_CONFIG, NULL);
    scene_run_as(&b, play_through_fuse, SCENE_LIMIT, OTHER_USER);
    backend_stop(&b);
}

// It may close what it does not know.  The next commit opens the file again.
static void play_closes_the_descriptor(struct scene *s)
{
    scene_open(s, 0, 0);
    scene_read_until_single(s, 2);
    NEED(close(s->r->backing->file.fd) == 0);
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).to_large == scene_counted(s).to_single);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    NEED(diskalloc_region_commit(s->r, 8, 8, 0) == 0);
    scene_read_until_single(s, 2);
    scene_close(s);
}

static void a_program_that_closes_the_descriptor_loses_it_until_its_next_commit(void **state)
{
    (void)state;
    run(play_closes_the_descriptor);
}

// The owner of the files becomes somebody else: mincore's answers change at once.
static void play_changes_its_user(struct scene *s)
{
    scene_open(s, 0, 0);
    NEED(!has_file(s->r));
    scene_read_until_single(s, 2);
    actor_become(OTHER_USER);
    scene_read_for_rounds(s, 0, SCENE_SIZE);
    NEED(scene_counted(s).to_large == scene_counted(s).to_single);
    scene_close(s);
}

static void a_program_that_changes_its_user_changes_nothing_more(void **state)
{
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    scene_run(&b, play_changes_its_user, SCENE_LIMIT);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_is_another_user_adapts),
        TEST(pages_are_dropped_for_another_user_too),
        TEST(a_region_that_grows_gets_a_descriptor),
        TEST(a_client_keeps_few_descriptors),
        TEST(without_cachestat_nothing_changes),
        TEST(behind_the_passthrough_fence_nothing_changes),
        TEST(a_program_that_closes_the_descriptor_loses_it_until_its_next_commit),
        TEST(a_program_that_changes_its_user_changes_nothing_more),
    };

    if (geteuid() != 0)
        test_skip_all("needs root: a child becomes another user");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
