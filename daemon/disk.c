// Where new regions are made.
//
// The space of a disk is asked for every two seconds.  Since then more may have been granted, and what is granted may
// not have its blocks yet: it is being allocated, or the region is sparse, or the file system cannot allocate.  So what
// is granted now is compared with what was on the disk when it was asked.  What other programs keep on the disk looks
// like written parts of sparse regions, so a disk that is not for the daemon alone may seem to have more free than it
// has.
#include "daemon/disk.h"

#include "daemon/config/disk.h"
#include "proto/util/checked.h"

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

// Granted bytes without blocks, when the space was read.
static uint64_t unwritten(const struct disk *d)
{
    const uint64_t dense = d->granted.used[QUOTA_BYTES], sparse = d->sparse.used[QUOTA_BYTES];
    bool allocates = store_guarantee(d->store)->can_allocate;

    return u64_min(less(dense + sparse, d->space.used), allocates ? sparse : dense + sparse);
}

uint64_t disk_grantable(const struct disk *d)
{
    const uint64_t granted = d->granted.used[QUOTA_BYTES];
    // Where blocks cannot be allocated, what is granted takes none before it is written.
    const uint64_t taken = store_guarantee(d->store)->can_allocate ? less(granted, d->written) : 0;

    return less(less(d->space.available + less(d->written, granted), taken), d->keep_free);
}

uint64_t disk_free(const struct disk *d)
{
    const uint64_t granted = d->granted.used[QUOTA_BYTES], keep = d->keep_free;
    // Regions that were removed since then have given their blocks back.
    const uint64_t available = d->space.available + less(d->written, granted);

    return less(less(available, keep), less(granted, d->written) + unwritten(d));
}

static bool is_on_same(const struct disk *a, const struct disk *b)
{
    return store_device(a->store) == store_device(b->store);
}

bool disk_shares_file_system(const struct disk *disks, const struct disk *d)
{
    for (; disks != d; disks = disks->next)
        if (is_on_same(disks, d))
            return true;
    return false;
}

uint64_t disks_keep_free(const struct disk *disks)
{
    uint64_t sum = 0;

    for (const struct disk *d = disks; d; d = d->next) {
        uint64_t most = 0;

        if (disk_shares_file_system(disks, d))
            continue;
        for (const struct disk *other = d; other; other = other->next)
            if (is_on_same(other, d))
                most = u64_max(most, other->keep_free);
        sum += most;
    }
    return sum;
}

// ANY_SIZE: min_bytes does not count.
static bool may_have(const struct disk *d, const struct disk_wish *w, bool is_named, bool any_size)
{
    const struct config_disk *rule = d->rule;

    if (d->is_leaving || (rule && rule->is_closed))
        return false;
    if (is_named ? !config_disk_names_user(rule, w->owner, w->owner_name) : config_disk_names_users(rule))
        return false;
    return any_size || !rule || rule->min_bytes.kind == CONFIG_UNSET || w->size >= rule->min_bytes.number;
}

static bool is_named(const struct disk *d, const struct disk_wish *w)
{
    for (; d; d = d->next)
        if (config_disk_names_user(d->rule, w->owner, w->owner_name))
            return true;
    return false;
}

bool disk_is_open_to(struct disk *disks, const struct disk *d, const struct disk_wish *wish)
{
    return may_have(d, wish, is_named(disks, wish), true);
}

// *RET_ANY: a disk may have it, tried or not.
static struct disk *choose(struct disk *disks, const struct disk_wish *w, bool named, bool any_size, bool *ret_any)
{
    struct disk *best = NULL;

    *ret_any = false;
    for (struct disk *d = disks; d; d = d->next) {
        if (!may_have(d, w, named, any_size))
            continue;
        *ret_any = true;
        if (w->tried & UINT64_C(1) << d->number)
            continue;
        if (d == w->favourite && !d->problem)
            return d;
        if (!best || (best->problem && !d->problem) ||
            (!best->problem == !d->problem && disk_free(d) > disk_free(best)))
            best = d;
    }
    return best;
}

struct disk *disk_choose(struct disk *disks, const struct disk_wish *wish)
{
    const bool named = is_named(disks, wish);
    bool any;
    struct disk *d = choose(disks, wish, named, false, &any);

    return any ? d : choose(disks, wish, named, true, &any);
}
