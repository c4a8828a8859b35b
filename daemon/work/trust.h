// Whether the thread that turns the loop may run instant work, after some of it has taken long.  See trust.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/proc.h"

enum { TRUST_LANES = 16, TRUST_SLOW_LANES = 64 };

struct trust_slow {
    bool in_use;
    uint64_t lane;
    uint64_t until, noted_at; // ms, monotonic; 0: never
    uint64_t matters_until;   // ms: then another lane may have this place
    uint64_t pause_ms;        // the length of the last pause
    unsigned n_long;          // pieces in a row that were long
};

struct trust {
    uint64_t until;         // ms, monotonic: until then no instant work runs on the loop's thread
    uint64_t taken_over_at; // ms, monotonic: the last take-over
    uint64_t pause_ms;      // the length of the pause after it
    struct {
        uint64_t lane, until;                 // ms, monotonic
    } lanes[TRUST_LANES];                     // those whose work hung
    struct trust_slow slow[TRUST_SLOW_LANES]; // those whose work was slow
    uint64_t last_lane;                       // of the work that was offered last
    uint64_t company_at;                      // ms, monotonic: work of one lane was offered after another's; 0: never
    struct proc_thread_use use;               // of this thread, before the present piece of work
};

void trust_init(struct trust *t);
// Instant work of LANE is offered to the loop's thread.
void trust_note_offer(struct trust *t, uint64_t lane, uint64_t now);
// On the loop's thread: a piece of instant work begins, and has ended after US microseconds.
void trust_begin(struct trust *t);
void trust_judge(struct trust *t, uint64_t lane, uint64_t us, uint64_t now);
// Instant work has taken so long that the loop was taken over.
void trust_note_take_over(struct trust *t, uint64_t now);
// Instant work of LANE does not end.
void trust_note_hung(struct trust *t, uint64_t lane, uint64_t now);
// Instant work of LANE has taken long, though nobody took the processor from it.
void trust_note_slow(struct trust *t, uint64_t lane, uint64_t now);
// Instant work of LANE has ended, which IS_LONG: for longer than others should wait.
void trust_note_length(struct trust *t, uint64_t lane, bool is_long, uint64_t now);
bool trust_allows(const struct trust *t, uint64_t lane, uint64_t now);
