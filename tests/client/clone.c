// Copies of regions: the same content, commit and discarded parts, charged as their own, and independent from then on.
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/numbers.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/region_bytes.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "proto/spill/holes.h"

enum { BLOCK = 4096, SIZE = 64 * BLOCK + 100 };

static struct diskalloc_region *make_filled(struct diskalloc *da, uint64_t size)
{
    struct diskalloc_region *r = make_region(da, size);

    memset(diskalloc_region_data(r), 7, size);
    return r;
}

static struct diskalloc_region_options with_flags(uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.flags = flags;
    return o;
}

static uint64_t blocks_of(struct diskalloc_region *r)
{
    struct stat st;

    assert_return_code(fstat(diskalloc_region_fd(r), &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

static void a_copy_has_everything_and_is_its_own(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da, SIZE), *copy = NULL;
    uint64_t before;

    assert_int_equal(diskalloc_region_discard(r, 8 * BLOCK, 16 * BLOCK), 0);
    assert_int_equal(diskalloc_region_commit(r, 1000, 8, 0), 0);
    before = usage_of(b->da).bytes;
    assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
    assert_int_equal(usage_of(b->da).regions, 2);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, 2 * before);
    assert_string_not_equal(diskalloc_region_handle(copy), diskalloc_region_handle(r));
    assert_int_equal(diskalloc_region_size(copy), SIZE);
    assert_int_equal(file_size(copy), SIZE);
    assert_int_equal(diskalloc_region_used(copy), 1000);
    expect_bytes(copy, 0, 8 * BLOCK, 7);
    assert_false(can_store(copy, 8 * BLOCK));
    assert_false(can_store(copy, 24 * BLOCK - 1));
    expect_bytes(copy, 24 * BLOCK, SIZE, 7);
    assert_true(blocks_of(copy) >= 49 * BLOCK);
    memset(diskalloc_region_data(copy), 8, BLOCK);
    expect_bytes(r, 0, BLOCK, 7);
    assert_int_equal(diskalloc_region_restore(copy, 8 * BLOCK, BLOCK), 0);
    expect_bytes(copy, 8 * BLOCK, 9 * BLOCK, 0);
    assert_false(can_store(r, 8 * BLOCK));
    assert_int_equal(diskalloc_region_resize(copy, 100 * BLOCK), 0);
    expect_bytes(copy, SIZE, 100 * BLOCK, 0);
    diskalloc_region_close(r);
    expect_bytes(copy, 24 * BLOCK, SIZE, 7);
    diskalloc_region_close(copy);
}
FOR_EACH_BACKEND(a_copy_has_everything_and_is_its_own)

static void copies_of_copies_of_all_sizes_are_right(struct test_backend *b)
{
    static const uint64_t sizes[] = {0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * MIB + 5};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct diskalloc_region *r = make_filled(b->da, sizes[i]), *copy = NULL, *second = NULL;

        assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
        assert_int_equal(diskalloc_region_clone(copy, NULL, NULL, &second), 0);
        diskalloc_region_close(copy);
        assert_int_equal(diskalloc_region_size(second), sizes[i]);
        expect_bytes(second, 0, sizes[i], 7);
        diskalloc_region_close(second);
        diskalloc_region_close(r);
    }
}
FOR_EACH_BACKEND(copies_of_copies_of_all_sizes_are_right)

// Capacity that nobody stored to is granted in the copy, and takes no time.
static void what_was_never_stored_to_has_blocks_too(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 32 * MIB), *copy = NULL;
    char *bytes = diskalloc_region_data(r);

    bytes[MIB] = 1;
    bytes[20 * MIB + 5] = 2;
    assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
    assert_true(blocks_of(copy) >= 32 * MIB);
    bytes = diskalloc_region_data(copy);
    assert_int_equal(bytes[MIB], 1);
    assert_int_equal(bytes[20 * MIB + 5], 2);
    bytes[MIB] = bytes[20 * MIB + 5] = 0;
    expect_bytes(copy, 0, 32 * MIB, 0);
    diskalloc_region_close(copy);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(what_was_never_stored_to_has_blocks_too)

static void a_copy_with_a_name_stays_as_a_vector_does(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(0);
    struct diskalloc_region *copy = NULL;
    struct u64s v, later;

    o.mode = 0640;
    assert_int_equal(u64s_init(&v, b->da), 0);
    push_to(&v, 100000);
    assert_int_equal(u64s_commit(&v, 0), 0);
    assert_int_equal(diskalloc_region_clone(v.region, "snap", &o, &copy), 0);
    push_to(&v, 200000);
    diskalloc_region_close(copy);
    u64s_deinit(&v);
    assert_int_equal(u64s_open(&later, b->da, "snap", NULL), 0);
    assert_int_equal(later.len, 12500);
    assert_true(is_content_right(&later));
    push_to(&later, 300000);
    u64s_deinit(&later);
    assert_int_equal(diskalloc_region_unlink(b->da, "snap"), 0);
}
FOR_EACH_BACKEND(a_copy_with_a_name_stays_as_a_vector_does)

static void discarded_parts_stay_so_when_it_is_opened_later(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da, SIZE), *copy = NULL;

    assert_int_equal(diskalloc_region_discard(r, 0, 16 * BLOCK), 0);
    assert_int_equal(diskalloc_region_clone(r, "snap", NULL, &copy), 0);
    diskalloc_region_close(copy);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "snap", 0, 0, &copy), 0);
    assert_false(can_store(copy, 16 * BLOCK - 1));
    expect_bytes(copy, 16 * BLOCK, SIZE, 7);
    diskalloc_region_close(copy);
    assert_int_equal(diskalloc_region_unlink(b->da, "snap"), 0);
}
FOR_EACH_BACKEND(discarded_parts_stay_so_when_it_is_opened_later)

static void readers_may_copy_and_copies_may_be_for_reading(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_READ_ONLY);
    struct diskalloc_region *r = NULL, *reader = NULL, *copy = NULL, *own = NULL;

    assert_int_equal(open_named(b->da, "it", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, SIZE);
    assert_int_equal(diskalloc_region_open(b->da, "it", &o, &reader), 0);
    assert_int_equal(diskalloc_region_clone(reader, NULL, NULL, &own), 0);
    memset(diskalloc_region_data(own), 8, SIZE);
    assert_int_equal(diskalloc_region_clone(reader, "frozen", &o, &copy), 0);
    assert_false(can_store(copy, 0));
    expect_bytes(copy, 0, SIZE, 7);
    EXPECT_FAILURE(-EROFS, "diskalloc_region_resize", diskalloc_region_resize(copy, 2 * SIZE));
    diskalloc_region_close(copy);
    assert_int_equal(diskalloc_region_clone(reader, NULL, &o, &copy), 0);
    expect_bytes(copy, 0, SIZE, 7);
    diskalloc_region_close(copy);
    diskalloc_region_close(own);
    diskalloc_region_close(reader);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "frozen"), 0);
}
FOR_EACH_BACKEND(readers_may_copy_and_copies_may_be_for_reading)

static void a_copy_of_a_sparse_region_is_sparse(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_SPARSE);
    struct diskalloc_region *r = NULL, *copy = NULL;

    o.size = 64 * MIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    memset((char *)diskalloc_region_data(r) + 32 * MIB, 7, MIB);
    assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
    assert_int_equal(diskalloc_region_size(copy), 64 * MIB);
    expect_bytes(copy, 32 * MIB, 33 * MIB, 7);
    assert_true(blocks_of(copy) < 8 * MIB);
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_discard", diskalloc_region_discard(copy, 0, MIB));
    diskalloc_region_close(copy);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_copy_of_a_sparse_region_is_sparse)

static void a_sole_writers_copy_keeps_others_out(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_SOLE_WRITER);
    struct diskalloc_region *r = make_filled(b->da, SIZE), *copy = NULL, *other = NULL;
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
    assert_int_equal(diskalloc_region_clone(r, "mine", &o, &copy), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_open", diskalloc_region_open(da, "mine", NULL, &other));
    diskalloc_region_close(copy);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "mine"), 0);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(a_sole_writers_copy_keeps_others_out)

static void what_makes_no_sense_is_refused(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_SPARSE);
    struct diskalloc_region *r = NULL, *copy = NULL, *file = NULL;
    FILE *tmp = tmpfile();

    assert_int_equal(open_named(b->da, "it", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, SIZE);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(NULL, NULL, NULL, &copy));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, NULL, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, &o, &copy));
    o = with_flags(0);
    o.size = SIZE;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, &o, &copy));
    o = with_flags(0);
    o.struct_size = 0;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, &o, &copy));
    o = with_flags(0);
    o.reserve = 1;
    EXPECT_FAILURE(-ENOMEM, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, &o, &copy));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, ".dot", NULL, &copy));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(r, "root/name", NULL, &copy));
    o = with_flags(DISKALLOC_REGION_CREATE);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_clone", diskalloc_region_clone(r, "it", &o, &copy));
    assert_non_null(strstr(diskalloc_last_error(), b->remote ? "there is a region it already" : "it is there"));
    assert_non_null(tmp);
    assert_int_equal(ftruncate(fileno(tmp), 4096), 0);
    assert_int_equal(diskalloc_region_from_fd(fileno(tmp), NULL, &file), 0);
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_clone", diskalloc_region_clone(file, NULL, NULL, &copy));
    diskalloc_region_close(file);
    fclose(tmp);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_clone", diskalloc_region_clone(r, NULL, NULL, &copy));
    assert_null(copy);
    expect_bytes(r, 0, SIZE, 7);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(what_makes_no_sense_is_refused)

static void a_copy_beyond_the_quota_changes_nothing(void **state)
{
    struct diskalloc_region *r = NULL, *copy = NULL;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 10M\nregions = 3\n", NULL);
    r = make_filled(b.da, 6 * MIB);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_clone", diskalloc_region_clone(r, "copy", NULL, &copy));
    assert_int_equal(info.limit, 10 * MIB);
    assert_int_equal(info.used, 6 * MIB);
    assert_int_equal(info.asked, 6 * MIB);
    assert_int_equal(usage_of(b.da).bytes, 6 * MIB);
    assert_int_equal(usage_of(b.da).regions, 1);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b.da, "copy", 0, 0, &copy));
    expect_bytes(r, 0, 6 * MIB, 7);
    // What is discarded is not charged.
    assert_int_equal(diskalloc_region_discard(r, 0, 2 * MIB), 0);
    assert_int_equal(diskalloc_region_clone(r, "copy", NULL, &copy), 0);
    assert_int_equal(usage_of(b.da).bytes, 8 * MIB);
    diskalloc_region_close(copy);
    assert_int_equal(diskalloc_region_unlink(b.da, "copy"), 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

// ---- The program goes on meanwhile ----

struct worker {
    struct diskalloc_region *r;
    _Atomic bool ends;
};

static void *use(void *data)
{
    struct worker *w = data;
    volatile uint64_t *bytes = diskalloc_region_data(w->r);

    for (uint64_t i = 0; !w->ends; i++) {
        bytes[i % (4 * MIB / 8)] = 7;
        if (i % 4096 == 0 && diskalloc_region_resize(w->r, 8 * MIB + i % 65536) < 0)
            return (void *)1;
    }
    return NULL;
}

// Each number that was stored before the call is in the copy.
static void stores_and_resizes_go_on_meanwhile(struct test_backend *b)
{
    struct worker w = {.r = make_region(b->da, 8 * MIB)};
    uint64_t *numbers = diskalloc_region_data(w.r);
    pthread_t thread;
    void *failed;

    assert_int_equal(pthread_create(&thread, NULL, use, &w), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        struct diskalloc_region *copy = NULL;
        const uint64_t *there;

        for (size_t at = 4 * MIB / 8; at < 8 * MIB / 8; at += 500)
            numbers[at] = i;
        assert_int_equal(diskalloc_region_clone(w.r, NULL, NULL, &copy), 0);
        assert_true(diskalloc_region_size(copy) >= 8 * MIB);
        there = diskalloc_region_data(copy);
        for (size_t at = 0; at < 4 * MIB / 8; at++)
            assert_true(there[at] == 0 || there[at] == 7);
        for (size_t at = 4 * MIB / 8; at < 8 * MIB / 8; at += 500)
            assert_int_equal(there[at], i);
        diskalloc_region_close(copy);
    }
    w.ends = true;
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    diskalloc_region_close(w.r);
}
FOR_EACH_BACKEND(stores_and_resizes_go_on_meanwhile)

// ---- Others ----

static const char *region_of_another;

static void copy_another_users(struct actor *self, void *data)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_READ_ONLY);
    struct diskalloc_region *r = NULL, *copy = NULL;
    struct diskalloc_usage u;
    struct diskalloc *da = NULL;

    (void)self;
    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(diskalloc_region_open(da, region_of_another, &o, &r) == 0);
    NEED(diskalloc_region_clone(r, "mine", NULL, &copy) == 0);
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0);
    NEED(u.bytes == 64 * BLOCK && u.regions == 1);
    NEED(memcmp(diskalloc_region_data(copy), diskalloc_region_data(r), 64 * BLOCK) == 0);
    memset(diskalloc_region_data(copy), 9, 64 * BLOCK);
    diskalloc_region_close(r);
    diskalloc_region_close(copy);
    NEED(diskalloc_region_unlink(da, "mine") == 0);
    diskalloc_close(da);
}

static void a_copy_of_another_users_region_is_the_callers(void **state)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_CREATE);
    struct diskalloc_region *r = NULL;
    struct test_backend b;
    struct actor other;
    char name[64];

    (void)state;
    if (getuid() != 0) {
        print_message("skipped: another uid is taken by root only\n");
        skip();
    }
    backend_start(&b, true, NULL, NULL);
    snprintf(name, sizeof name, "+%u/theirs", getuid());
    region_of_another = name;
    o.size = 64 * BLOCK;
    o.mode = 0604;
    assert_int_equal(diskalloc_region_open(b.da, "theirs", &o, &r), 0);
    memset(diskalloc_region_data(r), 7, o.size);
    assert_return_code(chmod(b.daemon.dir, 0711), errno);
    actor_start(&other, copy_another_users, b.address, 54321);
    actor_finish(&other);
    expect_bytes(r, 0, 64 * BLOCK, 7);
    assert_int_equal(usage_of(b.da).regions, 1);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b.da, "theirs"), 0);
    backend_stop(&b);
}

// ---- File systems that can share blocks, and one that can't ----

// Bytes without blocks, or whose blocks another file has too.
static uint64_t lacking(struct diskalloc_region *r)
{
    const struct ranges none = {0};
    uint64_t n = UINT64_MAX;

    assert_int_equal(holes_count(diskalloc_region_fd(r), 0, diskalloc_region_size(r), &none, &n), 0);
    return n;
}

static void take_all_that_is_left(const char *at)
{
    char path[300];
    off_t end = 0;
    int fd;

    snprintf(path, sizeof path, "%s/outside", at);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    for (off_t piece = (off_t)MIB; piece >= BLOCK; piece /= 2)
        while (fallocate(fd, 0, end, piece) == 0)
            end += piece;
    close(fd);
}

// What was granted of the copy, and of the region that was copied, can be stored to when the disk is full.
static void copy_on(const char *type, bool remote)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_SPARSE);
    struct diskalloc_region *r, *copy = NULL, *sparse = NULL, *second = NULL;
    struct test_backend b;
    struct test_mount m;

    if (!test_mount(&m, type, 320 * MIB)) {
        skip();
        return;
    }
    backend_start(&b, remote, NULL, m.at);
    r = make_filled(b.da, 8 * MIB);
    assert_int_equal(diskalloc_region_sync(r), 0);
    assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
    assert_int_equal(lacking(r), 0);
    assert_int_equal(lacking(copy), 0);
    o.size = 4 * MIB;
    assert_int_equal(diskalloc_region_create(b.da, &o, &sparse), 0);
    memset(diskalloc_region_data(sparse), 7, MIB);
    assert_int_equal(diskalloc_region_clone(sparse, NULL, NULL, &second), 0);
    expect_bytes(second, 0, MIB, 7);
    expect_bytes(second, MIB, 4 * MIB, 0);
    memset(diskalloc_region_data(second), 8, BLOCK);
    expect_bytes(sparse, 0, MIB, 7);
    diskalloc_region_close(second);
    diskalloc_region_close(sparse);
    take_all_that_is_left(m.at);
    memset(diskalloc_region_data(copy), 8, 8 * MIB);
    memset(diskalloc_region_data(r), 9, 8 * MIB);
    expect_bytes(copy, 0, 8 * MIB, 8);
    assert_int_equal(diskalloc_region_sync(copy), 0);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_clone", diskalloc_region_clone(r, "more", NULL, &second));
    expect_bytes(r, 0, 8 * MIB, 9);
    diskalloc_region_close(copy);
    diskalloc_region_close(r);
    backend_stop(&b);
    test_unmount(&m);
}

#define DISK(type, how, remote)                                                            \
    static void granted_bytes_of_copies_have_blocks_on_a_full_##type##_##how(void **state) \
    {                                                                                      \
        (void)state;                                                                       \
        copy_on(#type, remote);                                                            \
    }
DISK(ext4, with_a_daemon, true)
DISK(ext4, embedded, false)
DISK(xfs, with_a_daemon, true)
DISK(xfs, embedded, false)
DISK(btrfs, with_a_daemon, true)
DISK(btrfs, embedded, false)

// ---- Progress ----

static bool has_event(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

// A daemon tells once a second: see tests/op/clone.c and tests/client/events.c.
static void events_tell_how_far_it_is(void **state)
{
    struct diskalloc_region *r, *copy = NULL;
    struct diskalloc_event e;
    struct test_backend b;
    int fd;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    fd = diskalloc_event_fd(b.da);
    assert_true(fd >= 0);
    r = make_filled(b.da, 80 * MIB);
    assert_false(has_event(fd));
    assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
    assert_true(has_event(fd));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 1);
    assert_int_equal(e.kind, DISKALLOC_EVENT_CLONE_PROGRESS);
    assert_string_equal(e.handle, diskalloc_region_handle(r));
    assert_int_equal(e.limit, 80 * MIB);
    assert_int_equal(e.used, 64 * MIB);
    assert_false(has_event(fd));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    diskalloc_region_close(copy);
    // Events that nobody takes are replaced by newer ones, and are there for who asks for the descriptor later.
    close(fd);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(diskalloc_region_clone(r, NULL, NULL, &copy), 0);
        diskalloc_region_close(copy);
    }
    fd = diskalloc_event_fd(b.da);
    assert_true(has_event(fd));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 1);
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    assert_false(has_event(fd));
    diskalloc_region_close(r);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_copy_has_everything_and_is_its_own),
        EACH_BACKEND(copies_of_copies_of_all_sizes_are_right),
        EACH_BACKEND(what_was_never_stored_to_has_blocks_too),
        EACH_BACKEND(a_copy_with_a_name_stays_as_a_vector_does),
        EACH_BACKEND(discarded_parts_stay_so_when_it_is_opened_later),
        EACH_BACKEND(readers_may_copy_and_copies_may_be_for_reading),
        EACH_BACKEND(a_copy_of_a_sparse_region_is_sparse),
        EACH_BACKEND(a_sole_writers_copy_keeps_others_out),
        EACH_BACKEND(what_makes_no_sense_is_refused),
        TEST(a_copy_beyond_the_quota_changes_nothing),
        EACH_BACKEND(stores_and_resizes_go_on_meanwhile),
        TEST(a_copy_of_another_users_region_is_the_callers),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_ext4_with_a_daemon),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_ext4_embedded),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_xfs_with_a_daemon),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_xfs_embedded),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_btrfs_with_a_daemon),
        TEST(granted_bytes_of_copies_have_blocks_on_a_full_btrfs_embedded),
        TEST(events_tell_how_far_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
