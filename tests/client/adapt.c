// Adaptive reading under a memory limit: the uses that change the way a region is read.
#include "tests/lib/reading_scene.h"

#include <sys/mman.h>

static void play_random_reads_change_it_and_a_scan_changes_it_back(struct scene *s)
{
    scene_open(s, 0, 0);
    for (int i = 0; i < 2; i++) {
        scene_read_until_single(s, 2);
        scene_scan_until_all_large(s);
    }
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    scene_close(s);
}
SCENE(random_reads_change_it_and_a_scan_changes_it_back, SCENE_LIMIT)

static void play_who_may_only_read_is_served_too(struct scene *s)
{
    scene_open(s, DISKALLOC_REGION_READ_ONLY, 0);
    scene_read_until_single(s, 2);
    scene_close(s);
}
SCENE(who_may_only_read_is_served_too, SCENE_LIMIT)

static void play_several_regions_count_together(struct scene *s)
{
    enum { N = 4 };
    struct diskalloc_region *more[N];
    struct diskalloc_adaptation a;

    scene_open(s, 0, 0);
    NEED(diskalloc_region_resize(s->r, SCENE_SIZE) == 0);
    for (int i = 0; i < N; i++)
        more[i] = make_region(s->da, 40 * MIB);
    scene_read_until_single(s, 2);
    for (int i = 0; i < N; i++)
        diskalloc_region_close(more[i]);
    a = scene_counted(s);
    NEED(a.rounds > 0);
    scene_close(s);
}
SCENE(several_regions_count_together, SCENE_LIMIT)

// The disk reads more than the program can have touched.
static void play_strides_get_single_pages(struct scene *s)
{
    scene_open(s, 0, 0);
    for (uint64_t i = 0; scene_counted(s).to_single < 2; i++)
        scene_read(s, (i * MIB + i * MIB / SCENE_SIZE * SCENE_STRIDE) % SCENE_SIZE);
    scene_close(s);
}
SCENE(strides_get_single_pages, SCENE_LIMIT)

// An announcement may be dropped.
static void await_page(struct scene *s, uint64_t at)
{
    char *page = (char *)diskalloc_region_data(s->r) + at;
    unsigned char in = 0;

    for (unsigned n = 1; !(in & 1); n++) {
        NEED(mincore(page, 1, &in) == 0);
        if (n % 100 == 0)
            NEED(diskalloc_region_prefetch(s->r, &at, 1, 1) == 0);
        if (!(in & 1))
            usleep(100);
    }
}

// They wait for no page, so nothing but the announcements tells that they are scattered.
static void play_announced_reads_get_single_pages(struct scene *s)
{
    enum { N = 64 };
    uint64_t at[N];

    scene_open(s, 0, 0);
    while (scene_counted(s).to_single < 2) {
        for (unsigned i = 0; i < N; i++)
            at[i] = scene_random_place(s);
        NEED(diskalloc_region_prefetch(s->r, at, N, sizeof(uint64_t)) == 0);
        for (unsigned i = 0; i < N; i++) {
            await_page(s, at[i]);
            scene_read(s, at[i]);
        }
    }
    scene_close(s);
}
SCENE(announced_reads_get_single_pages, SCENE_LIMIT)

static uint32_t split_parts(struct scene *s)
{
    struct adapt *a = &s->r->adapt;
    uint32_t parts;

    pthread_mutex_lock(&a->watch->lock);
    parts = a->split.single;
    pthread_mutex_unlock(&a->watch->lock);
    return parts;
}

// Large pages are split where single ones are asked for, but not those that the program has given advice about.
static void play_large_pages_with_advice_are_not_split(struct scene *s)
{
    scene_open(s, 0, 0);
    NEED(diskalloc_region_advise(s->r, 8 * MIB, 4 * MIB, DISKALLOC_ADVICE_SEQUENTIAL) == 0);
    while (s->r->adapt.single_to[0] == 0 || split_parts(s) == 0)
        scene_read(s, scene_random_place(s));
    NEED((split_parts(s) & 1) == 0);
    scene_close(s);
}
SCENE(large_pages_with_advice_are_not_split, SCENE_LIMIT)

static void a_wrong_call_is_refused(void **state)
{
    struct diskalloc_adaptation a;

    (void)state;
    EXPECT_FAILURE(-EINVAL, "diskalloc_get_adaptation", diskalloc_get_adaptation(NULL, &a, sizeof a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(random_reads_change_it_and_a_scan_changes_it_back),
        EACH_BACKEND(who_may_only_read_is_served_too),
        EACH_BACKEND(several_regions_count_together),
        EACH_BACKEND(strides_get_single_pages),
        EACH_BACKEND(announced_reads_get_single_pages),
        EACH_BACKEND(large_pages_with_advice_are_not_split),
        TEST(a_wrong_call_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
