// Faults of a vector on disk that came before this one, as promises: alignment, files that have content already, and
// many regions.
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <dirent.h>
#include <fcntl.h>

struct page {
    _Alignas(4096) uint8_t bytes[4096];
};

DISKALLOC_VEC_DEFINE(pages, struct page)
DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static void data_is_aligned_to_two_mebibytes(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r[20];

    for (size_t i = 0; i < 20; i++) {
        o.size = i * 5000;
        o.reserve = i % 2 ? 12345 * (i + 1) + 8 * MIB : 0;
        assert_int_equal(diskalloc_region_create(b->da, &o, &r[i]), 0);
        assert_int_equal((uintptr_t)diskalloc_region_data(r[i]) % (2 * MIB), 0);
        assert_true(diskalloc_region_reserve(r[i]) >= o.reserve);
    }
    for (size_t i = 0; i < 20; i++)
        diskalloc_region_close(r[i]);
}
FOR_EACH_BACKEND(data_is_aligned_to_two_mebibytes)

static void elements_of_a_page_lie_on_pages(struct test_backend *b)
{
    struct pages v = {0};
    struct page *more = NULL;

    assert_int_equal(pages_init(&v, b->da), 0);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(pages_append_uninit(&v, 1, &more), 0);
        assert_int_equal((uintptr_t)more % 4096, 0);
        memset(more->bytes, (int)(i & 0xff), sizeof(more->bytes));
    }
    assert_int_equal((uintptr_t)v.data % (2 * MIB), 0);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(v.data[i].bytes[4095], i & 0xff);
    pages_deinit(&v);
}
FOR_EACH_BACKEND(elements_of_a_page_lie_on_pages)

static void opening_a_named_region_keeps_its_content(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    uint8_t *data;

    assert_int_equal(open_named(b->da, "kept", 10001, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 0x37, 10001);
    diskalloc_region_close(r);
    for (int i = 0; i < 3; i++) {
        // CREATE with another size, and no CREATE: an existing region stays as it is.
        assert_int_equal(open_named(b->da, "kept", i == 1 ? 5 : 0, i < 2 ? DISKALLOC_REGION_CREATE : 0, &r), 0);
        assert_int_equal(diskalloc_region_size(r), 10001);
        data = diskalloc_region_data(r);
        for (size_t at = 0; at < 10001; at++)
            assert_int_equal(data[at], 0x37);
        diskalloc_region_close(r);
    }
    assert_int_equal(diskalloc_region_unlink(b->da, "kept"), 0);
}
FOR_EACH_BACKEND(opening_a_named_region_keeps_its_content)

static int make_file(char *ret_path, size_t size, size_t n, uint8_t value)
{
    uint8_t *content = malloc(n);
    int fd;

    assert_non_null(content);
    memset(content, value, n);
    snprintf(ret_path, size, "%s/diskalloc-test-XXXXXX", test_base_dir());
    fd = mkostemp(ret_path, O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_int_equal(write(fd, content, n), n);
    free(content);
    return fd;
}

static void taking_a_file_keeps_its_content_and_grows_it(void **state)
{
    struct diskalloc_region *r = NULL;
    struct stat st;
    char path[200];
    uint8_t *data, byte;
    int fd = make_file(path, sizeof(path), 7777, 0x11);

    (void)state;
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(diskalloc_region_size(r), 7777);
    data = diskalloc_region_data(r);
    assert_int_equal((uintptr_t)data % (2 * MIB), 0);
    for (size_t i = 0; i < 7777; i++)
        assert_int_equal(data[i], 0x11);
    assert_int_equal(diskalloc_region_resize(r, 100000), 0);
    data[99999] = 0x22;
    diskalloc_region_close(r);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_size, 100000);
    assert_true((uint64_t)st.st_blocks * 512 >= 100000);
    assert_int_equal(pread(fd, &byte, 1, 99999), 1);
    assert_int_equal(byte, 0x22);
    close(fd);
    unlink(path);
}

static void a_file_that_is_open_for_reading_is_a_read_only_region(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64s v = {0};
    char path[200];
    int fd = make_file(path, sizeof(path), 800, 0x01), read_only;

    (void)state;
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    assert_return_code(read_only, errno);
    assert_int_equal(diskalloc_region_from_fd(read_only, NULL, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 1600), -EROFS);
    assert_int_equal(diskalloc_region_resize(r, 8), -EROFS);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 100);
    assert_int_equal(v.data[99], 0x0101010101010101);
    assert_int_equal(u64s_push(&v, 1), -EROFS);
    assert_int_equal(u64s_truncate(&v, 1), -EROFS);
    u64s_deinit(&v);
    close(read_only);
    close(fd);
    unlink(path);
}

static void a_vector_on_a_file_is_cut_to_its_length_by_commit(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64s v = {0};
    struct stat st;
    char path[200];
    int fd = make_file(path, sizeof(path), 16, 0x01);

    (void)state;
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 2);
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(u64s_push(&v, i), 0);
    assert_int_equal(u64s_commit(&v, DISKALLOC_DURABLE), 0);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_size, 100002 * 8);
    assert_int_equal(v.len, 100002);
    assert_int_equal(v.data[100001], 99999);
    assert_int_equal(u64s_push(&v, 5), 0);
    assert_int_equal(v.data[100002], 5);
    u64s_deinit(&v);
    close(fd);
    unlink(path);
}

static size_t count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void a_thousand_regions_work_in_one_process(struct test_backend *b)
{
    enum { N = 1000 };
    static struct u64s v[N];
    size_t descriptors;

    assert_int_equal(u64s_init(&v[0], b->da), 0);
    assert_int_equal(u64s_push(&v[0], 0), 0);
    descriptors = count_descriptors();
    for (uint64_t i = 1; i < N; i++) {
        int code = u64s_init(&v[i], b->da);

        if (code != 0)
            print_error("region %u: %s\n", (unsigned)i, diskalloc_last_error());
        assert_int_equal(code, 0);
        assert_int_equal(u64s_push(&v[i], i), 0);
    }
    // A file without a name, as an embedded one has, can be grown through its descriptor only.
    if (b->remote)
        assert_true(count_descriptors() <= descriptors + 8);
    for (uint64_t i = 0; i < N; i++) {
        assert_int_equal(u64s_resize(&v[i], 2000), 0);
        assert_int_equal(v[i].data[0], i);
        v[i].data[1999] = i;
    }
    for (uint64_t i = 0; i < N; i++) {
        assert_int_equal(v[i].data[0], i);
        assert_int_equal(v[i].data[1999], i);
        u64s_deinit(&v[i]);
    }
}

static void a_thousand_regions_with_a_daemon(void **state)
{
    (void)state;
    backend_run(true, "[daemon]\nkeep_free = 0\n[quota default]\nregions = unlimited\n",
                a_thousand_regions_work_in_one_process);
}

static void a_thousand_regions_embedded(void **state)
{
    (void)state;
    backend_run(false, NULL, a_thousand_regions_work_in_one_process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(data_is_aligned_to_two_mebibytes),
        EACH_BACKEND(elements_of_a_page_lie_on_pages),
        EACH_BACKEND(opening_a_named_region_keeps_its_content),
        TEST(taking_a_file_keeps_its_content_and_grows_it),
        TEST(a_file_that_is_open_for_reading_is_a_read_only_region),
        TEST(a_vector_on_a_file_is_cut_to_its_length_by_commit),
        TEST(a_thousand_regions_with_a_daemon),
        TEST(a_thousand_regions_embedded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
