// See allocator.h.  preload-allocator SCENE
#include "tests/preload/allocator.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *early; // allocated by a constructor

void fill(void *block, size_t size, unsigned seed)
{
    uint64_t *words = block;

    for (size_t i = 0; i < size / sizeof *words; i++)
        words[i] = i * 0x9e3779b97f4a7c15u + seed;
}

bool is_filled(const void *block, size_t size, unsigned seed)
{
    const uint64_t *words = block;

    for (size_t i = 0; i < size / sizeof *words; i++)
        if (words[i] != i * 0x9e3779b97f4a7c15u + seed)
            return false;
    return true;
}

bool is_zero(const void *block, size_t size)
{
    const uint64_t *words = block;

    for (size_t i = 0; i < size / sizeof *words; i++)
        if (words[i])
            return false;
    return true;
}

// A line of /proc/self/maps: "from-to access offset device inode ..."
bool is_on_disk(const void *p)
{
    unsigned long from, to, inode;
    bool found = false;
    char line[512];
    FILE *f = fopen("/proc/self/maps", "re");

    CHECK(f);
    while (!found && fgets(line, sizeof line, f))
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) == 3)
            found = (uintptr_t)p >= from && (uintptr_t)p < to && inode != 0;
    fclose(f);
    return found;
}

__attribute__((constructor)) static void allocate_early(void)
{
    early = malloc(64 * MIB);
}

static void play_constructor(void)
{
    CHECK(early && is_on_disk(early));
    fill(early, 64 * MIB, 1);
    CHECK(is_filled(early, 64 * MIB, 1));
    free(early);
}

static void play_blocks(void)
{
    const size_t size = 40 * MIB;
    volatile size_t too_much = SIZE_MAX / 2;
    char *a = malloc(size), *b = calloc(10, size / 10), *c = aligned_alloc(8 * MIB, size), *d = memalign(4096, size);
    char *e = valloc(size), *f = pvalloc(size + 1), *g = NULL, *small = malloc(1000);

    CHECK(posix_memalign((void **)&g, 64 * MIB, size) == 0);
    CHECK(posix_memalign((void **)&g, 3, size) == EINVAL);
    CHECK(is_on_disk(a) && is_on_disk(b) && is_on_disk(c) && is_on_disk(d) && is_on_disk(e) && is_on_disk(f));
    CHECK(is_on_disk(g) && !is_on_disk(small));
    CHECK((uintptr_t)c % (8 * MIB) == 0 && (uintptr_t)g % (64 * MIB) == 0);
    CHECK(malloc_usable_size(a) >= size && malloc_usable_size(f) >= size + 4096);
    CHECK(malloc_usable_size(NULL) == 0 && malloc_usable_size(small) >= 1000);
    CHECK(is_zero(b, size));
    fill(a, size, 1);
    fill(b, size, 2);
    fill(c, size, 3);
    CHECK(is_filled(a, size, 1) && is_filled(b, size, 2) && is_filled(c, size, 3));
    free(a);
    free(c);
    free(b);
    // What was freed is used again, and calloc does not show it.
    for (int i = 0; i < 20; i++) {
        a = calloc(1, size + (size_t)i * MIB);
        CHECK(a && is_zero(a, size));
        fill(a, size, 7);
        b = malloc(size);
        fill(b, size, 8);
        CHECK(is_filled(a, size, 7));
        free(a);
        free(b);
    }
    free(d);
    free(e);
    free(f);
    free(g);
    free(small);
    free(NULL);
    errno = 0;
    CHECK(!calloc(too_much, 3) && errno == ENOMEM);
    CHECK(!reallocarray(NULL, too_much, 3));
    CHECK(!malloc(too_much));
}

// With a limit of 150M beside the early block, which counts what is kept.
static void play_grown_within_limit(void)
{
    char *b = malloc(40 * MIB), *a = malloc(80 * MIB);

    fill(b, 40 * MIB, 1);
    fill(a, 80 * MIB, 2);
    free(b);
    a = realloc(a, 120 * MIB);
    CHECK(a && is_on_disk(a + 119 * MIB) && is_filled(a, 80 * MIB, 2));
    free(a);
}

// The region has few addresses, so calloc gets those of the block that was freed.
static void play_kept(void)
{
    char *a = malloc(40 * MIB);

    fill(a, 40 * MIB, 1);
    for (unsigned i = 0; i < 5; i++) {
        free(a);
        a = calloc(1, 80 * MIB);
        CHECK(a && is_zero(a, 80 * MIB) && is_on_disk(a));
        fill(a, 80 * MIB, i);
        free(a);
        a = malloc(60 * MIB);
        CHECK(a && is_on_disk(a));
        fill(a, 60 * MIB, i);
    }
    free(a);
}

static void play_realloc(void)
{
    char *a = malloc(1000), *b, *in_the_way;

    fill(a, 1000, 1);
    a = realloc(a, 40 * MIB); // from the C library
    CHECK(is_filled(a, 1000, 1) && is_on_disk(a));
    fill(a, 40 * MIB, 2);
    b = realloc(a, 80 * MIB); // nothing is behind it
    CHECK(b == a && is_filled(a, 40 * MIB, 2));
    fill(a, 80 * MIB, 3);
    in_the_way = malloc(40 * MIB);
    fill(in_the_way, 40 * MIB, 4);
    for (size_t size = 100 * MIB; size <= 300 * MIB; size += 20 * MIB) {
        a = realloc(a, size);
        CHECK(a && is_on_disk(a) && is_on_disk(a + size - 1) && is_filled(a, size - 20 * MIB, 3));
        CHECK(malloc_usable_size(a) >= size);
        fill(a, size, 3);
        in_the_way = realloc(in_the_way, 40 * MIB + size / 10);
        CHECK(is_filled(in_the_way, 40 * MIB, 4));
    }
    for (size_t size = 280 * MIB; size >= 40 * MIB; size -= 30 * MIB) {
        b = realloc(a, size);
        CHECK(b == a && is_filled(a, size, 3));
    }
    a = realloc(a, 2000); // to the C library
    CHECK(is_filled(a, 2000, 3) && !is_on_disk(a));
    CHECK(is_filled(in_the_way, 40 * MIB, 4));
    CHECK(!realloc(in_the_way, 0));
    a = reallocarray(a, 50, MIB);
    CHECK(is_on_disk(a) && is_filled(a, 2000, 3));
    free(a);
}

// Other libraries' blocks, made in other ways, are freed by this free.
static void play_foreign(void)
{
    char *line = NULL, *text, *path = realpath("/proc/self/exe", NULL);
    size_t n = 0;
    FILE *f = fopen("/proc/self/status", "re"), *stream = open_memstream(&text, &n);

    CHECK(f && path && stream);
    while (getline(&line, &n, f) > 0)
        fputs(line, stream);
    fclose(stream);
    fclose(f);
    free(line);
    free(text);
    free(path);
    free(strdup("text"));
    CHECK(asprintf(&text, "%d", 1) == 1);
    free(text);
}

static void play_closed(void)
{
    char *a = malloc(64 * MIB), *b, *m;
    int fd;

    fill(a, 64 * MIB, 1);
    for (fd = 3; fd < 1024; fd++)
        close(fd);
    // Others take the numbers.
    for (int i = 0; i < 20; i++)
        CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
    b = malloc(64 * MIB);
    CHECK(b && is_on_disk(b));
    fill(b, 64 * MIB, 2);
    CHECK(is_filled(a, 64 * MIB, 1));
    m = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    fill(m, 64 * MIB, 3);
    CHECK(is_filled(b, 64 * MIB, 2));
    if (fork() == 0) {
        CHECK(is_filled(a, 64 * MIB, 1) && is_filled(m, 64 * MIB, 3));
        _exit(0);
    }
    CHECK(wait(&fd) > 0 && fd == 0);
    free(a);
    free(b);
    munmap(m, 64 * MIB);
}

// 40 MiB are there, 400 are refused.
static void play_refused(void)
{
    char *a = malloc(40 * MIB), *b = malloc(400 * MIB), *m;

    CHECK(is_on_disk(a) && b && !is_on_disk(b));
    b[0] = b[400 * MIB - 1] = 1;
    m = mmap(NULL, 400 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED && !is_on_disk(m));
    fill(a, 40 * MIB, 1);
    a = realloc(a, 400 * MIB);
    CHECK(a && is_filled(a, 40 * MIB, 1) && !is_on_disk(a));
    free(a);
    free(b);
    CHECK(munmap(m, 400 * MIB) == 0);
    a = malloc(40 * MIB);
    CHECK(is_on_disk(a));
    free(a);
}

static void play_refused_strictly(void)
{
    char *a = malloc(40 * MIB), *b;

    CHECK(is_on_disk(a));
    fill(a, 40 * MIB, 1);
    errno = 0;
    CHECK(!malloc(400 * MIB) && errno == ENOMEM);
    errno = 0;
    CHECK(!realloc(a, 400 * MIB) && errno == ENOMEM);
    CHECK(is_filled(a, 40 * MIB, 1));
    CHECK(!calloc(400, MIB));
    CHECK(posix_memalign((void **)&b, 4096, 400 * MIB) == ENOMEM);
    errno = 0;
    CHECK(mmap(NULL, 400 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK(errno == ENOMEM);
    free(a);
}

static void play_nothing(void)
{
}

static void play_small_on_disk(void)
{
    enum { N = 20000 };
    static char *blocks[N];
    char *a = malloc(100), *c;

    CHECK(is_on_disk(a));
    for (size_t i = 0; i < N; i++) {
        size_t size = 8 + i * 37 % 20000 / 8 * 8;

        blocks[i] = i % 3 ? malloc(size) : calloc(1, size);
        CHECK(blocks[i] && (i % 3 || is_zero(blocks[i], size)));
        fill(blocks[i], size, (unsigned)i);
    }
    for (size_t i = 0; i < N; i += 2) {
        blocks[i] = realloc(blocks[i], 30000);
        CHECK(is_filled(blocks[i], 8 + i * 37 % 20000 / 8 * 8, (unsigned)i));
    }
    for (size_t i = 0; i < N; i++)
        free(blocks[i]);
    a = realloc(a, 40 * MIB);
    a = realloc(a, 50);
    CHECK(is_on_disk(a) && malloc_usable_size(a) >= 50);
    free(a);
    c = aligned_alloc(4096, 4096);
    CHECK((uintptr_t)c % 4096 == 0 && is_on_disk(c));
    free(c);
    play_foreign();
}

static void play_invalid(void)
{
    char *a = malloc(40 * MIB);

    free(a + 4096);
}

static const struct scene {
    const char *name;
    void (*play)(void);
} scenes[] = {
    {"blocks", play_blocks},
    {"kept", play_kept},
    {"grown-within-limit", play_grown_within_limit},
    {"realloc", play_realloc},
    {"foreign", play_foreign},
    {"constructor", play_constructor},
    {"closed", play_closed},
    {"refused", play_refused},
    {"refused-strictly", play_refused_strictly},
    {"small", play_small_on_disk},
    {"invalid", play_invalid},
    {"nothing", play_nothing},
    {"fork", play_fork},
    {"fork-freed", play_fork_freed},
    {"fork-threads", play_fork_threads},
    {"fork-again", play_fork_again},
    {"fork-small", play_fork_small},
    {"mmap", play_mmap},
    {"mremap", play_mremap},
    {"madvise", play_madvise},
    {"over", play_over},
    {"random", play_random},
    {"threads", play_threads},
    {"dlopen", play_dlopen},
    {"cancel", play_cancel},
};

int main(int argc, char **argv)
{
    alarm(200);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (argc == 2 && strcmp(argv[1], scenes[i].name) == 0) {
            scenes[i].play();
            printf("%s: done\n", argv[1]);
            return 0;
        }
    fprintf(stderr, "there is no such scene\n");
    return 2;
}
