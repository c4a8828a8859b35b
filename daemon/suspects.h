// The queue of suspects: regions whose files may have been changed behind the daemon's back.  See the essay in
// suspects.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct region;
struct region_table;
struct suspects;

// WAKE(DATA, AT) asks the caller to call suspects_take_due not later than at AT (ms, monotonic).  0 or -ENOMEM.
int suspects_new(struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data,
                 struct suspects **ret);
void suspects_free(struct suspects *s);

// R's file was changed, by the daemon or by somebody else.
void suspects_note(struct suspects *s, struct region *r);
// Any file may have been changed.
void suspects_note_all(struct suspects *s);
// Takes the next region that is due at NOW: the caller looks at its file, and then calls suspects_looked_at.  NULL: no
// region is due, or enough are being looked at; the queue has asked to be woken.  *RET_NOTED: R was noted; otherwise
// only its discarded parts may have blocks.
struct region *suspects_take_due(struct suspects *s, uint64_t now, bool *ret_noted);
// AGAIN: R has to be looked at once more, after a rest.  FAILED: it could not be looked at or mended, and has to be
// looked at after a longer rest.
void suspects_looked_at(struct suspects *s, struct region *r, bool again, bool failed);
// R is about to be freed.
void suspects_forget(struct suspects *s, struct region *r);

enum suspects_verdict {
    SUSPECTS_KNOWN,  // this region's log has an entry of such a change already
    SUSPECTS_NEWS,   // the first change
    SUSPECTS_FROZEN, // the second change within a minute: from now on the region is frozen
};
// R's file was not as the daemon had left it.
enum suspects_verdict suspects_offence(struct region *r, uint64_t now);
// Whether R's owner gets no more of it for now.
bool suspects_is_frozen(const struct region *r, uint64_t now);
