// Starts writing what a vector has left behind, when memory is short.  See the essay in writeback.c.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/memory/pressure.h"
#include "client/util/background.h"

struct writeback {
    struct background_task task;
    struct background *background; // NULL: nobody helps
    struct pressure pressure;      // the task's, as the two below
    bool looked, began;
    _Atomic uint64_t ahead_max; // bytes that may be made ahead of the vector's end
    _Atomic bool wants_file;    // it has begun, and has no descriptor
    _Atomic int fd;             // the region's; -1: none yet
    _Atomic uint64_t filled,
        written;            // what is before FILLED the vector has left; before WRITTEN it is on its way to the disk
    _Atomic uint64_t noted; // FILLED at the last look
};

// BACKGROUND may be NULL.
void writeback_init(struct writeback *w, struct background *background);
void writeback_deinit(struct writeback *w);
// A vector has filled its region up to FILLED.
void writeback_note(struct writeback *w, uint64_t filled);
// Whether it needs a descriptor of the region's file, which then stays open until writeback_deinit; -1: it can't be had now.
bool writeback_wants_file(struct writeback *w);
void writeback_give_file(struct writeback *w, int fd);
// How many bytes may be made ahead: fewer where memory is limited.
uint64_t writeback_ahead_max(struct writeback *w);
// Nothing is written behind END.
void writeback_cut(struct writeback *w, uint64_t end);
void writeback_forked(struct writeback *w);
