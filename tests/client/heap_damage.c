// A heap that something else has written to is refused, or opened; whatever it says, nothing outside it is touched.
#include "tests/lib/heap_blocks.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "client/heap/format.h"

// A file with a heap in it, which the test changes while no heap is open.
struct file {
    char dir[128];
    int fd;
    size_t size;
    unsigned char *bytes; // as they were
};

static struct diskalloc_region *region_of(const struct file *f)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(diskalloc_region_from_fd(f->fd, NULL, &r), 0);
    return r;
}

// LARGE: with a second segment.
static void make_file(struct file *f, bool large)
{
    struct diskalloc_heap *h = NULL;
    char path[160];

    scratch_make_dir(f->dir, sizeof f->dir);
    snprintf(path, sizeof path, "%s/heap", f->dir);
    f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(f->fd, errno);
    assert_int_equal(diskalloc_heap_open(region_of(f), &h), 0);
    blocks_step(h, blocks_new(h), 1, 2000, 60000);
    assert_true(!large || diskalloc_heap_malloc(h, 17 * MIB));
    diskalloc_heap_close(h);
    f->size = (size_t)lseek(f->fd, 0, SEEK_END);
    f->bytes = malloc(f->size);
    assert_non_null(f->bytes);
    assert_int_equal(pread(f->fd, f->bytes, f->size, 0), f->size);
}

static void remove_file(struct file *f)
{
    free(f->bytes);
    close(f->fd);
    scratch_remove_tree(f->dir);
}

static void write_at(const struct file *f, size_t at, const void *bytes, size_t n)
{
    assert_int_equal(pwrite(f->fd, bytes, n, (off_t)at), n);
}

static void mend(const struct file *f)
{
    assert_return_code(ftruncate(f->fd, (off_t)f->size), errno);
    write_at(f, 0, f->bytes, f->size);
}

static int try_open(const struct file *f, struct diskalloc_heap **ret)
{
    struct diskalloc_region *r = region_of(f);
    int e = diskalloc_heap_open(r, ret);

    if (e < 0)
        diskalloc_region_close(r);
    return e;
}

static void expect_refused(const struct file *f, const char *why)
{
    struct diskalloc_heap *h = NULL;
    int e = try_open(f, &h);

    if (e != -EINVAL)
        fail_msg("%d instead of \"%s\"", e, why);
    if (!strstr(diskalloc_last_error(), why))
        fail_msg("\"%s\" does not say \"%s\"", diskalloc_last_error(), why);
    mend(f);
}

static const struct heap_segment *segment(const struct file *f, size_t unit)
{
    return (const struct heap_segment *)(const void *)(f->bytes + unit * UNIT);
}

static uint64_t decode(const struct file *f, uint32_t unit, struct span *ret)
{
    uint64_t word = segment(f, 1)->entries[unit];

    return span_decode(word, unit, (uint32_t)(f->size / UNIT), ret);
}

// The first span of a kind among those of the first segment.
static uint32_t find(const struct file *f, enum span_kind kind, struct span *ret)
{
    for (uint32_t at = 0; at < SEGMENT_UNITS; at += ret->n) {
        assert_true(decode(f, at, ret));
        if (ret->kind == kind && at > 0)
            return at;
    }
    fail_msg("no span of kind %d", kind);
    return 0;
}

static void write_entry(const struct file *f, uint32_t unit, struct span s)
{
    uint64_t word = span_encode(s, unit);

    write_at(f, UNIT + offsetof(struct heap_segment, entries) + unit * sizeof word, &word, sizeof word);
}

static void write_word(const struct file *f, size_t at, uint64_t word)
{
    write_at(f, at, &word, sizeof word);
}

static void a_header_that_does_not_fit_is_refused(void **state)
{
    const size_t extent_at = offsetof(struct heap_header, extent), root_at = offsetof(struct heap_header, root);
    uint64_t extent, units;
    struct file f;

    (void)state;
    make_file(&f, true);
    assert_true(unseal(((const struct heap_header *)(const void *)f.bytes)->extent, SEAL_EXTENT, 0, &extent));
    units = (uint32_t)extent;
    write_at(&f, 0, "NOTAHEAP", 8);
    expect_refused(&f, "no heap");
    write_at(&f, offsetof(struct heap_header, first.version), &(uint32_t){2}, 4);
    expect_refused(&f, "version 2");
    write_at(&f, offsetof(struct heap_header, first.unit), &(uint32_t){4096}, 4);
    expect_refused(&f, "damaged");
    write_word(&f, offsetof(struct heap_header, first.home), 12345);
    expect_refused(&f, "damaged");
    write_word(&f, extent_at, extent);
    expect_refused(&f, "damaged");
    write_word(&f, extent_at, seal(extent + 1, SEAL_EXTENT, 0)); // beyond the file, which ends with the heap
    expect_refused(&f, "the region has");
    write_word(&f, extent_at, seal((uint32_t)1 << 31 | extent >> 32 << 32, SEAL_EXTENT, 0));
    expect_refused(&f, "the region has");
    write_word(&f, extent_at, seal(1 | (uint64_t)1 << 32, SEAL_EXTENT, 0));
    expect_refused(&f, "its size");
    write_word(&f, extent_at, seal(units | (uint64_t)1 << 32, SEAL_EXTENT, 0));
    expect_refused(&f, "segments");
    write_word(&f, extent_at, seal(units | (uint64_t)0x3fffff << 32, SEAL_EXTENT, 0));
    expect_refused(&f, "segments");
    write_word(&f, extent_at, seal(units | ((extent >> 32) + 1) << 32, SEAL_EXTENT, 0));
    expect_refused(&f, "segment");
    write_word(&f, extent_at, seal((units - 1) | extent >> 32 << 32, SEAL_EXTENT, 0)); // within a span
    expect_refused(&f, "an entry");
    write_word(&f, root_at, 16384);
    expect_refused(&f, "damaged");
    write_word(&f, root_at, seal(f.size + 16, SEAL_ROOT, 0));
    expect_refused(&f, "root");
    write_word(&f, root_at, seal(UNIT, SEAL_ROOT, 0));
    expect_refused(&f, "root");
    assert_return_code(ftruncate(f.fd, (off_t)f.size - 4096), errno);
    expect_refused(&f, "the region has");
    assert_return_code(ftruncate(f.fd, 100), errno);
    expect_refused(&f, "no heap");
    remove_file(&f);
}

// Of a heap that is only read nothing else is looked at.
static void a_reader_is_refused_a_root_outside_of_the_heap(void **state)
{
    const size_t root_at = offsetof(struct heap_header, root);
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;
    struct file f;

    (void)state;
    make_file(&f, false);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    write_word(&f, root_at, seal(f.size + 16, SEAL_ROOT, 0));
    assert_int_equal(diskalloc_region_from_fd(f.fd, &o, &r), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_open", diskalloc_heap_open(r, &h));
    assert_non_null(strstr(diskalloc_last_error(), "the root lies outside"));
    assert_null(h);
    mend(&f);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    diskalloc_heap_close(h);
    remove_file(&f);
}

// The program would go there next.
static void a_reader_is_refused_a_root_that_was_given_back(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = open_heap(b, "root");
    char *root = diskalloc_heap_malloc(h, 100000);
    uint64_t at = DISKALLOC_HEAP_OFFSET(h, root);
    int e;

    root[0] = 'r';
    assert_int_equal(diskalloc_heap_set_root(h, root), 0);
    diskalloc_heap_close(h);
    h = try_open_heap(b, "root", DISKALLOC_REGION_READ_ONLY, &e);
    assert_int_equal(e, 0);
    assert_int_equal(*(char *)diskalloc_heap_root(h), 'r');
    diskalloc_heap_close(h);
    assert_int_equal(open_named(b->da, "root", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_discard(r, at, UNIT), 0);
    diskalloc_region_close(r);
    assert_null(try_open_heap(b, "root", DISKALLOC_REGION_READ_ONLY, &e));
    assert_int_equal(e, -EINVAL);
    assert_non_null(strstr(diskalloc_last_error(), "the root was given back"));
    assert_int_equal(diskalloc_region_unlink(b->da, "root"), 0);
}
FOR_EACH_BACKEND(a_reader_is_refused_a_root_that_was_given_back)

static void spans_that_do_not_fit_together_are_refused(void **state)
{
    const size_t next_at = UNIT + offsetof(struct heap_segment, next);
    uint32_t slab, large;
    struct span s, l;
    uint64_t second;
    struct file f;

    (void)state;
    make_file(&f, true);
    slab = find(&f, SPAN_SLAB, &s);
    large = find(&f, SPAN_LARGE, &l);
    assert_true(unseal(segment(&f, 1)->next, SEAL_NEXT, 1, &second));
    write_entry(&f, slab, (struct span){SPAN_SLAB, s.size_class, s.n + 1});
    expect_refused(&f, "an entry");
    write_entry(&f, slab, (struct span){SPAN_SLAB, 63, s.n});
    expect_refused(&f, "an entry");
    write_entry(&f, slab, (struct span){7, 0, s.n});
    expect_refused(&f, "an entry");
    write_entry(&f, 0, (struct span){SPAN_NOTES, 0, HEAP_FIRST_UNITS + 1});
    expect_refused(&f, "damaged");
    write_entry(&f, large, (struct span){SPAN_LARGE, 0, UINT32_MAX});
    expect_refused(&f, "an entry");
    write_entry(&f, large, (struct span){SPAN_LARGE, 0, 0});
    expect_refused(&f, "an entry");
    write_entry(&f, 0, (struct span){SPAN_LARGE, 0, HEAP_FIRST_UNITS});
    expect_refused(&f, "header");
    write_entry(&f, 0, (struct span){SPAN_NOTES, 0, 1}); // the segment is in no span of notes
    expect_refused(&f, "damaged");
    // an entry of another unit, as it was there
    write_word(&f, UNIT + offsetof(struct heap_segment, entries) + large * 8, segment(&f, 1)->entries[slab]);
    expect_refused(&f, "an entry");
    write_word(&f, next_at, seal(1, SEAL_NEXT, 1)); // the first segment once more
    expect_refused(&f, "two segments");
    write_word(&f, next_at, seal(0, SEAL_NEXT, 1));
    expect_refused(&f, "place of a segment");
    write_word(&f, next_at, seal(slab, SEAL_NEXT, 1));
    expect_refused(&f, "damaged");
    write_word(&f, next_at, seal(0xffffffff, SEAL_NEXT, 1));
    expect_refused(&f, "place of a segment");
    write_word(&f, next_at, second);
    expect_refused(&f, "place of a segment");
    remove_file(&f);
}

// Memory that a block has, and the notes, must be granted.
static void a_heap_of_which_parts_were_given_back_is_refused(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = open_heap(b, "parts");
    uint64_t at[3];
    int e;

    at[0] = 0;
    at[1] = UNIT;
    at[2] = DISKALLOC_HEAP_OFFSET(h, diskalloc_heap_malloc(h, 100000));
    diskalloc_heap_close(h);
    for (size_t i = 0; i < 3; i++) {
        char kept[4096];

        assert_int_equal(open_named(b->da, "parts", 0, 0, &r), 0);
        memcpy(kept, (char *)diskalloc_region_data(r) + at[i], 4096);
        assert_int_equal(diskalloc_region_discard(r, at[i], 4096), 0);
        diskalloc_region_close(r);
        assert_null(try_open_heap(b, "parts", 0, &e));
        assert_int_equal(e, -EINVAL);
        assert_non_null(strstr(diskalloc_last_error(), "damaged"));
        assert_int_equal(open_named(b->da, "parts", 0, 0, &r), 0);
        assert_int_equal(diskalloc_region_restore(r, at[i], 4096), 0);
        memcpy((char *)diskalloc_region_data(r) + at[i], kept, 4096);
        diskalloc_region_close(r);
        diskalloc_heap_close(open_heap(b, "parts"));
    }
    assert_int_equal(diskalloc_region_unlink(b->da, "parts"), 0);
}
FOR_EACH_BACKEND(a_heap_of_which_parts_were_given_back_is_refused)

// Uses a heap that may be anything: blocks may share bytes, and nothing else happens.
static void use(struct diskalloc_heap *h)
{
    void *blocks[200];

    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 10 ? i * 13 : i * 4000;

        blocks[i] = diskalloc_heap_malloc(h, size);
        if (blocks[i])
            memset(blocks[i], 7, size);
    }
    for (size_t i = 0; i < 200; i += 2)
        diskalloc_heap_free(h, blocks[i]);
}

// Bytes at random, and words at random that are sealed well: the second kind passes the checks of single words.
static void write_nonsense(const struct file *f, unsigned *seed)
{
    const size_t entries = UNIT + offsetof(struct heap_segment, entries);

    for (unsigned i = 0, n = 1 + (unsigned)rand_r(seed) % 4; i < n; i++) {
        uint32_t unit = (uint32_t)rand_r(seed) % SEGMENT_UNITS;
        unsigned char byte = (unsigned char)rand_r(seed);
        struct span s = {(enum span_kind)(1 + rand_r(seed) % 4), 0, 1 + (uint32_t)rand_r(seed) % 30};

        switch (rand_r(seed) % 5) {
        case 0:
            write_at(f, (size_t)rand_r(seed) % (10 * UNIT), &byte, 1);
            break;
        case 1:
            s.size_class = s.kind == SPAN_SLAB ? (unsigned)rand_r(seed) % 40 : 0;
            write_entry(f, unit, s);
            break;
        case 2: // bits of slabs
            write_word(f, UNIT + offsetof(struct heap_segment, bits) + (size_t)rand_r(seed) % 16000 * 8,
                       (uint64_t)rand_r(seed) << 32 ^ (uint64_t)rand_r(seed));
            break;
        case 3:
            write_word(f, UNIT + offsetof(struct heap_segment, next),
                       seal((uint64_t)rand_r(seed) % 2000, SEAL_NEXT, 1));
            break;
        default: // an entry that goes to the end of another span
            if (decode(f, unit, &s)) {
                s.n += (uint32_t)rand_r(seed) % 8;
                write_entry(f, unit, s);
            } else {
                write_word(f, entries + unit * 8, 0);
            }
        }
    }
}

static void whatever_a_heap_says_nothing_outside_is_touched(void **state)
{
    unsigned refused = 0, opened = 0, seed = 1;
    struct file f;

    (void)state;
    make_file(&f, false);
    for (unsigned i = 0; i < 250; i++) {
        struct diskalloc_heap *h = NULL;
        int e;

        write_nonsense(&f, &seed);
        e = try_open(&f, &h);
        if (e == 0) {
            opened++;
            use(h);
            diskalloc_heap_close(h);
        } else {
            refused++;
            assert_int_equal(e, -EINVAL);
            assert_non_null(strstr(diskalloc_last_error(), "damaged"));
        }
        mend(&f);
    }
    assert_true(refused > 20 && opened > 20);
    remove_file(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_header_that_does_not_fit_is_refused),
        TEST(a_reader_is_refused_a_root_outside_of_the_heap),
        EACH_BACKEND(a_reader_is_refused_a_root_that_was_given_back),
        TEST(spans_that_do_not_fit_together_are_refused),
        EACH_BACKEND(a_heap_of_which_parts_were_given_back_is_refused),
        TEST(whatever_a_heap_says_nothing_outside_is_touched),
    };

    return cmocka_run_group_tests_name("heap_damage", tests, NULL, NULL);
}
