// STXXL with blocks of 4 KiB, for random reads: with blocks of 2 MiB each miss reads that much.
#define STXXL_BLOCK_BYTES 4096
#define STXXL_THROUGH_PAGE_CACHE 1
#define STXXL_CONTENDER contender_stxxl_small
#include "tests/bench/contender_stxxl.cpp"
