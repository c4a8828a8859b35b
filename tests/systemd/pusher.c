// A client that keeps asking and misses nothing: pushes numbers into a vector and checks every one of them, over the
// public API alone.  It is told on standard input what to do, a word a line, and answers each with a line that begins
// with "ok" or "failed":
//   push N   pushes N numbers
//   run      pushes, shrinks and checks until the next line comes
//   check    checks all
//   drop     gives everything back
#include <diskalloc/vec.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUND = 4096, ROUNDS_TO_FILL = 256 };

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

static struct diskalloc *da;
static struct numbers v;
static uint64_t longest_us;

static uint64_t number_at(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15;
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("failed: ", stdout);
    vprintf(format, args);
    va_end(args);
    puts("");
    exit(1);
}

static void count_since(uint64_t start)
{
    uint64_t took = now_us() - start;

    if (took > longest_us)
        longest_us = took;
}

static void push(uint64_t n)
{
    uint64_t start = now_us();

    for (uint64_t i = 0; i < n; i++)
        if (numbers_push(&v, number_at(v.len)) < 0)
            fail("%s, with %zu numbers", diskalloc_last_error(), v.len);
    count_since(start);
}

static void check(void)
{
    for (uint64_t i = 0; i < v.len; i++)
        if (v.data[i] != number_at(i))
            fail("number %lu of %zu is %lx and not %lx", i, v.len, v.data[i], number_at(i));
}

static void shrink(size_t len)
{
    uint64_t start = now_us();

    if (numbers_truncate(&v, len) < 0 || numbers_shrink_to_fit(&v) < 0)
        fail("%s, with %zu numbers", diskalloc_last_error(), v.len);
    count_since(start);
}

static bool is_spoken_to(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};

    return poll(&in, 1, 0) > 0;
}

// Asks for space in each round: the surplus goes back, so that there is always space to ask for.
static void run(void)
{
    uint64_t rounds = 0;

    longest_us = 0;
    for (; !is_spoken_to(); rounds++) {
        push(ROUND);
        check();
        shrink(rounds % ROUNDS_TO_FILL == ROUNDS_TO_FILL - 1 ? v.len / 2 : v.len);
    }
    printf("ok %lu rounds, the longest call %lu.%lu ms\n", rounds, longest_us / 1000, longest_us / 100 % 10);
}

int main(void)
{
    char line[128];

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (diskalloc_open(NULL, NULL, &da) < 0 || numbers_init(&v, da) < 0)
        fail("%s", diskalloc_last_error());
    printf("ok %s\n", diskalloc_address(da));
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "run", 3) == 0) {
            run();
            continue;
        }
        if (strncmp(line, "push ", 5) == 0)
            push(strtoull(line + 5, NULL, 10));
        else if (strncmp(line, "drop", 4) == 0)
            shrink(0);
        check();
        printf("ok %zu numbers\n", v.len);
    }
    numbers_deinit(&v);
    diskalloc_close(da);
    return 0;
}
