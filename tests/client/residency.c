// Which pages are in memory: both calls of the kernel find exactly those that were read.
#include <diskalloc/client.h>

#include "client/memory/advice.h"
#include "client/memory/mapping.h"
#include "client/memory/residency.h"
#include "tests/lib/actor.h"
#include "tests/lib/old_kernel.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/scratch.h"

#include "proto/util/page.h"

#include <sys/mman.h>

enum { OTHER_USER = 54321, WINDOW = 16, WINDOWS = 64, PAGES = WINDOW * WINDOWS };

struct bed {
    int access;
    bool other_user, no_cachestat;
    uint64_t reserve;
    struct mapping mapping;
    struct residency residency;
    struct descriptor file;
    bool read[PAGES];
};

static uint64_t size_of_file(void)
{
    return PAGES * page_size();
}

static int make_file(int access)
{
    char path[256];
    int fd, again;

    scratch_make_dir(path, sizeof path - 8);
    strcat(path, "/file");
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    NEED(fd >= 0 && fallocate(fd, 0, 0, (off_t)size_of_file()) == 0 && fsync(fd) == 0);
    again = open(path, access | O_CLOEXEC);
    NEED(again >= 0 && posix_fadvise(again, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    return again;
}

static void lay(struct bed *b)
{
    const struct ranges none = {0};
    int fd = make_file(b->access);

    NEED(mapping_reserve(&b->mapping, b->reserve, true, size_of_file()) == 0);
    NEED(mapping_place(&b->mapping, fd, b->access == O_RDONLY) == 0);
    NEED(mapping_set_access(&b->mapping, size_of_file(), &none) == 0);
    NEED(advice_give(&b->mapping, 0, size_of_file(), MADV_RANDOM) == 0);
    NEED(descriptor_keep(&b->file, fd) == 0);
    residency_init(&b->residency, &b->mapping);
    if (b->no_cachestat)
        old_kernel_without_cachestat();
    if (b->other_user)
        actor_become(OTHER_USER);
}

static void read_some(struct bed *b)
{
    uint64_t random = 88172645463325252;

    for (unsigned i = 0; i < PAGES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Some windows have no page, some have all.
        b->read[i] = i / WINDOW % 8 < 7 && (i / WINDOW % 8 == 0 || random % 8 <= i / WINDOW % 8);
        if (b->read[i])
            (void)*(volatile char *)(b->mapping.base + i * page_size());
    }
}

static void need_windows(const struct bed *b, unsigned n)
{
    for (unsigned i = 0; i + n <= PAGES; i += n) {
        uint16_t bits = residency_window(&b->residency, i * page_size(), n);

        for (unsigned k = 0; k < n; k++)
            NEED((bits >> k & 1) == b->read[i + k]);
        NEED(bits >> n == 0);
    }
}

static void need_all_windows(const struct bed *b)
{
    for (unsigned n = 1; n <= WINDOW; n++)
        need_windows(b, n);
}

// Pages that are in the page table of another process stay.
static void need_drop(struct bed *b)
{
    uint64_t half = size_of_file() / 2;

    residency_drop(&b->residency, half, half);
    need_windows(b, WINDOW);
    residency_drop(&b->residency, 0, half);
    memset(b->read, 0, PAGES / 2 * sizeof *b->read);
    need_windows(b, WINDOW);
}

// The guard puts pages into the mapping that are in no file.
static void keep_what_is_replaced(void *data)
{
    struct bed *b = data;
    char *page;

    lay(b);
    read_some(b);
    page = mmap(b->mapping.base + page_size(), page_size(), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    NEED(page != MAP_FAILED);
    *page = 'r';
    NEED(diskalloc_guard_enable(NULL, NULL) == 0);
    NEED(!b->other_user || residency_give_file(&b->residency, &b->file));
    NEED(residency_begin(&b->residency) && b->residency.by_file == b->other_user);
    residency_drop(&b->residency, 0, size_of_file());
    NEED(*page == 'r');
}

static void find_by_mincore(void *data)
{
    struct bed *b = data;

    lay(b);
    NEED(!residency_needs_file(&b->residency));
    read_some(b);
    NEED(residency_begin(&b->residency));
    need_all_windows(b);
    need_drop(b);
}

static void find_by_cachestat(void *data)
{
    struct bed *b = data;

    lay(b);
    NEED(residency_needs_file(&b->residency) && !residency_begin(&b->residency));
    NEED(residency_give_file(&b->residency, &b->file));
    NEED(!residency_needs_file(&b->residency));
    // No page is in memory: it may be the wrong file.
    NEED(!residency_begin(&b->residency));
    read_some(b);
    NEED(residency_begin(&b->residency));
    need_all_windows(b);
    need_drop(b);
    // The number stands for another file.
    NEED(dup2(0, b->file.fd) >= 0);
    NEED(!residency_begin(&b->residency) && residency_needs_file(&b->residency));
}

static void find_nothing(void *data)
{
    struct bed *b = data;

    lay(b);
    read_some(b);
    NEED(residency_needs_file(&b->residency));
    NEED(!residency_give_file(&b->residency, &b->file));
    NEED(!residency_needs_file(&b->residency) && !residency_begin(&b->residency));
}

static void get_no_file(void *data)
{
    struct bed *b = data;

    lay(b);
    NEED(residency_needs_file(&b->residency) && !residency_give_file(&b->residency, NULL));
    NEED(!residency_needs_file(&b->residency) && !residency_begin(&b->residency));
}

static void expect(void (*fn)(void *data), struct bed b)
{
    assert_int_equal(test_in_child(fn, &b, (uid_t)-1), 0);
}

static void the_owner_asks_mincore(void **state)
{
    (void)state;
    expect(find_by_mincore, (struct bed){.access = O_RDWR, .reserve = GIB});
    expect(find_by_mincore, (struct bed){.access = O_RDONLY, .reserve = GIB, .no_cachestat = true});
}

// There is no page behind the end of the file.
static void the_owner_is_believed_in_a_region_that_fills_its_reservation(void **state)
{
    (void)state;
    expect(find_by_mincore, (struct bed){.access = O_RDWR, .reserve = size_of_file()});
}

static void another_user_asks_cachestat(void **state)
{
    (void)state;
    expect(find_by_cachestat, (struct bed){.access = O_RDWR, .reserve = GIB, .other_user = true});
    expect(find_by_cachestat, (struct bed){.access = O_RDWR, .reserve = size_of_file(), .other_user = true});
}

static void without_cachestat_another_user_finds_nothing(void **state)
{
    (void)state;
    expect(find_nothing, (struct bed){.access = O_RDWR, .reserve = GIB, .other_user = true, .no_cachestat = true});
}

static void without_a_descriptor_another_user_finds_nothing(void **state)
{
    (void)state;
    expect(get_no_file, (struct bed){.access = O_RDWR, .reserve = GIB, .other_user = true});
}

static void dropping_pages_loses_none_that_the_guard_has_replaced(void **state)
{
    (void)state;
    expect(keep_what_is_replaced, (struct bed){.access = O_RDWR, .reserve = GIB, .other_user = true});
    expect(keep_what_is_replaced, (struct bed){.access = O_RDWR, .reserve = GIB});
}

// ---- Large pages ----

static unsigned table_kib(void)
{
    unsigned kib = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmPTE: %u kB", &kib);
    fclose(f);
    return kib;
}

// Linux 6.14 gives the tables themselves back, not their entries only, if it was built to do so.
static bool gives_tables_back(void)
{
    const size_t length = 32 * MIB;
    char *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned full;

    assert_ptr_not_equal(at, MAP_FAILED);
    madvise(at, length, MADV_NOHUGEPAGE);
    memset(at, 1, length);
    full = table_kib();
    madvise(at, length, MADV_DONTNEED);
    full -= table_kib();
    munmap(at, length);
    return full >= 32;
}

static void touch_each(const struct bed *b, uint64_t stride)
{
    for (uint64_t at = 0; at < size_of_file(); at += stride)
        (void)*(volatile char *)(b->mapping.base + at);
}

// A table of single pages, even an empty one, would keep large pages from being mapped as such.
static void what_was_read_by_single_pages_can_be_mapped_large_again(void **state)
{
    struct bed b = {.access = O_RDWR, .reserve = GIB};
    unsigned before;

    (void)state;
    if (!gives_tables_back()) {
        print_message("[ NOTE     ] this kernel keeps empty tables of pages\n");
        skip();
    }
    lay(&b);
    assert_int_equal(advice_give(&b.mapping, 0, size_of_file(), MADV_NORMAL), 0);
    touch_each(&b, page_size());
    before = count_large_kib(b.mapping.base);
    if (before == 0) {
        print_message("[ NOTE     ] no large pages of files\n");
        skip();
    }
    assert_true(residency_begin(&b.residency));
    residency_drop(&b.residency, 0, size_of_file());
    assert_int_equal(advice_give(&b.mapping, 0, size_of_file(), MADV_RANDOM), 0);
    touch_each(&b, 8 * page_size());
    assert_int_equal(count_large_kib(b.mapping.base), 0);
    assert_int_equal(advice_give(&b.mapping, 0, size_of_file(), MADV_NORMAL), 0);
    residency_drop(&b.residency, 0, size_of_file());
    touch_each(&b, page_size());
    assert_int_equal(count_large_kib(b.mapping.base), before);
    mapping_deinit(&b.mapping);
    close(b.file.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_owner_asks_mincore),
        TEST(the_owner_is_believed_in_a_region_that_fills_its_reservation),
        TEST(another_user_asks_cachestat),
        TEST(without_cachestat_another_user_finds_nothing),
        TEST(without_a_descriptor_another_user_finds_nothing),
        TEST(dropping_pages_loses_none_that_the_guard_has_replaced),
        TEST(what_was_read_by_single_pages_can_be_mapped_large_again),
    };

    if (geteuid() != 0)
        test_skip_all("needs root: a child becomes another user");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
