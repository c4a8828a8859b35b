// What the daemon has counted since its start, for the metrics (daemon/metrics).  Only the loop reads and writes it, so
// that counting costs an addition.
#pragma once
#include <stdint.h>
#include <sys/types.h>

enum tally_operation {
    TALLY_OTHER, // what the daemon does for itself: repairs, files that it closes
    TALLY_CREATE,
    TALLY_OPEN,
    TALLY_GROW,
    TALLY_SHRINK,
    TALLY_DISCARD,
    TALLY_RESTORE,
    TALLY_COMMIT,
    TALLY_CLONE,
    TALLY_MOVE,
    TALLY_UNLINK,
    TALLY_SET_EXPIRY,
    TALLY_REAP,
    TALLY_VERIFY,
    TALLY_OPERATION_N,
};
extern const char *const tally_operation_names[TALLY_OPERATION_N];

enum tally_result {
    TALLY_DONE,
    TALLY_LIMIT,     // a configured limit refused
    TALLY_FULL,      // the disk refused
    TALLY_EARLY,     // an early grow or create was refused, because too little would be left for others
    TALLY_TIMED_OUT, // waited in vain, or was held up
    TALLY_IO,        // the disk reported an error
    TALLY_FAILED,    // anything else
    TALLY_RESULT_N,
};
extern const char *const tally_result_names[TALLY_RESULT_N];

enum tally_disk_limit {
    TALLY_KEEP_FREE,
    TALLY_SPACE,
    TALLY_INODES,
    TALLY_FILE_SYSTEM_QUOTA,
    TALLY_DISK_LIMIT_N,
};
extern const char *const tally_disk_limit_names[TALLY_DISK_LIMIT_N];

enum { TALLY_BOUNDS = 15 };
extern const uint32_t tally_bounds_us[TALLY_BOUNDS]; // upper bounds of the buckets, in microseconds

struct tally_histogram {
    uint64_t buckets[TALLY_BOUNDS + 1]; // the last one has no bound
    uint64_t sum_us;
};

struct tally_refusal {
    uint64_t at; // seconds since 1970; 0: this place is free
    uint64_t n;  // refusals by this limit of this user in a row
    uid_t uid;
    char limit_name[128]; // may be cut
    uint64_t limit, used, asked;
    uint8_t counts_bytes;
};

enum {
    TALLY_REFUSALS = 16,
    TALLY_REQUESTS = 64, // bodies and error codes of the protocol: more than there are
    TALLY_ERRORS = 64,
};

struct tally {
    struct tally_histogram operations[TALLY_OPERATION_N]; // without the time that they have waited for a limit
    uint64_t results[TALLY_OPERATION_N][TALLY_RESULT_N];
    struct tally_histogram waits; // of operations that have waited for a limit, the disk or the agreement of others
    uint64_t early[2];            // early grows and creates: refused, granted
    uint64_t disk_refusals[TALLY_DISK_LIMIT_N];
    uint64_t io_errors;
    uint64_t requests[TALLY_REQUESTS]; // by body_case
    uint64_t errors[TALLY_ERRORS];     // replies with an error, by its code
    uint64_t connections;              // accepted
    uint64_t fence_events, fence_overflows, fence_tampered, fence_frozen;
    uint64_t reloads[2]; // of the configuration: failed, done
    uint64_t reload_ok;  // the last one, or none yet, was no failure: 1
    struct tally_refusal refusals[TALLY_REFUSALS];
};

void tally_init(struct tally *t);
void tally_note(struct tally_histogram *h, uint64_t us);
uint64_t tally_count(const struct tally_histogram *h); // how many were noted
// Result is 0 or -errno.
enum tally_result tally_result_of(int result);
// The disk has refused by the limit of this name (struct quota_refusal).
void tally_note_disk_refusal(struct tally *t, const char *limit_name);
// The place for a refusal of this user by this limit: that of the last one like it, or that of the oldest.  The caller
// fills in the numbers.
struct tally_refusal *tally_refusal_place(struct tally *t, uid_t uid, const char *limit_name, uint64_t now);
