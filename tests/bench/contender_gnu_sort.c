// GNU sort, of the same numbers as lines of 16 hexadecimal digits: it sorts nothing else.  It is given half of the
// memory as its buffer, and all processors; the files before and after lie in the same directory as its own temporary
// ones.
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { LINE = 17, BUFFER_LINES = 4096 };

struct vec {
    size_t len, n_buffered, memory;
    const char *dir;
    int fd;
    char path[2][4096]; // unsorted, sorted
    char buffer[BUFFER_LINES * LINE];
};

static void flush(struct vec *v)
{
    size_t bytes = v->n_buffered * LINE;

    if (write(v->fd, v->buffer, bytes) != (ssize_t)bytes)
        bench_die(v->path[0]);
    v->n_buffered = 0;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    memset(v, 0, sizeof *v);
    v->dir = s->dir;
    v->memory = s->memory;
    for (int i = 0; i < 2; i++)
        snprintf(v->path[i], sizeof v->path[i], "%s/bench-gnu-sort-%ld-%d", s->dir, (long)getpid(), i);
    v->fd = open(v->path[0], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (v->fd < 0)
        bench_die(v->path[0]);
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    static const char digits[] = "0123456789abcdef";
    char *line = v->buffer + v->n_buffered++ * LINE;

    for (int i = 0; i < LINE - 1; i++)
        line[i] = digits[x >> (60 - 4 * i) & 15];
    line[LINE - 1] = '\n';
    v->len++;
    if (v->n_buffered == BUFFER_LINES)
        flush(v);
}

static void vec_sort(struct vec *v)
{
    char buffer[32];
    char *arguments[] = {(char *)"sort", (char *)"-S", buffer,     (char *)"-T", (char *)(uintptr_t)v->dir,
                         (char *)"-o",   v->path[1],   v->path[0], NULL};
    char *environment[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
    pid_t pid;
    int status;

    flush(v);
    snprintf(buffer, sizeof buffer, "%zuK", v->memory / 2048);
    if (posix_spawnp(&pid, "sort", NULL, NULL, arguments, environment) != 0 || waitpid(pid, &status, 0) < 0)
        bench_die("sort");
    if (status != 0)
        bench_die("sort failed");
}

// The sorted vector is read only once, by vec_sum.
static bool last_was_sorted;

static uint64_t vec_sum(const struct vec *v)
{
    FILE *f = fopen(v->path[1], "re");
    uint64_t total = 0, x, before = 0;
    char line[64];

    last_was_sorted = true;
    while (f && fgets(line, sizeof line, f) && sscanf(line, "%" SCNx64, &x) == 1) {
        total += x;
        last_was_sorted &= x >= before;
        before = x;
    }
    if (f)
        fclose(f);
    return total;
}

static void vec_resize(struct vec *v, size_t n)
{
    (void)v, (void)n;
    bench_die("GNU sort has no vectors");
}

static void vec_drop(struct vec *v)
{
    unlink(v->path[0]);
    unlink(v->path[1]);
    close(v->fd);
}

static uint64_t nothing;
#define VEC_AT(v, i) (*((void)(v), (void)(i), &nothing))
#define VEC_SUM(v) vec_sum(v)
#define VEC_SORT(v) vec_sort(v)
#define VEC_IS_SORTED(v) (vec_sum(v), last_was_sorted)
#include "tests/bench/workloads.h"

const struct contender contender_gnu_sort = {
    .name = "gnu-sort",
    .what = "R5: GNU sort of the numbers as lines of 16 digits, LC_ALL=C, half of the memory as its buffer",
    .run = run,
    .disk = 7,
    .cannot = ~(1u << SORT | 1u << SORT_LIMITED),
    .cannot_because = "a program that sorts lines",
};
