// Adaptive reading under a memory limit: what changes the way a region is read, what does not, and that it gets along
// with all that may happen to a region meanwhile.
#include "tests/lib/actor.h"
#include "tests/lib/cgroup.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "client/diskalloc.h"
#include "client/region/region.h"

// A sanitizer needs memory for itself.
#define SIZE (256 * MIB)
#define LIMIT (SANITIZED ? 128 * MIB : 64 * MIB)

enum { STRIDE = 4096, MANY_ROUNDS = 30, SOME = 200 };

// ---- A child in a group with a limit, and its region ----

struct scene {
    const char *address;
    void (*play)(struct scene *s);
    bool limited;
    struct cgroup group;
    // Of the child:
    struct diskalloc *da;
    struct diskalloc_region *r;
    uint64_t random;
};

// ThreadSanitizer would note each read in memory of its own, of which there is too little.
__attribute__((no_sanitize("thread"), noinline)) static uint64_t load(const char *data, uint64_t at)
{
    return *(const volatile uint64_t *)(const void *)(data + at);
}

static void fill(struct diskalloc_region *r)
{
    char *data = diskalloc_region_data(r);

    for (uint64_t at = 0; at < SIZE; at += STRIDE)
        *(uint64_t *)(void *)(data + at) = ~at;
    assert_int_equal(diskalloc_region_sync(r), 0);
    assert_return_code(madvise(data, SIZE, MADV_DONTNEED), errno);
    assert_int_equal(posix_fadvise(diskalloc_region_fd(r), 0, 0, POSIX_FADV_DONTNEED), 0);
}

static void read_word(struct scene *s, uint64_t at)
{
    NEED(load(diskalloc_region_data(s->r), at) == ~at);
}

static uint64_t random_below(struct scene *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % n;
}

static void read_some(struct scene *s, uint64_t from, uint64_t to)
{
    for (int i = 0; i < SOME; i++)
        read_word(s, from + random_below(s, (to - from) / STRIDE) * STRIDE);
}

static struct diskalloc_adaptation counted(struct scene *s)
{
    struct diskalloc_adaptation a;

    NEED(diskalloc_get_adaptation(s->da, &a, sizeof a) == 0);
    return a;
}

// The deadline of the test ends these two if nothing changes.
static void read_at_random_until_single(struct scene *s, uint64_t n)
{
    uint64_t before = counted(s).to_single;

    while (counted(s).to_single < before + n)
        read_some(s, 0, SIZE);
}

static void scan_until_all_large(struct scene *s)
{
    for (uint64_t at = 0; counted(s).to_large < counted(s).to_single; at = (at + STRIDE) % SIZE)
        read_word(s, at);
}

// Random reads, over which the library looks MANY_ROUNDS times.
static void read_for_many_rounds(struct scene *s, uint64_t from, uint64_t to)
{
    uint64_t before = counted(s).rounds;

    while (counted(s).rounds < before + MANY_ROUNDS)
        read_some(s, from, to);
}

static void open_scene(struct scene *s, uint32_t region_flags, uint32_t flags)
{
    struct diskalloc_options options = DISKALLOC_OPTIONS_INIT;

    if (s->limited)
        NEED(cgroup_enter(&s->group) == 0);
    options.flags = flags;
    NEED(diskalloc_open(s->address, &options, &s->da) == 0);
    NEED(open_named(s->da, "large", SIZE, region_flags, &s->r) == 0);
    s->random = 88172645463325252;
}

static void close_scene(struct scene *s)
{
    diskalloc_region_close(s->r);
    diskalloc_close(s->da);
}

static void play(void *data)
{
    struct scene *s = data;

    s->play(s);
}

static void run_scene(struct test_backend *b, void (*fn)(struct scene *s), bool limited)
{
    struct scene s = {.address = b->address, .play = fn, .limited = limited};
    struct diskalloc_region *r;
    const char *why;
    int status;

    if (limited && cgroup_make(&s.group, LIMIT, &why) < 0) {
        print_message("skipped: %s\n", why);
        return;
    }
    assert_int_equal(open_named(b->da, "large", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    fill(r);
    diskalloc_region_close(r);
    status = test_in_child(play, &s, (uid_t)-1);
    cgroup_remove(&s.group);
    assert_int_equal(status, 0);
    assert_int_equal(open_named(b->da, "large", 0, 0, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "large"), 0);
}

#define SCENE(name, limited)                 \
    static void name(struct test_backend *b) \
    {                                        \
        run_scene(b, play_##name, limited);  \
    }                                        \
    FOR_EACH_BACKEND(name)

// ---- What changes it ----

static void play_random_reads_change_it_and_a_scan_changes_it_back(struct scene *s)
{
    open_scene(s, 0, 0);
    for (int i = 0; i < 2; i++) {
        read_at_random_until_single(s, 2);
        scan_until_all_large(s);
    }
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    close_scene(s);
}
SCENE(random_reads_change_it_and_a_scan_changes_it_back, true)

static void play_who_may_only_read_is_served_too(struct scene *s)
{
    open_scene(s, DISKALLOC_REGION_READ_ONLY, 0);
    read_at_random_until_single(s, 2);
    close_scene(s);
}
SCENE(who_may_only_read_is_served_too, true)

static void play_several_regions_count_together(struct scene *s)
{
    enum { N = 4 };
    struct diskalloc_region *more[N];
    struct diskalloc_adaptation a;

    open_scene(s, 0, 0);
    NEED(diskalloc_region_resize(s->r, SIZE) == 0);
    for (int i = 0; i < N; i++)
        more[i] = make_region(s->da, 40 * MIB);
    read_at_random_until_single(s, 2);
    for (int i = 0; i < N; i++)
        diskalloc_region_close(more[i]);
    a = counted(s);
    NEED(a.rounds > 0);
    close_scene(s);
}
SCENE(several_regions_count_together, true)

// ---- What does not ----

static void play_a_scan_alone_changes_nothing(struct scene *s)
{
    open_scene(s, 0, 0);
    for (int i = 0; i < 4; i++)
        for (uint64_t at = 0; at < SIZE; at += STRIDE)
            read_word(s, at);
    NEED(counted(s).to_single == 0);
    close_scene(s);
}
SCENE(a_scan_alone_changes_nothing, true)

static void play_advice_of_the_programs_stands(struct scene *s)
{
    open_scene(s, 0, 0);
    NEED(diskalloc_region_advise(s->r, 0, SIZE, DISKALLOC_ADVICE_SEQUENTIAL) == 0);
    read_for_many_rounds(s, 0, SIZE);
    NEED(counted(s).to_single == 0);
    NEED(diskalloc_region_advise(s->r, 0, SIZE, DISKALLOC_ADVICE_RANDOM) == 0);
    read_for_many_rounds(s, 0, SIZE);
    for (uint64_t at = 0; at < SIZE; at += STRIDE)
        read_word(s, at);
    NEED(counted(s).to_single == 0 && counted(s).to_large == 0);
    // NORMAL adapts again.
    NEED(diskalloc_region_advise(s->r, 0, SIZE, DISKALLOC_ADVICE_NORMAL) == 0);
    read_at_random_until_single(s, 2);
    // And is obeyed at once.
    NEED(diskalloc_region_advise(s->r, 0, SIZE, DISKALLOC_ADVICE_NORMAL) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    close_scene(s);
}
SCENE(advice_of_the_programs_stands, true)

static void play_advice_about_a_part_stands_and_the_rest_adapts(struct scene *s)
{
    open_scene(s, 0, 0);
    NEED(diskalloc_region_advise(s->r, 0, 128 * MIB, DISKALLOC_ADVICE_SEQUENTIAL) == 0);
    read_at_random_until_single(s, 1);
    read_for_many_rounds(s, 0, SIZE);
    NEED(s->r->adapt.part_size == 64 * MIB);
    NEED(s->r->adapt.single_to[0] == 0 && s->r->adapt.single_to[1] == 0);
    close_scene(s);
}
SCENE(advice_about_a_part_stands_and_the_rest_adapts, true)

static void play_nothing_happens_while_all_fits_into_memory(struct scene *s)
{
    size_t n_threads;

    open_scene(s, 0, 0);
    n_threads = count_threads();
    for (int i = 0; i < 500; i++)
        read_some(s, 0, SIZE);
    NEED(counted(s).rounds == 0 && counted(s).to_single == 0);
    NEED(count_threads() == n_threads && !background_runs(&s->da->background));
    close_scene(s);
}
SCENE(nothing_happens_while_all_fits_into_memory, false)

static void play_the_environment_turns_it_off(struct scene *s)
{
    setenv("DISKALLOC_ADAPT", "0", 1);
    open_scene(s, 0, 0);
    for (int i = 0; i < 10; i++)
        read_some(s, 0, SIZE);
    NEED(!background_runs(&s->da->background));
    NEED(counted(s).rounds == 0 && counted(s).to_single == 0);
    close_scene(s);
}
SCENE(the_environment_turns_it_off, true)

static void play_without_threads_nothing_adapts(struct scene *s)
{
    open_scene(s, 0, DISKALLOC_NO_THREADS);
    for (int i = 0; i < 10; i++)
        read_some(s, 0, SIZE);
    NEED(counted(s).rounds == 0 && counted(s).to_single == 0);
    close_scene(s);
}
SCENE(without_threads_nothing_adapts, true)

// ---- Meanwhile ----

static _Atomic bool is_over;

static void *read_until_over(void *data)
{
    struct scene *s = data;

    while (!is_over)
        read_some(s, 0, SIZE / 2);
    return NULL;
}

static void change_second_half(struct scene *s, uint64_t i)
{
    uint64_t from = SIZE / 2 + i % 7 * MIB, length = 20 * MIB + i % 5 * 4096;

    NEED(diskalloc_region_resize(s->r, SIZE + i % 3 * 100 * MIB) == 0);
    NEED(diskalloc_region_discard(s->r, from, length) == 0);
    NEED(diskalloc_region_advise(s->r, i % 4 * 50 * MIB, 60 * MIB, (int)(i % 3)) == 0);
    NEED(diskalloc_region_restore(s->r, from, length) == 0);
    NEED(diskalloc_region_resize(s->r, SIZE / 2 + i % 9 * 10 * MIB) == 0);
    NEED(diskalloc_region_advise(s->r, 0, SIZE / 2, DISKALLOC_ADVICE_NORMAL) == 0);
}

static void play_changing_the_region_gets_along_with_the_looks(struct scene *s)
{
    pthread_t thread;
    uint64_t before;

    open_scene(s, 0, 0);
    read_at_random_until_single(s, 1);
    NEED(pthread_create(&thread, NULL, read_until_over, s) == 0);
    before = counted(s).rounds;
    for (uint64_t i = 0; counted(s).rounds < before + MANY_ROUNDS; i++) {
        struct diskalloc_region *more = make_region(s->da, 50 * MIB);

        change_second_half(s, i);
        diskalloc_region_close(more);
    }
    is_over = true;
    pthread_join(thread, NULL);
    close_scene(s);
}
SCENE(changing_the_region_gets_along_with_the_looks, true)

static void play_a_shrink_takes_single_pages_along(struct scene *s)
{
    open_scene(s, 0, 0);
    read_at_random_until_single(s, 4);
    NEED(diskalloc_region_resize(s->r, 100 * MIB) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] <= 100 * MIB);
    NEED(diskalloc_region_resize(s->r, 0) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    close_scene(s);
}
SCENE(a_shrink_takes_single_pages_along, true)

static void play_parent_and_child_go_on_after_a_fork(struct scene *s)
{
    int status = -1;
    pid_t pid;

    open_scene(s, 0, 0);
    read_at_random_until_single(s, 1);
    for (int i = 0; i < 3; i++) {
        pid = fork();
        NEED(pid >= 0);
        if (pid == 0) {
            read_some(s, 0, SIZE);
            close_scene(s);
            _exit(0);
        }
        read_some(s, 0, SIZE);
        NEED(waitpid(pid, &status, 0) == pid && status == 0);
    }
    scan_until_all_large(s);
    read_at_random_until_single(s, 1);
    close_scene(s);
}
SCENE(parent_and_child_go_on_after_a_fork, true)

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
        EACH_BACKEND(a_scan_alone_changes_nothing),
        EACH_BACKEND(advice_of_the_programs_stands),
        EACH_BACKEND(advice_about_a_part_stands_and_the_rest_adapts),
        EACH_BACKEND(nothing_happens_while_all_fits_into_memory),
        EACH_BACKEND(the_environment_turns_it_off),
        EACH_BACKEND(without_threads_nothing_adapts),
        EACH_BACKEND(changing_the_region_gets_along_with_the_looks),
        EACH_BACKEND(a_shrink_takes_single_pages_along),
        EACH_BACKEND(parent_and_child_go_on_after_a_fork),
        TEST(a_wrong_call_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
