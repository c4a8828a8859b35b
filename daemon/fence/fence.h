// The fences around the descriptors that clients get: what keeps their holders from changing a region's file behind the
// daemon's back, and what reports it.  See diskallocd(8), FENCES.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "daemon/fence/projects.h"
#include "daemon/fence/tripwire.h"
#include "proto/util/name.h"

struct fence;
struct store;

// Sets up the fences that WANTED asks for and the machine allows.  0; or -errno and *RET_ERROR is a sentence, to be
// freed: the machine does not allow what WANTED demands.
int fence_new(enum config_fence wanted, struct store *store, struct fence **ret, char **ret_error);
void fence_free(struct fence *f);

// The names of the fences that hold, such as "landlock, tripwire, project quotas"; "" if none does.
const char *fence_names(const struct fence *f);
const char *fence_missing(const struct fence *f); // why the others do not hold; "" if the configuration wants none

struct fence_order {
    uid_t user;  // the descriptor is for this user
    uid_t owner; // of the region
    const struct handle *handle;
    int flags;         // O_RDWR or O_RDONLY
    uint64_t identity; // of the process that gets it, see holder_identity
    bool is_mark;      // that process maps the file by it
};

// Opens a region's file for a client.  *RET_GENERATION: see fence_generation.  The descriptor, which the caller closes,
// or -errno; -ETIMEDOUT: not now.  On any thread; where fence_waits, on any but the loop's.
int fence_open(struct fence *f, const struct fence_order *o, uint64_t *ret_generation);
// Whether fence_open may wait for another process.
bool fence_waits(const struct fence *f);

// With passthrough the fence knows who maps a region by the descriptors that it has opened, and marks on the file
// (store_mark) cannot be had.  That knowledge has an end: it is of one generation, which is never 0.  0: the fence does
// not know, now or never.
uint64_t fence_generation(struct fence *f);
// As store_is_alone, for the descriptors of the region that are of GENERATION and have is_mark.  1: the process is
// alone; 0: it is not, or that is not known.  Not on the loop.
int fence_is_alone(struct fence *f, uint64_t generation, const struct handle *handle, uint64_t identity);

// Watches the regions of OWNER, of which descriptors may be around.  On any thread.
void fence_watch(struct fence *f, uid_t owner);
// The fence of project quotas, for the functions of projects.h.  NULL: it does not hold.
struct projects *fence_projects(const struct fence *f);
struct tripwire *fence_tripwire(const struct fence *f); // NULL: there is none
// Whether some regions cannot be watched, so that they should be looked at from time to time.
bool fence_is_blind(const struct fence *f);
