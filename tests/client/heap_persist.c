// Heaps that persist: what a later process finds after a close and after a kill, who may open one, and other regions.
// With a daemon and embedded.
#include "tests/lib/heap_blocks.h"
#include "tests/lib/u64vec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "client/heap/heap.h"
#include "tests/lib/region_bytes.h"

static void a_heap_is_there_when_it_is_opened_again(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "heap");

    assert_null(diskalloc_heap_root(h));
    blocks_step(h, blocks_new(h), 1, 10000, 200000);
    for (uint64_t seed = 2; seed < 6; seed++) {
        diskalloc_heap_close(h);
        h = open_heap(b, "heap");
        blocks_check(h, blocks_of(h));
        blocks_step(h, blocks_of(h), seed, 5000, 200000);
    }
    blocks_free(h, blocks_of(h));
    assert_int_equal(diskalloc_heap_set_root(h, NULL), 0);
    diskalloc_heap_close(h);
    h = open_heap(b, "heap");
    assert_null(diskalloc_heap_root(h));
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "heap"), 0);
}
FOR_EACH_BACKEND(a_heap_is_there_when_it_is_opened_again)

static void free_memory_is_found_again(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "free");
    unsigned n_small = 0;

    for (int round = 0; round < 20; round++) {
        void *blocks[2000];

        for (size_t i = 0; i < 2000; i++) {
            blocks[i] = diskalloc_heap_malloc(h, i);
            assert_non_null(blocks[i]);
        }
        for (size_t i = 0; i < 2000; i++)
            diskalloc_heap_free(h, blocks[i]);
        diskalloc_heap_close(h);
        h = open_heap(b, "free");
        n_small += h->region->size < MIB; // all was given back
    }
    diskalloc_heap_close(h);
    assert_int_equal(n_small, 20);
    assert_int_equal(diskalloc_region_unlink(b->da, "free"), 0);
}
FOR_EACH_BACKEND(free_memory_is_found_again)

// Slabs that an earlier process has left: their free blocks are found when one of their blocks is freed.
static void blocks_of_an_earlier_process_are_freed_and_used_again(struct test_backend *b)
{
    enum { N = 4000, SIZE = 64 };
    struct diskalloc_heap *h = open_heap(b, "slabs");
    uint64_t *table = diskalloc_heap_calloc(h, N, sizeof *table);

    assert_int_equal(diskalloc_heap_set_root(h, table), 0);
    for (size_t i = 0; i < N; i++) {
        char *p = diskalloc_heap_malloc(h, SIZE);

        assert_non_null(p);
        memset(p, (int)(i % 100), SIZE);
        table[i] = DISKALLOC_HEAP_OFFSET(h, p);
    }
    for (size_t i = 0; i < N; i += 2)
        diskalloc_heap_free(h, DISKALLOC_HEAP_POINTER(h, table[i]));
    diskalloc_heap_close(h);
    h = open_heap(b, "slabs");
    table = diskalloc_heap_root(h);
    for (size_t i = 1; i < N; i += 4)
        diskalloc_heap_free(h, DISKALLOC_HEAP_POINTER(h, table[i]));
    for (size_t i = 0; i < N; i++)
        if (i % 4 != 3)
            table[i] = DISKALLOC_HEAP_OFFSET(h, memset(diskalloc_heap_malloc(h, SIZE), (int)(i % 100), SIZE));
    assert_true(h->region->size < 4 * MIB);
    for (size_t i = 0; i < N; i++) {
        const char *p = DISKALLOC_HEAP_POINTER(h, table[i]);

        assert_int_equal(p[0], i % 100);
        assert_int_equal(p[SIZE - 1], i % 100);
    }
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "slabs"), 0);
}
FOR_EACH_BACKEND(blocks_of_an_earlier_process_are_freed_and_used_again)

struct kill {
    struct test_backend *b;
    int told;
};

// A linked list, newest first: the root is a node, and each node has the offset of the one before.
struct node {
    uint64_t before, number;
    char rest[];
};

// Tells each number after its node is the root.  Takes and frees other blocks of all sizes in between.
static void grow_a_list(void *data)
{
    const struct kill *k = data;
    struct diskalloc_heap *h = open_heap(k->b, "list");
    struct node *last = diskalloc_heap_root(h);
    uint64_t number = last ? last->number : 0;
    void *others[64] = {NULL};

    for (uint64_t random = number + 1;; random = random * 6364136223846793005 + 1442695040888963407) {
        struct node *n = diskalloc_heap_malloc(h, sizeof *n + (random >> 40) % 3000);
        void **other = &others[(random >> 20) % 64];

        assert_non_null(n);
        n->before = DISKALLOC_HEAP_OFFSET(h, last);
        n->number = ++number;
        assert_int_equal(diskalloc_heap_set_root(h, n), 0);
        last = n;
        diskalloc_heap_free(h, *other);
        *other = diskalloc_heap_malloc(h, (random >> 30) % 5 ? (random >> 33) % 500 : (random >> 33) % 400000);
        if (write(k->told, &number, sizeof number) < 0)
            _exit(1);
    }
}

// Each node is there, and none twice.
static void expect_list(struct diskalloc_heap *h, uint64_t told)
{
    const struct node *n = diskalloc_heap_root(h);
    uint64_t number = n ? n->number : 0;

    assert_true(number >= told);
    for (; n; n = DISKALLOC_HEAP_POINTER(h, n->before)) {
        assert_int_equal(n->number, number--);
        assert_true(diskalloc_heap_usable_size(h, n) >= sizeof *n);
    }
    assert_int_equal(number, 0);
}

static void a_program_may_be_killed_at_any_moment(struct test_backend *b)
{
    uint64_t last = 0;

    for (unsigned round = 0; round < 40; round++) {
        struct diskalloc_heap *h = NULL;
        int ends[2];
        pid_t pid;

        assert_return_code(pipe2(ends, O_CLOEXEC), errno);
        pid = fork();
        assert_return_code(pid, errno);
        if (pid == 0) {
            struct kill k = {b, ends[1]};

            close(ends[0]);
            grow_a_list(&k);
        }
        close(ends[1]);
        for (unsigned i = 0; i < 20 + round * 37 % 1000; i++)
            assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
        kill(pid, SIGKILL);
        while (read(ends[0], &last, sizeof last) == sizeof last)
            ;
        close(ends[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        h = open_heap(b, "list");
        expect_list(h, last);
        diskalloc_heap_close(h);
    }
    assert_int_equal(diskalloc_region_unlink(b->da, "list"), 0);
}
FOR_EACH_BACKEND(a_program_may_be_killed_at_any_moment)

static void make_and_die(void *data)
{
    struct test_backend *b = data;
    struct diskalloc_region *r = NULL;

    // as diskalloc_heap_open does it, up to the magic
    assert_int_equal(open_named(b->da, "half", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 0, REGION_OF_A_HEAP, 0), 0);
    assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
    memset((char *)diskalloc_region_data(r) + 8, 7, 100 * KIB);
    raise(SIGKILL);
}

static void a_heap_that_was_half_made_is_made_anew(struct test_backend *b)
{
    struct diskalloc_heap *h;

    test_in_child(make_and_die, b, (uid_t)-1);
    h = open_heap(b, "half");
    blocks_step(h, blocks_new(h), 1, 3000, 20000);
    blocks_free(h, blocks_of(h));
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "half"), 0);
}
FOR_EACH_BACKEND(a_heap_that_was_half_made_is_made_anew)

static void open_elsewhere(void *data)
{
    struct test_backend *b = data;
    int e;

    diskalloc_heap_close(try_open_heap(b, "one", 0, &e));
    _exit(-e);
}

static int open_in_process(struct test_backend *b)
{
    int status = test_in_child(open_elsewhere, b, (uid_t)-1);

    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void one_process_at_a_time_has_a_heap_open(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "one"), *second;
    int e;

    second = try_open_heap(b, "one", 0, &e);
    assert_null(second);
    assert_int_equal(e, -EBUSY);
    assert_non_null(strstr(diskalloc_last_error(), "open already"));
    assert_int_equal(open_in_process(b), -EBUSY);
    diskalloc_heap_close(h);
    assert_int_equal(open_in_process(b), 0);
    h = try_open_heap(b, "one", DISKALLOC_REGION_SOLE_WRITER, &e);
    assert_int_equal(e, 0);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "one"), 0);
}
FOR_EACH_BACKEND(one_process_at_a_time_has_a_heap_open)

// The heap owns the region that it was opened on, and closes it.
static void a_region_has_one_heap(struct test_backend *b)
{
    for (uint32_t flags = 0; flags <= DISKALLOC_REGION_READ_ONLY; flags += DISKALLOC_REGION_READ_ONLY) {
        struct diskalloc_heap *h, *second = NULL;
        struct diskalloc_region *r;
        char *p;

        diskalloc_heap_close(open_heap(b, "one"));
        assert_int_equal(open_named(b->da, "one", 0, flags, &r), 0);
        assert_int_equal(diskalloc_heap_open(r, &h), 0);
        EXPECT_FAILURE(-EBUSY, "diskalloc_heap_open", diskalloc_heap_open(r, &second));
        assert_null(second);
        p = flags ? NULL : diskalloc_heap_malloc(h, 100);
        if (p)
            memset(p, 1, 100);
        diskalloc_heap_close(h);
        assert_int_equal(diskalloc_region_unlink(b->da, "one"), 0);
    }
}
FOR_EACH_BACKEND(a_region_has_one_heap)

// An open that was refused leaves the region to the program.
static void a_region_that_could_not_be_opened_as_a_heap_may_be_tried_again(struct test_backend *b)
{
    struct diskalloc_region *r;
    struct diskalloc_heap *h;

    assert_int_equal(open_named(b->da, "again", 100000, DISKALLOC_REGION_CREATE, &r), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_open", diskalloc_heap_open(r, &h));
    assert_int_equal(diskalloc_region_resize(r, 0), 0);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "again"), 0);
}
FOR_EACH_BACKEND(a_region_that_could_not_be_opened_as_a_heap_may_be_tried_again)

static void a_heap_is_read_while_another_writes_it(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "read"), *reader;
    char *p = diskalloc_heap_malloc(h, 100), *q;
    int e;

    strcpy(p, "for all to read");
    assert_int_equal(diskalloc_heap_set_root(h, p), 0);
    reader = try_open_heap(b, "read", DISKALLOC_REGION_READ_ONLY, &e);
    assert_int_equal(e, 0);
    q = diskalloc_heap_root(reader);
    assert_string_equal(q, p);
    assert_int_equal(DISKALLOC_HEAP_OFFSET(reader, q), DISKALLOC_HEAP_OFFSET(h, p));
    errno = 0;
    assert_null(diskalloc_heap_malloc(reader, 10));
    assert_int_equal(errno, EROFS);
    for (size_t size = 0; size <= 1000; size += 500) {
        errno = 0;
        assert_null(diskalloc_heap_realloc(reader, q, size));
        assert_int_equal(errno, EROFS);
    }
    assert_int_equal(diskalloc_heap_set_root(reader, NULL), -EROFS);
    assert_int_equal(diskalloc_heap_usable_size(reader, q), 0);
    diskalloc_heap_free(reader, q);
    diskalloc_heap_close(reader);
    assert_string_equal(p, "for all to read");
    diskalloc_heap_free(h, p);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "read"), 0);
}
FOR_EACH_BACKEND(a_heap_is_read_while_another_writes_it)

static void other_regions_are_refused_and_stay_as_they_are(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;
    struct u64vec v;
    int e;

    open_vec(b, &v, "vector");
    assert_int_equal(u64vec_push(&v, 42), 0);
    u64vec_deinit(&v);
    assert_null(try_open_heap(b, "vector", 0, &e));
    assert_int_equal(e, -EPROTOTYPE);
    open_vec(b, &v, "vector");
    assert_int_equal(v.data[0], 42);
    u64vec_deinit(&v);

    // no vector takes a heap either
    diskalloc_heap_close(open_heap(b, "heap"));
    assert_int_equal(u64vec_open(&v, b->da, "heap", NULL), -EPROTOTYPE);

    // a region without a record, with zeros or with something else
    assert_int_equal(open_named(b->da, "plain", 100000, DISKALLOC_REGION_CREATE, &r), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_open", diskalloc_heap_open(r, &h));
    memset(diskalloc_region_data(r), 'x', 100000);
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_open", diskalloc_heap_open(r, &h));
    assert_non_null(strstr(diskalloc_last_error(), "no heap"));
    expect_bytes(r, 0, 100000, 'x');
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "empty", 0, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_null(try_open_heap(b, "empty", DISKALLOC_REGION_READ_ONLY, &e));
    assert_int_equal(e, -EROFS);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(diskalloc_region_unlink(b->da, (const char *[]){"vector", "heap", "plain", "empty"}[i]), 0);
}
FOR_EACH_BACKEND(other_regions_are_refused_and_stay_as_they_are)

static void a_file_of_the_callers_can_be_a_heap(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;
    char dir[128], path[160];
    int fd;

    (void)b;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/heap", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    for (uint64_t seed = 1; seed < 4; seed++) {
        assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
        assert_int_equal(diskalloc_heap_open(r, &h), 0);
        if (seed == 1)
            blocks_new(h);
        blocks_check(h, blocks_of(h));
        blocks_step(h, blocks_of(h), seed, 3000, 100000);
        diskalloc_heap_close(h);
    }
    close(fd);
    scratch_remove_tree(dir);
}
FOR_EACH_BACKEND(a_file_of_the_callers_can_be_a_heap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_heap_is_there_when_it_is_opened_again),
        EACH_BACKEND(free_memory_is_found_again),
        EACH_BACKEND(blocks_of_an_earlier_process_are_freed_and_used_again),
        EACH_BACKEND(a_program_may_be_killed_at_any_moment),
        EACH_BACKEND(a_heap_that_was_half_made_is_made_anew),
        EACH_BACKEND(one_process_at_a_time_has_a_heap_open),
        EACH_BACKEND(a_region_has_one_heap),
        EACH_BACKEND(a_region_that_could_not_be_opened_as_a_heap_may_be_tried_again),
        EACH_BACKEND(a_heap_is_read_while_another_writes_it),
        EACH_BACKEND(other_regions_are_refused_and_stay_as_they_are),
        EACH_BACKEND(a_file_of_the_callers_can_be_a_heap),
    };

    return cmocka_run_group_tests_name("heap_persist", tests, NULL, NULL);
}
