// Contenders and what they are measured with.  To add one: write contender_NAME.c after contender_malloc.c, name it in
// contenders.c and CMakeLists.txt.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum workload {
    PUSH_AND_DROP, // W1: N numbers pushed one at a time, then everything given back
    RANDOM_UPDATE, // W2: read-modify-write at random places of a filled vector
    SCAN,          // W3: the second sum over a filled vector
    RESIZE,        // W4T: N numbers <-> 1 MiB, with every page touched in between
    MANY_SMALL,    // W5: 200 vectors of 1 MiB made, filled, then dropped
    UNDER_LIMIT,   // W6: more pushed than the memory that is allowed, then a sum, then everything given back
    SORT,          // R5M: numbers in no order are sorted in memory
    SORT_LIMITED,  // R5: the same, of more than the memory that is allowed
    READING,       // R1 to R4: more numbers than the memory that is allowed, read in several ways
    READING_BOTH,  // R4B: one vector read at random while another one is scanned
    ONCE,          // W7: batches pushed, and consumed once, in order
    ONCE_SMALL,    // W7C: the same, of numbers that can be compressed
    WORKLOAD_N,
};

enum outcome { OUTCOME_OK, OUTCOME_UNSUPPORTED, OUTCOME_SKIPPED, OUTCOME_KILLED, OUTCOME_TIMEOUT, OUTCOME_FAILED };

enum { N_PARTS = 6, MOST_READERS = 64 };

// The parts of READING; of any other workload they are numbered as they come.
enum { READ_RANDOM, READ_UPDATE, READ_ANNOUNCED, READ_SCAN, READ_SCAN_AFTER, READ_LOOK };

struct bench_settings {
    size_t n;            // numbers of 8 bytes
    size_t memory;       // bytes a contender may count on: the machine's, or the limit's
    double read_seconds; // for which reading is measured
    size_t threads;      // that read at random, in READING
    unsigned parts;      // of READING that are wanted: bits, 1u << part
    const char *dir;     // where files go
    const char *address; // of the daemon
};

struct bench_result {
    enum outcome outcome;
    double seconds;
    double part[N_PARTS]; // of seconds, as the workload names them (workload.h); 0: the contender cannot do it
};

struct contender {
    const char *name;
    const char *what; // a line for the results
    const char *(*version)(void);
    void (*run)(const struct bench_settings *settings, enum workload workload, struct bench_result *ret);
    double memory, disk; // needed, as multiples of the vector
    unsigned cannot;     // bits, 1u << workload
    const char *cannot_because;
    bool one_thread;               // reads by several threads at the same time are not allowed
    const char *(*obstacle)(void); // NULL, or returns why it cannot run on this machine (or NULL)
};

double bench_now(void); // seconds
__attribute__((noreturn)) void bench_die(const char *what);
void bench_sync(const char *dir);                 // what is dirty on the file system of DIR is written
void bench_use(uint64_t x);                       // so that the compiler computes X
void bench_std_sort(uint64_t *numbers, size_t n); // of C++, in C

#ifdef __cplusplus
}
#endif
