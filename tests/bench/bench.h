// Contenders and what they are measured with.  To add one: write contender_NAME.c after contender_malloc.c, and name it in
// contenders[] (main.c) and CMakeLists.txt.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum workload {
    PUSH_AND_DROP, // W1: N numbers pushed one at a time, then everything given back
    RANDOM_UPDATE, // W2: read-modify-write at random places of a filled vector
    SCAN,          // W3: the second sum over a filled vector
    RESIZE,        // W4T: N numbers <-> 1 MiB, with every page touched in between
    MANY_SMALL,    // W5: 200 vectors of 1 MiB made, filled, then dropped
    WORKLOAD_N,
};

struct bench_settings {
    size_t n;            // numbers of 8 bytes
    const char *dir;     // where files go
    const char *address; // of the daemon
};

struct bench_result {
    double seconds;
    double first, second; // of RESIZE: shrinking, growing; else: making, dropping; 0: not told apart
};

struct contender {
    const char *name;
    void (*run)(const struct bench_settings *settings, enum workload workload, struct bench_result *ret);
};

extern const struct contender contender_hand, contender_ram_huge, contender_malloc, contender_diskalloc_daemon,
    contender_diskalloc_dir;

double bench_now(void); // seconds
_Noreturn void bench_die(const char *what);

struct bench_series {
    const struct contender *const *contenders; // the first is what the others are compared with
    size_t n_contenders, n_runs;
    struct bench_result *results; // [workload][contender][run]
};
struct bench_result *bench_series_at(const struct bench_series *s, enum workload w, size_t contender, size_t run);
void bench_print_table(const struct bench_series *s);
// All numbers and the machine's facts.
void bench_write_json(const struct bench_series *s, const struct bench_settings *settings, const char *path);
