// A heap lies again where it lay, so that pointers in it are good; or elsewhere, and offsets are.
#include "tests/lib/heap_blocks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "client/heap/heap.h"
#include "client/memory/reservation.h"

#define RESERVE (8 * GIB)

struct node {
    struct node *next; // a pointer, not an offset
    uint64_t number;
};

enum { NODES = 1000 };

static struct diskalloc_heap *open_with(struct test_backend *b, const char *name, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;

    o.flags = flags;
    o.reserve = RESERVE;
    assert_int_equal(diskalloc_region_open(b->da, name, &o, &r), 0);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    return h;
}

static void make_list(struct diskalloc_heap *h)
{
    struct node *last = NULL;

    for (uint64_t i = 0; i < NODES; i++) {
        struct node *n = diskalloc_heap_malloc(h, sizeof *n + i);

        assert_non_null(n);
        *n = (struct node){last, i};
        last = n;
    }
    assert_int_equal(diskalloc_heap_set_root(h, last), 0);
}

// SHIFT: how much higher the heap lies than when the list was made.
static void expect_list(const struct diskalloc_heap *h, ptrdiff_t shift)
{
    const struct node *n = diskalloc_heap_root(h);

    for (uint64_t i = NODES; i-- > 0;) {
        assert_non_null(n);
        assert_int_equal(n->number, i);
        n = n->next ? (const struct node *)(const void *)((const char *)n->next + shift) : NULL;
    }
    assert_null(n);
}

// ThreadSanitizer leaves a program no address that a heap could have as its home.
static void need_home(void)
{
    void *wish = (void *)(uintptr_t)home_place(1, 0, RESERVE);
    void *at = mmap(wish, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    munmap(at, MIB);
    if (at == wish)
        return;
    print_message("no home is possible: a program may not lie there\n");
    skip();
}

static void *take(void *at)
{
    void *taken = mmap(at, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    assert_ptr_equal(taken, at);
    return taken;
}

struct reader {
    struct test_backend *b;
    const void *home;
};

static void read_at_home(void *data)
{
    const struct reader *reader = data;
    struct diskalloc_heap *h = open_with(reader->b, "home", DISKALLOC_REGION_READ_ONLY);

    _exit(diskalloc_heap_base(h) == reader->home && ((const struct node *)diskalloc_heap_root(h))->next ? 0 : 1);
}

static void pointers_are_good_where_the_heap_lies_at_home(struct test_backend *b)
{
    struct diskalloc_heap *h = open_with(b, "home", DISKALLOC_REGION_CREATE);
    struct reader reader = {b, diskalloc_heap_home(h)};
    int status;

    assert_ptr_equal(diskalloc_heap_base(h), reader.home);
    make_list(h);
    diskalloc_heap_close(h);
    status = test_in_child(read_at_home, &reader, (uid_t)-1);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 3; i++) {
        void *other = i == 1 ? mmap(NULL, 100 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;

        h = open_with(b, "home", 0);
        assert_ptr_equal(diskalloc_heap_base(h), reader.home);
        assert_ptr_equal(diskalloc_heap_home(h), reader.home);
        expect_list(h, 0);
        diskalloc_heap_close(h);
        if (other)
            munmap(other, 100 * MIB);
    }
    assert_int_equal(diskalloc_region_unlink(b->da, "home"), 0);
}
FOR_EACH_BACKEND_AFTER(pointers_are_good_where_the_heap_lies_at_home, need_home())

static void where_the_home_is_taken_offsets_are_good(struct test_backend *b)
{
    struct diskalloc_heap *h = open_with(b, "taken", DISKALLOC_REGION_CREATE);
    char *home = diskalloc_heap_home(h);
    void *other;

    make_list(h);
    diskalloc_heap_close(h);
    other = take(home + RESERVE - MIB);
    h = open_with(b, "taken", 0);
    assert_ptr_equal(diskalloc_heap_home(h), home);
    assert_ptr_not_equal(diskalloc_heap_base(h), home);
    expect_list(h, (char *)diskalloc_heap_base(h) - home);
    assert_non_null(diskalloc_heap_malloc(h, 100 * KIB));
    diskalloc_heap_close(h);
    munmap(other, MIB);
    h = open_with(b, "taken", 0);
    assert_ptr_equal(diskalloc_heap_base(h), home);
    expect_list(h, 0);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "taken"), 0);
}
FOR_EACH_BACKEND_AFTER(where_the_home_is_taken_offsets_are_good, need_home())

// The place that the name stands for was taken when the heap was made, and is free when it is opened again.
static void the_home_counts_and_not_the_name(struct test_backend *b)
{
    void *place = (void *)(uintptr_t)home_place(home_seed("moved", 5), 0, RESERVE), *other;
    uint64_t held = reservation_held();
    struct diskalloc_heap *h;
    char *home;

    other = mmap(place, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    h = open_with(b, "moved", DISKALLOC_REGION_CREATE);
    home = diskalloc_heap_home(h);
    assert_ptr_equal(other, place);
    assert_ptr_not_equal(home, place);
    make_list(h);
    diskalloc_heap_close(h);
    munmap(other, MIB);
    h = open_with(b, "moved", 0);
    assert_ptr_equal(diskalloc_heap_base(h), home);
    expect_list(h, 0);
    make_list(h);
    take(place); // nothing of the region was left there
    munmap(place, MIB);
    diskalloc_heap_close(h);
    assert_int_equal(reservation_held(), held);
    assert_int_equal(diskalloc_region_unlink(b->da, "moved"), 0);
}
FOR_EACH_BACKEND_AFTER(the_home_counts_and_not_the_name, need_home())

static struct diskalloc_heap *open_file(int fd)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;

    o.reserve = RESERVE;
    assert_int_equal(diskalloc_region_from_fd(fd, &o, &r), 0);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    return h;
}

// Whoever may write to a region must not choose where it lies in other programs.
static void no_heap_is_led_out_of_the_window(void **state)
{
    struct home_header header;
    const uint64_t wrong[] = {
        4096,
        2 * MIB,
        (uint64_t)31 << 40,
        ((uint64_t)32 << 40) + 4096,
        ((uint64_t)80 << 40) - 2 * MIB,
        (uint64_t)80 << 40,
        (uintptr_t)&header & ~(uint64_t)(2 * MIB - 1), // the stack
        UINT64_MAX - 2 * MIB + 1,
    };
    struct diskalloc_heap *h;
    char dir[128], path[160], *home;
    int fd;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/heap", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    h = open_file(fd);
    home = diskalloc_heap_home(h);
    make_list(h);
    diskalloc_heap_close(h);
    assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        header.home = wrong[i];
        header.check = home_check(&header);
        assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
        h = open_file(fd);
        assert_int_not_equal((uintptr_t)diskalloc_heap_base(h), wrong[i]);
        if (!home_is_possible(wrong[i], 0))
            assert_null(diskalloc_heap_home(h));
        assert_int_equal(((const struct node *)diskalloc_heap_root(h))->number, NODES - 1);
        diskalloc_heap_close(h);
    }
    header.home = (uintptr_t)home;
    header.check = home_check(&header);
    assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
    h = open_file(fd);
    assert_ptr_equal(diskalloc_heap_home(h), home);
    if (home)
        expect_list(h, 0);
    diskalloc_heap_close(h);
    close(fd);
    scratch_remove_tree(dir);
}

static void an_anonymous_heap_has_no_home(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    assert_null(diskalloc_heap_home(h));
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(an_anonymous_heap_has_no_home)

static void places_fit_and_differ(void **state)
{
    const uint64_t sizes[] = {2 * MIB, 3 * MIB * 7, GIB, 64 * GIB, 512 * GIB, 32 * TIB};
    unsigned same = 0;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t seed = 1; seed < 200; seed++)
            for (unsigned try = 0; try < HOME_TRIES; try++)
                assert_true(home_is_possible(home_place(home_seed(&seed, sizeof seed), try, sizes[i]), sizes[i]));
    for (uint64_t seed = 1; seed < 200; seed++)
        same += home_place(seed, 0, 512 * GIB) == home_place(seed, 1, 512 * GIB);
    assert_in_range(same, 0, 10);
    assert_int_equal(home_place(1, 0, 64 * TIB), 0);
    assert_int_not_equal(home_seed("ab", 2), home_seed("ba", 2));
    assert_int_not_equal(home_seed("a", 1), home_seed("a\0", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(pointers_are_good_where_the_heap_lies_at_home),
        EACH_BACKEND(where_the_home_is_taken_offsets_are_good),
        EACH_BACKEND(the_home_counts_and_not_the_name),
        TEST(no_heap_is_led_out_of_the_window),
        EACH_BACKEND(an_anonymous_heap_has_no_home),
        TEST(places_fit_and_differ),
    };

    return cmocka_run_group_tests_name("heap_home", tests, NULL, NULL);
}
