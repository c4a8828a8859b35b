// Takes over the regions of earlier daemons, at start and before any client is heard.
//
// The files in the spill directory, with their records, are all that is known of these regions; there is no other
// database.  Each region is charged to its owner even if that exceeds a limit, because its bytes are on the disk
// already.  A region without a name has no attachment yet: it becomes an orphan at once, and the queue of orphans finds
// out whether a process still maps it.  Files that cannot be regions of their own are left alone.
#include "daemon/recovery.h"

#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/orphans.h"
#include "daemon/quota/quota.h"
#include "daemon/state.h"
#include "daemon/store/store.h"
#include "daemon/user.h"

// True: another region has this name or this handle already, and the file is left alone.
static bool is_taken(struct daemon *d, const struct record *record)
{
    if (record->name_length > 0 &&
        region_find_name(&d->regions, record->owner_uid, record->name, record->name_length)) {
        log_warning("uid %u has two regions with the name %s: one of them is ignored", record->owner_uid, record->name);
        return true;
    }
    if (region_find(&d->regions, &record->handle)) {
        log_warning("uid %u has a region with the handle of another region: it is ignored", record->owner_uid);
        return true;
    }
    return false;
}

// For store_scan.
static int found_region(void *data, struct store_found *found)
{
    struct daemon *d = data;
    const struct record *record = &found->record;
    struct user *owner;
    struct region *r;
    uint64_t charge;

    if (region_charge_of(&d->regions, found->size, &charge) < 0)
        return -ENOMEM;
    if (is_taken(d, record))
        return 0;
    owner = user_ref(d->users, record->owner_uid);
    if (owner && !owner->known)
        user_read_now(owner);
    r = owner ? region_add(&d->regions, record, owner) : NULL;
    user_unref(owner); // the region has a reference of its own
    if (!r)
        return -ENOMEM;
    r->size = found->size;
    if (r->record.used > r->size) // the file was cut after the last commit
        r->record.used = r->size;
    r->discarded = found->discarded;
    found->discarded = (struct ranges){0};
    r->state = REGION_LIVE;
    r->maybe_shared = record->flags & RECORD_SHARED;
    quota_charge_force(&r->charge, QUOTA_REGIONS, 1);
    quota_charge_force(&r->charge, QUOTA_BYTES, charge - r->discarded.sum);
    orphans_consider(d->request.op.orphans, r);
    return 0;
}

int recovery_run(struct daemon *d)
{
    return store_scan(d->store, found_region, d, &d->request.n_foreign);
}
