// Pages that are made ahead of a program that fills a region, while the program resizes, discards, forks and closes: it
// notices nothing, and what was given back stays given back.
#include "tests/lib/prefetch_state.h"
#include "tests/lib/test_backend.h"

#include <time.h>

#define UNIT FRONTS_UNIT
#define MUCH (256 * MIB)
#define STEP 32 // one of so many words is stored: enough to touch each page

static void wait_ms(unsigned ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};

    nanosleep(&t, NULL);
}

static void fill(uint64_t *data, uint64_t from, uint64_t to)
{
    for (uint64_t i = from / 8; i < to / 8; i += STEP)
        data[i] = mix(i);
}

// With the thread close behind.
static void fill_slowly(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    for (; from < to; from += UNIT) {
        fill(diskalloc_region_data(r), from, from + UNIT);
        wait_ms(1);
    }
}

static bool is_filled(const uint64_t *data, uint64_t from, uint64_t to)
{
    for (uint64_t i = from / 8; i < to / 8; i += STEP)
        if (data[i] != mix(i))
            return false;
    return true;
}

static size_t present_in(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    return count_present(diskalloc_region_data(r), from, to);
}

static uint64_t blocks_of(struct diskalloc_region *r)
{
    struct stat st;

    assert_return_code(fstat(diskalloc_region_fd(r), &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

static void shrinking_waits_for_the_piece_and_leaves_nothing_behind_the_end(struct test_backend *b)
{
    uint64_t seed = 3, n_made = 0;

    for (unsigned round = 0; round < 20; round++) {
        struct diskalloc_region *r = make_region(b->da, MUCH);
        uint64_t end = (8 + (seed = mix(seed)) % 16) * UNIT, size = end + seed % (20 * MIB) / 8 * 8;

        fill_slowly(r, 0, end);
        assert_int_equal(diskalloc_region_resize(r, size), 0);
        assert_int_equal(present_in(r, align_up(size, 4096), MUCH), 0);
        wait_ms(2);
        assert_int_equal(present_in(r, align_up(size, 4096), MUCH), 0);
        assert_true(is_filled(diskalloc_region_data(r), 0, end));
        assert_int_equal(diskalloc_region_resize(r, MUCH), 0);
        fill_slowly(r, end, end + 10 * UNIT);
        assert_true(is_filled(diskalloc_region_data(r), 0, end + 10 * UNIT));
        n_made += r->filling.n_made;
        diskalloc_region_close(r);
    }
    assert_true(n_made > 0 || cannot_help());
}
FOR_EACH_BACKEND(shrinking_waits_for_the_piece_and_leaves_nothing_behind_the_end)

// The hole begins and ends within units that are about to be made.
static void discarded_parts_get_no_page_and_no_block(struct test_backend *b)
{
    for (unsigned round = 0; round < 10; round++) {
        struct diskalloc_region *r = make_region(b->da, MUCH);
        uint64_t end = (12 + round) * UNIT, hole = end + UNIT * (round % 3) + 4096 * (round + 1);
        uint64_t length = 3 * MIB + 4096 * round, before;

        fill_slowly(r, 0, end);
        before = blocks_of(r);
        assert_int_equal(diskalloc_region_discard(r, hole, length), 0);
        assert_int_equal(present_in(r, hole, hole + length), 0);
        assert_true(blocks_of(r) <= before - length + 64 * KIB);
        fill_slowly(r, end, hole / UNIT * UNIT);
        wait_ms(5);
        fill_slowly(r, align_up(hole + length, UNIT), align_up(hole + length, UNIT) + 10 * UNIT);
        assert_int_equal(present_in(r, hole, hole + length), 0);
        assert_true(blocks_of(r) <= before - length + 64 * KIB);
        assert_int_equal(diskalloc_region_restore(r, hole, length), 0);
        fill(diskalloc_region_data(r), hole / UNIT * UNIT, align_up(hole + length, UNIT));
        assert_true(is_filled(diskalloc_region_data(r), 0, align_up(hole + length, UNIT) + 10 * UNIT));
        diskalloc_region_close(r);
    }
}
FOR_EACH_BACKEND(discarded_parts_get_no_page_and_no_block)

static void closing_waits_for_the_piece(struct test_backend *b)
{
    for (unsigned round = 0; round < 30; round++) {
        struct u64s v;
        uint64_t *at = NULL;

        assert_int_equal(u64s_init(&v, b->da), 0);
        assert_int_equal(u64s_append_uninit(&v, MUCH / 8, &at), 0);
        fill_slowly(v.region, 0, (5 + round % 5) * UNIT);
        fill(at, (5 + round % 5) * UNIT, (8 + round % 11) * UNIT);
        u64s_deinit(&v);
    }
}
FOR_EACH_BACKEND(closing_waits_for_the_piece)

// The thread's descriptor of the page table.
static bool has_pagemap(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], target[256] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "pagemap"))
            return true;
    }
    return false;
}

static void check_and_fill(struct diskalloc_region *r, uint64_t end)
{
    NEED(is_filled(diskalloc_region_data(r), 0, end));
    NEED(r->filling.background == NULL && !r->filling.active);
    fill(diskalloc_region_data(r), end, end + 20 * UNIT);
    NEED(is_filled(diskalloc_region_data(r), 0, end + 20 * UNIT));
    diskalloc_region_close(r);
}

static void a_forked_child_fills_by_itself(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, MUCH);

    for (uint64_t round = 1; round <= 6; round++) {
        int status = -1;
        pid_t pid;

        fill_slowly(r, (round - 1) * 10 * UNIT, round * 10 * UNIT);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            NEED(!has_pagemap());
            check_and_fill(r, round * 10 * UNIT);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(is_filled(diskalloc_region_data(r), 0, round * 10 * UNIT + 20 * UNIT));
    }
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_forked_child_fills_by_itself)

struct racer {
    struct diskalloc_region *r;
    _Atomic bool stop;
};

// Beyond what the other threads use.
static void *resize_and_discard(void *data)
{
    struct racer *x = data;

    for (uint64_t k = 0; !x->stop; k++) {
        diskalloc_region_resize(x->r, MUCH + k % 3 * 40 * MIB);
        diskalloc_region_discard(x->r, MUCH - 20 * MIB, 8 * MIB);
        diskalloc_region_restore(x->r, MUCH - 20 * MIB, 8 * MIB);
        diskalloc_region_advise(x->r, 0, MUCH, k % 2 ? DISKALLOC_ADVICE_RANDOM : DISKALLOC_ADVICE_NORMAL);
    }
    return NULL;
}

static void other_threads_may_resize_discard_and_advise_meanwhile(struct test_backend *b)
{
    struct racer x = {.r = make_region(b->da, MUCH)};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, resize_and_discard, &x), 0);
    fill_slowly(x.r, 0, 100 * UNIT);
    x.stop = true;
    pthread_join(thread, NULL);
    assert_true(is_filled(diskalloc_region_data(x.r), 0, 100 * UNIT));
    diskalloc_region_close(x.r);
}
FOR_EACH_BACKEND(other_threads_may_resize_discard_and_advise_meanwhile)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(shrinking_waits_for_the_piece_and_leaves_nothing_behind_the_end),
        EACH_BACKEND(discarded_parts_get_no_page_and_no_block),
        EACH_BACKEND(closing_waits_for_the_piece),
        EACH_BACKEND(a_forked_child_fills_by_itself),
        EACH_BACKEND(other_threads_may_resize_discard_and_advise_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
