// Starts writing the part of a vector that was filled, when memory is short.  See the essay in writeback.c.  Sizes
// are bytes.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/memory/pressure.h"
#include "client/util/background.h"
#include "client/util/descriptor.h"

struct writeback {
    struct background_task task;
    struct background *background; // NULL: there is no thread
    struct pressure pressure;      // used by the task only, like the next two
    bool looked, began;
    _Atomic uint64_t ahead_max; // bytes that may be made ahead of the vector's end
    _Atomic bool wants_file;    // writing has begun, and there is no descriptor
    struct descriptor file;     // the backing's; valid if has_file
    bool is_useless;            // for that file: it is left to the kernel
    // Set after these two are written; cleared by the task, when the program has closed the descriptor.
    _Atomic bool has_file;
    _Atomic uint64_t filled,
        written;            // the vector has filled the bytes before filled; those before written were sent to the disk
    _Atomic uint64_t noted; // filled, when the task was submitted last
};

// BACKGROUND may be NULL.
void writeback_init(struct writeback *w, struct background *background);
void writeback_deinit(struct writeback *w);
// A vector has filled its region up to FILLED.
void writeback_note(struct writeback *w, uint64_t filled);
// True if a descriptor of the region's file is needed.  The library keeps FILE open until writeback_deinit.  NULL: it
// can't be had now.
bool writeback_wants_file(struct writeback *w);
void writeback_give_file(struct writeback *w, const struct descriptor *file);
// How many bytes prefetch may make ahead: fewer where memory is limited.
uint64_t writeback_ahead_max(struct writeback *w);
// Nothing behind END is written any more.
void writeback_cut(struct writeback *w, uint64_t end);
// The bytes from FROM to TO are about to be given back: nothing of them is written any more.
void writeback_avoid(struct writeback *w, uint64_t from, uint64_t to);
void writeback_forked(struct writeback *w);
