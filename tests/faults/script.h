// A script of all operations of the library, and of administrators, each checked: whoever said 0 must have done it, and
// whoever refused must have changed nothing.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/faults/report.h"

struct faults_control;

struct script {
    struct report *report;
    struct faults_control *control; // of this process or of the daemon
    const char *address;            // of the daemon or directory
    const char *prefix;             // of the names of regions
    const char *scratch;            // a directory for files
    const char *config;             // the daemon's configuration file; NULL: there is no daemon
    int daemon;                     // its pid
    bool exact;                     // no faults: everything must succeed
    bool once;                      // a call that failed succeeds when it is repeated
    bool patient;                   // waits for a daemon that was killed
    struct diskalloc *da, *other;   // two clients
};

// A region, and what must be in it.
struct model {
    struct diskalloc_region *region;
    uint64_t size, seed;
    uint64_t written;        // bytes from the start that hold the pattern
    uint64_t from, to;       // of them, this part is discarded
    struct promise *promise; // NULL: the region is anonymous
    bool unsure;             // the daemon's answer was lost
    bool shared;             // another client has it attached, and nobody may shrink it
};

// Notes the first thing that is not as it should be.
__attribute__((format(printf, 2, 3))) void script_complain(struct script *s, const char *format, ...);
// Looks at the result of a call: true if it is 0 or more.  Complains if a failure is not explained, or was not allowed.
bool script_succeeded(struct script *s, const char *call, int r);
// True if the fault was the failure of CALL.
bool script_fault_was(const struct script *s, const char *call);
// True if a call that failed must succeed when it is repeated.
bool script_must_succeed(const struct script *s);
// Calls until it succeeds, three times at most: a fault that came once is gone then.
#define REPEATED(s, call, expression)                                                              \
    ({                                                                                             \
        int result_ = (expression), first_ = result_;                                              \
        bool well_ = script_succeeded(s, call, result_);                                           \
        for (int i_ = 0; i_ < 2 && !well_; i_++)                                                   \
            well_ = script_succeeded(s, call, result_ = (expression));                             \
        if (!well_ && script_must_succeed(s))                                                      \
            script_complain(s, "%s: %d, and %d when the fault is gone: %s", call, first_, result_, \
                            diskalloc_last_error());                                               \
        well_;                                                                                     \
    })

// For the reports of hangs and crashes.
void script_begin(struct script *s, const char *part);

uint64_t pattern_word(uint64_t seed, uint64_t offset);
// Stores the pattern from where it ends up to END.
void model_fill(struct model *m, uint64_t end);
// The size is the model's, and the pattern is there.
void model_check(struct script *s, struct model *m, const char *when);
// Resizes, repeats that if it fails, and checks.
void model_resize(struct script *s, struct model *m, uint64_t size, int wait_ms);
void model_close(struct model *m);

// The parts of the script.
void script_regions(struct script *s);
void script_sharing(struct script *s);
void script_names(struct script *s);
void script_descriptors(struct script *s);
void script_blocks(struct script *s);
void script_vectors(struct script *s);
void script_files(struct script *s);
void script_strings(struct script *s);
void script_heap(struct script *s);
void script_fork(struct script *s);
void script_events(struct script *s);
// Administrators, by the protocol.
void script_admin(struct script *s);
// Whether all promises are kept; then removes the regions.
void script_verify(struct script *s);
void script_verify_blocks(struct script *s); // the same for strings and the heap
