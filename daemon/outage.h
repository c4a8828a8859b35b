// Whether the user database answers, for the log.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Everything that was asked and got no answer is counted until it gets one; so the log tells once that the database
// is away, and once that it is back, also if the database answers some questions meanwhile.
struct outage {
    unsigned n_failing;    // names and users whose last look-up got no answer
    unsigned n_told_users; // users without an answer whom the log has named since the database went away
    bool told;             // the log has said that the database does not answer
    uint64_t failed_at;    // ms, monotonic: the last look-up without an answer
};
// The look-up that FAILING belongs to has got an answer, or FAILS to get one.  FAILING is false before the first call.
void outage_note(struct outage *o, bool *failing, bool fails);

// Once a second: the database may be back.
void outage_tick(struct outage *o);
