// Announced reads: which bytes they bring into memory, what is refused, and that they get along with all that may
// happen to a region meanwhile.
#include "tests/lib/page_cache.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/u64vec.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "client/diskalloc.h"
#include "client/region/region.h"

enum { PATIENCE = 60, LOST_AFTER = 15, MANY = 100000 };

// Announced and not read yet.  The kernel leaves out what it finds no memory for at once (__GFP_NORETRY), for instance
// where other tests fill the memory that a container may use: what is not there after LOST_AFTER is announced again.
struct announced {
    struct awaited_bytes bytes;
    struct diskalloc_region *region;
    const uint64_t *at;
    size_t n;
    uint64_t length;
    time_t since;
};

static bool is_read(void *data)
{
    struct announced *a = data;

    if (are_cached(&a->bytes))
        return true;
    if (time(NULL) - a->since >= LOST_AFTER) {
        a->since = time(NULL);
        assert_int_equal(diskalloc_region_prefetch(a->region, a->at, a->n, a->length), 0);
    }
    return false;
}

// AT, N and LENGTH are what was announced; the bytes from FROM to TO are among it.
static void expect_read(struct diskalloc_region *r, const uint64_t *at, size_t n, uint64_t length, uint64_t from,
                        uint64_t to)
{
    struct announced a = {{r, from, to}, r, at, n, length, time(NULL)};

    test_wait_until(is_read, &a, PATIENCE, "the bytes are in memory");
}

static void the_places_are_read_and_no_others(struct test_backend *b)
{
    const uint64_t at[] = {9 * MIB + 4095, 40 * KIB, 40 * KIB, 5 * MIB, 41 * KIB, 16 * MIB - 1, 0};
    struct diskalloc_region *r = make_region(b->da, 16 * MIB);

    if (fill_and_drop(r)) {
        assert_int_equal(diskalloc_region_prefetch(r, at, 7, 1), 0);
        expect_read(r, at, 7, 1, 9 * MIB, 9 * MIB + 4096);
        expect_read(r, at, 7, 1, 40 * KIB, 44 * KIB);
        expect_read(r, at, 7, 1, 5 * MIB, 5 * MIB + 4096);
        expect_read(r, at, 7, 1, 16 * MIB - 4096, 16 * MIB);
        expect_read(r, at, 7, 1, 0, 4096);
        assert_int_equal(cached(r, 0, 16 * MIB), 5 * 4096);
        // Two pages a place.
        assert_int_equal(diskalloc_region_prefetch(r, at, 1, 2), 0);
        expect_read(r, at, 1, 2, 9 * MIB, 9 * MIB + 8192);
    }
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(the_places_are_read_and_no_others)

static void as_many_places_as_one_likes_may_be_announced(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 8 * MIB);
    uint64_t *at = calloc(MANY, sizeof *at);

    assert_non_null(at);
    for (uint64_t i = 0; i < MANY; i++)
        at[i] = i * 40503 * 4096 % (8 * MIB);
    if (fill_and_drop(r)) {
        assert_int_equal(diskalloc_region_prefetch(r, at, 2048, 4096), 0);
        expect_read(r, at, 2048, 4096, 0, 8 * MIB);
        drop_pages(r);
        for (int i = 0; i < 4; i++)
            assert_int_equal(diskalloc_region_prefetch(r, at, MANY, 4096), 0);
        expect_read(r, at, MANY, 4096, 0, 8 * MIB);
    }
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
    free(at);
}
FOR_EACH_BACKEND(as_many_places_as_one_likes_may_be_announced)

static void one_place_may_be_the_whole_region(struct test_backend *b)
{
    const uint64_t at[] = {0, 0};
    struct diskalloc_region *r = make_region(b->da, 64 * MIB + 4096);

    if (fill_and_drop(r)) {
        assert_int_equal(diskalloc_region_prefetch(r, at, 2, 64 * MIB + 4096), 0);
        expect_read(r, at, 2, 64 * MIB + 4096, 0, 64 * MIB + 4096);
    }
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(one_place_may_be_the_whole_region)

static void a_place_outside_is_refused_and_nothing_is_read(struct test_backend *b)
{
    const uint64_t behind[] = {0, MIB}, across[] = {4096, MIB - 4}, wraps[] = {0, UINT64_MAX - 2}, at_end[] = {MIB};
    struct diskalloc_region *r = make_region(b->da, MIB);
    bool dropped = fill_and_drop(r);

    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, behind, 2, 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, across, 2, 8));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, wraps, 2, 8));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, across, 1, UINT64_MAX));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, NULL, 1, 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(NULL, behind, 1, 1));
    assert_int_equal(diskalloc_region_prefetch(r, NULL, 0, 1), 0);
    assert_int_equal(diskalloc_region_prefetch(r, at_end, 1, 0), 0);
    if (dropped)
        assert_int_equal(cached(r, 0, MIB), 0);
    assert_int_equal(diskalloc_region_resize(r, MIB / 2), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(r, across, 2, 4));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_place_outside_is_refused_and_nothing_is_read)

static void elements_are_announced_by_their_indices(struct test_backend *b)
{
    const uint64_t places[] = {5600000, 24};
    const size_t at[] = {700000, 3}, outside[] = {3, 1048576}, beyond[] = {SIZE_MAX};
    struct u64vec v, none = {0};

    assert_int_equal(u64vec_init(&v, b->da), 0);
    while (v.len < MIB)
        assert_int_equal(u64vec_push(&v, v.len), 0);
    if (drop_pages(v.region)) {
        EXPECT_FAILURE(-EINVAL, "u64vec_prefetch", u64vec_prefetch(&v, outside, 2));
        EXPECT_FAILURE(-EINVAL, "u64vec_prefetch", u64vec_prefetch(&v, beyond, 1));
        EXPECT_FAILURE(-EINVAL, "u64vec_prefetch", u64vec_prefetch(&v, NULL, 1));
        assert_int_equal(cached(v.region, 0, 8 * MIB), 0);
        assert_int_equal(u64vec_prefetch(&v, at, 2), 0);
        expect_read(v.region, places, 2, 8, 0, 4096);
        expect_read(v.region, places, 2, 8, 5599232, 5603328);
    }
    EXPECT_FAILURE(-EINVAL, "u64vec_prefetch", u64vec_prefetch(&none, at, 1));
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(elements_are_announced_by_their_indices)

static void who_may_only_read_may_announce(struct test_backend *b)
{
    const uint64_t at[] = {MIB};
    struct diskalloc_region *writer, *reader;

    assert_int_equal(open_named(b->da, "shared", 4 * MIB, DISKALLOC_REGION_CREATE, &writer), 0);
    fill_and_drop(writer);
    assert_int_equal(open_named(b->da, "shared", 0, DISKALLOC_REGION_READ_ONLY, &reader), 0);
    assert_int_equal(diskalloc_region_prefetch(reader, at, 1, 4096), 0);
    expect_read(reader, at, 1, 4096, MIB, MIB + 4096);
    assert_true(is_content_whole(reader));
    diskalloc_region_close(reader);
    diskalloc_region_close(writer);
    assert_int_equal(diskalloc_region_unlink(b->da, "shared"), 0);
}
FOR_EACH_BACKEND(who_may_only_read_may_announce)

// The thread has not sent all reads yet.
static void shrinking_discarding_and_closing_get_along_with_reads_that_wait(struct test_backend *b)
{
    uint64_t *at = calloc(MANY, sizeof *at);

    assert_non_null(at);
    for (int round = 0; round < 12; round++) {
        struct diskalloc_region *r = make_region(b->da, 32 * MIB);

        fill_and_drop(r);
        for (uint64_t i = 0; i < MANY; i++)
            at[i] = i * 40503 * 4096 % (32 * MIB);
        assert_int_equal(diskalloc_region_prefetch(r, at, round % 2 ? MANY : 3000, 4096), 0);
        if (round % 3 == 0)
            assert_int_equal(diskalloc_region_resize(r, 4 * MIB), 0);
        if (round % 3 == 1) {
            assert_int_equal(diskalloc_region_discard(r, 8 * MIB, 16 * MIB), 0);
            assert_int_equal(diskalloc_region_restore(r, 8 * MIB, 16 * MIB), 0);
            assert_int_equal(((char *)diskalloc_region_data(r))[9 * MIB], 0);
        } else if (round > 5) {
            assert_true(is_content_whole(r));
        }
        diskalloc_region_close(r);
    }
    free(at);
}
FOR_EACH_BACKEND(shrinking_discarding_and_closing_get_along_with_reads_that_wait)

static void a_forked_child_announces_for_itself(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 16 * MIB);
    uint64_t at[4096];
    int status = -1;
    pid_t pid;

    fill_and_drop(r);
    for (uint64_t i = 0; i < 4096; i++)
        at[i] = i * 4096;
    assert_int_equal(diskalloc_region_prefetch(r, at, 4096, 4096), 0);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        bool right = diskalloc_region_prefetch(r, at, 4096, 4096) == 0 && is_content_whole(r);

        diskalloc_region_close(r);
        _exit(!right);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_forked_child_announces_for_itself)

static _Atomic long waits_a_call = -1; // how many more are told each time; -1: as it is

// This replaces the function of libc.
int getrusage(__rusage_who_t who, struct rusage *ret)
{
    static _Atomic long n_waits;
    int r = (int)syscall(SYS_getrusage, who, ret);

    if (r == 0 && who == RUSAGE_THREAD && waits_a_call >= 0)
        ret->ru_nvcsw = atomic_fetch_add(&n_waits, waits_a_call) + waits_a_call;
    return r;
}

static void need_thread(void)
{
    if (background_processors() > 1)
        return;
    print_message("no thread of the library: one processor\n");
    skip();
}

static void reads_are_handed_over_when_the_call_has_waited(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 16 * MIB);
    uint64_t at[4096];

    for (uint64_t i = 0; i < 4096; i++)
        at[i] = i * 4096;
    if (fill_and_drop(r)) {
        waits_a_call = 0;
        assert_int_equal(diskalloc_region_prefetch(r, at, 4096, 4096), 0);
        assert_null(r->announced.ring);
        expect_read(r, at, 4096, 4096, 0, 16 * MIB);
    }
    if (fill_and_drop(r)) {
        waits_a_call = 1;
        assert_int_equal(diskalloc_region_prefetch(r, at, 128, 4096), 0);
        assert_null(r->announced.ring); // all was sent before it waited
        assert_int_equal(diskalloc_region_prefetch(r, at, 4096, 4096), 0);
        assert_non_null(r->announced.ring);
        expect_read(r, at, 4096, 4096, 0, 16 * MIB);
    }
    waits_a_call = -1;
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND_AFTER(reads_are_handed_over_when_the_call_has_waited, need_thread())

static void need_thread_and_refusals(void)
{
    need_thread();
    if (!SANITIZED)
        return;
    print_message("no refusals of memory: a sanitizer's allocator ends the program\n");
    skip();
}

// Reads that cannot be handed over are dropped: the bytes are read when they are touched.
static void without_memory_reads_are_dropped(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 16 * MIB);
    static void *left_over[4096];
    size_t n = 0;
    struct rlimit before, none;
    uint64_t at[4096];

    for (uint64_t i = 0; i < 4096; i++)
        at[i] = i * 4096;
    fill_and_drop(r);
    assert_true(background_start(&r->da->background));
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    waits_a_call = 1;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    while (n < 4096 && (left_over[n] = malloc(256 * KIB))) // of what malloc has
        n++;
    diskalloc_region_prefetch(r, at, 4096, 4096);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    while (n > 0)
        free(left_over[--n]);
    waits_a_call = -1;
    assert_null(r->announced.ring);
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND_AFTER(without_memory_reads_are_dropped, need_thread_and_refusals())

static void without_a_thread_the_call_sends_all_reads_itself(void **state)
{
    struct diskalloc_region *r;
    char dir[150], path[200];
    uint64_t at[4096];
    int fd;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/file", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    assert_return_code(ftruncate(fd, 16 * MIB), errno);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    for (uint64_t i = 0; i < 4096; i++)
        at[i] = i * 4096;
    if (fill_and_drop(r)) {
        assert_int_equal(diskalloc_region_prefetch(r, at, 4096, 4096), 0);
        expect_read(r, at, 4096, 4096, 0, 16 * MIB);
    }
    assert_true(is_content_whole(r));
    diskalloc_region_close(r);
    close(fd);
    scratch_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(the_places_are_read_and_no_others),
        EACH_BACKEND(as_many_places_as_one_likes_may_be_announced),
        EACH_BACKEND(one_place_may_be_the_whole_region),
        EACH_BACKEND(a_place_outside_is_refused_and_nothing_is_read),
        EACH_BACKEND(elements_are_announced_by_their_indices),
        EACH_BACKEND(who_may_only_read_may_announce),
        EACH_BACKEND(shrinking_discarding_and_closing_get_along_with_reads_that_wait),
        EACH_BACKEND(a_forked_child_announces_for_itself),
        EACH_BACKEND(reads_are_handed_over_when_the_call_has_waited),
        EACH_BACKEND(without_memory_reads_are_dropped),
        TEST(without_a_thread_the_call_sends_all_reads_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
