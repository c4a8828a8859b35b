// A sort: the elements, their order, and its means.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct diskalloc_order;
struct pages;
struct pool;

struct sort_job {
    const struct diskalloc_order *order;
    struct pool *pool;   // NULL: one thread
    struct pages *pages; // NULL: nothing is announced
    void *at;
    size_t n;        // elements
    uint64_t memory; // bytes that pages and buffers may take
};
