// Whether the thread that turns the loop may run instant work, after some of it has taken long.  See trust.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TRUST_LANES = 16, TRUST_SLOW_LANES = 64 };

struct trust {
    uint64_t until;         // ms, monotonic: until then no instant work runs on the loop's thread
    uint64_t taken_over_at; // ms, monotonic: the last take-over
    uint64_t pause_ms;      // the length of the pause after it
    struct {
        uint64_t lane, until; // ms, monotonic
    } lanes[TRUST_LANES];     // those whose work hung
    struct {
        uint64_t lane, until, noted_at; // ms, monotonic
        uint64_t pause_ms;              // the length of the last pause
    } slow[TRUST_SLOW_LANES];           // those whose work was slow
};

void trust_init(struct trust *t);
// Instant work has taken so long that the loop was taken over.
void trust_note_take_over(struct trust *t, uint64_t now);
// Instant work of LANE does not end.
void trust_note_hung(struct trust *t, uint64_t lane, uint64_t now);
// Instant work of LANE has taken long, though nobody took the processor from it.
void trust_note_slow(struct trust *t, uint64_t lane, uint64_t now);
bool trust_allows(const struct trust *t, uint64_t lane, uint64_t now);
