// Scenes with mmap and its relatives: see allocator.h.
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/preload/allocator.h"

enum { RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS };
#define SIZE (48 * MIB)

static char *map(size_t size)
{
    char *m = mmap(NULL, size, RW, ANONYMOUS, -1, 0);

    CHECK(m != MAP_FAILED && is_on_disk(m));
    CHECK(is_zero(m, size));
    return m;
}

void play_mmap(void)
{
    char *m = map(SIZE), *other, *fixed;

    fill(m, SIZE, 1);
    // A hole in the middle, and then the rest.
    CHECK(munmap(m + 8 * MIB + 4096, 16 * MIB) == 0);
    CHECK(is_filled(m, 8 * MIB, 1));
    CHECK(msync(m + 9 * MIB, 4096, MS_ASYNC) < 0 && errno == ENOMEM); // nothing is mapped there
    other = map(SIZE);
    fill(other, SIZE, 2);
    CHECK(munmap(m, SIZE) == 0);
    CHECK(munmap(m, SIZE) == 0); // also of what is not mapped
    CHECK(is_filled(other, SIZE, 2));
    CHECK(munmap(other, SIZE) == 0);
    CHECK(munmap(other + 1, SIZE) < 0 && errno == EINVAL);
    // What is no private anonymous memory, or is only reserved, stays what it is.
    CHECK(!is_on_disk(mmap(NULL, MIB, RW, ANONYMOUS, -1, 0)));
    CHECK(!is_on_disk(mmap(NULL, SIZE, PROT_NONE, ANONYMOUS, -1, 0)));
    CHECK(!is_on_disk(mmap(NULL, SIZE, RW, ANONYMOUS | MAP_NORESERVE, -1, 0)));
    CHECK(!is_on_disk(mmap(NULL, SIZE, RW, ANONYMOUS | MAP_STACK, -1, 0)));
    CHECK(mmap(NULL, 0, RW, ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    // Reserved first, then made accessible in place, as virtual machines do.
    fixed = mmap(NULL, 256 * MIB, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(mmap(fixed + 4096, SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == fixed + 4096);
    CHECK(is_on_disk(fixed + 4096) && is_zero(fixed + 4096, SIZE) && !is_on_disk(fixed) &&
          !is_on_disk(fixed + 4096 + SIZE));
    fill(fixed + 4096, SIZE, 3);
    CHECK(mmap(fixed + 4096, SIZE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == fixed + 4096);
    CHECK(is_zero(fixed + 4096, SIZE));
    CHECK(mmap(fixed, 256 * MIB, PROT_NONE, ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == fixed);
    CHECK(!is_on_disk(fixed + 4096));
    CHECK(munmap(fixed, 256 * MIB) == 0);
}

void play_mremap(void)
{
    char *m = map(SIZE), *n, *target;

    fill(m, SIZE, 1);
    n = mremap(m, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && is_filled(n, SIZE, 1) && is_zero(n + SIZE, SIZE) && is_on_disk(n + SIZE));
    fill(n, 2 * SIZE, 2);
    m = mremap(n, 2 * SIZE, SIZE, 0);
    CHECK(m == n && is_filled(m, SIZE, 2) && !is_on_disk(m + SIZE));
    // Something is behind it.
    CHECK(mmap(m + SIZE, 4096, RW, ANONYMOUS | MAP_FIXED, -1, 0) == m + SIZE);
    errno = 0;
    CHECK(mremap(m, SIZE, 2 * SIZE, 0) == MAP_FAILED && errno == ENOMEM);
    n = mremap(m, SIZE, 3 * SIZE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && n != m && is_filled(n, SIZE, 2) && is_zero(n + SIZE, 2 * SIZE));
    CHECK(!is_on_disk(m));
    fill(n, 3 * SIZE, 3);
    target = mmap(NULL, 4 * SIZE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(mremap(n, 3 * SIZE, 3 * SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(is_filled(target, 3 * SIZE, 3) && !is_on_disk(n));
    CHECK(mremap(target, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4096) == MAP_FAILED && errno == EINVAL);
    // A part of it, from the middle.
    n = mremap(target + SIZE, SIZE, SIZE + 4096, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && memcmp(target, n, 8) != 0 && !is_on_disk(target + SIZE));
    CHECK(is_filled(target, SIZE, 3) && is_zero(n + SIZE, 4096));
    CHECK(munmap(target, 4 * SIZE) == 0 && munmap(n, SIZE + 4096) == 0);
    // Memory of the kernel is moved over ours.
    m = map(SIZE);
    n = mmap(NULL, 4096, RW, ANONYMOUS, -1, 0);
    *n = 7;
    CHECK(mremap(n, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, m + 4096) == m + 4096 && m[4096] == 7);
    CHECK(munmap(m, SIZE) == 0);
}

void play_madvise(void)
{
    char *m = map(SIZE), *block = malloc(SIZE);

    fill(m, SIZE, 1);
    CHECK(madvise(m + 4096, 8192, MADV_DONTNEED) == 0);
    CHECK(is_zero(m + 4096, 8192) && is_filled(m, 4096, 1));
    CHECK(madvise(m + 8 * MIB, 16 * MIB, MADV_DONTNEED) == 0);
    CHECK(is_zero(m + 8 * MIB, 16 * MIB) && m[8 * MIB - 1] && m[24 * MIB + 8]);
    fill(m, SIZE, 2);
    CHECK(is_filled(m, SIZE, 2) && is_on_disk(m + 8 * MIB));
    fill(block, SIZE, 3);
    CHECK(madvise(block, SIZE, MADV_DONTNEED) == 0 && is_zero(block, SIZE) && is_on_disk(block));
    CHECK(madvise(m, SIZE, MADV_FREE) == 0);
    fill(m, SIZE, 4);
    CHECK(is_filled(m, SIZE, 4));
    CHECK(madvise(m, SIZE, MADV_REMOVE) < 0 && errno == EINVAL);
    CHECK(madvise(m + 1, SIZE, MADV_DONTNEED) < 0 && errno == EINVAL);
    CHECK(madvise(m, SIZE, MADV_RANDOM) == 0 && madvise(m, SIZE, MADV_WILLNEED) == 0);
    CHECK(mprotect(m, SIZE, PROT_READ) == 0 && is_filled(m, SIZE, 4));
    CHECK(madvise(m, SIZE, MADV_DONTNEED) == 0 && is_zero(m, SIZE));
    CHECK(mprotect(m + MIB, MIB, RW) == 0);
    m[MIB] = 1;
    CHECK(munmap(m, SIZE) == 0);
    free(block);
    block = malloc(SIZE);
    CHECK(mprotect(block, SIZE, PROT_NONE) == 0);
    free(block);
    block = malloc(SIZE);
    fill(block, SIZE, 5); // accessible again
    free(block);
}

void play_over(void)
{
    char *m = map(SIZE), *other;

    fill(m, SIZE, 1);
    CHECK(mmap(m + MIB, MIB, RW, ANONYMOUS | MAP_FIXED, -1, 0) == m + MIB && is_zero(m + MIB, MIB));
    fill(m + MIB, MIB, 2);
    other = map(SIZE);
    fill(other, SIZE, 3);
    CHECK(munmap(other, SIZE) == 0);
    CHECK(is_filled(m + MIB, MIB, 2) && is_filled(m, MIB, 1));
    CHECK(mmap(m + MIB, 1, RW, ANONYMOUS | MAP_FIXED, 77, 1) == MAP_FAILED); // refused: all is as it was
    CHECK(is_filled(m + MIB, MIB, 2));
    CHECK(munmap(m, SIZE) == 0);
}

// Whether the kernel reads single pages only at P: "rr" among the flags of its mapping.
static bool is_read_by_single_pages(const char *p)
{
    unsigned long from, to;
    bool found = false;
    char line[512];
    FILE *f = fopen("/proc/self/smaps", "re");

    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            found = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (found && strncmp(line, "VmFlags:", 8) == 0)
            break;
    }
    fclose(f);
    CHECK(found);
    return strstr(line, " rr") != NULL;
}

static char *map_filled(size_t size)
{
    char *m = map(size);

    fill(m, size, 5);
    return m;
}

// Run with less memory than that.
void play_random(void)
{
    enum { N = 40 };
    const size_t size = 4 * MIB;
    uint64_t x = 88172645463325252, sum = 0;
    unsigned n_single = 0;
    char *m[N];

    for (int i = 0; i < N; i++)
        m[i] = map_filled(size);
    while (n_single < N / 2) {
        for (int i = 0; i < 1000; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            sum += (unsigned char)m[x % N][(x >> 20) % size];
        }
        n_single = 0;
        for (int i = 0; i < N; i++)
            n_single += is_read_by_single_pages(m[i]);
    }
    CHECK(sum > 0);
    // What is mapped anew where the region is read so is read so as well.
    for (int i = 0; i < N / 2; i++)
        munmap(m[i], size);
    n_single = 0;
    for (int i = 0; i < N / 2; i++) {
        m[i] = mmap(NULL, size, RW, ANONYMOUS, -1, 0);
        n_single += is_read_by_single_pages(m[i]);
    }
    CHECK(n_single > 0);
    for (int i = N / 2; i < N; i++)
        CHECK(is_filled(m[i], size, 5));
}
