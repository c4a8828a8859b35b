// A client: an address, a backend, and a thread.  Each region of the client holds a reference.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client/backend.h"
#include "client/memory/watch.h"
#include "client/region_list.h"
#include "client/util/background.h"
#include "client/util/fork.h"

struct diskalloc_region;

// A region that was made before a vector needs it: see client/region/spare.c, which fills the struct in.
struct spare {
    pthread_mutex_t lock;            // of all below; under it no other lock is taken
    struct diskalloc_region *region; // NULL: none
    uint64_t size;                   // bytes of it
    uint64_t since;                  // when it was made, a time of proto/util/clock.h
    int in_row;                      // vectors that were made one soon after the other; below 0 after a refusal
    uint64_t last;                   // when the last one of them was made
    bool making;                     // a thread makes a region
    bool watched;                    // idle is queued, running or waiting; make: maps the region
    struct background_task make, idle;
    // Written before there is a region.  drop: gives the region back; false: there was none.  forked: in a child.
    bool (*drop)(struct diskalloc *da);
    void (*forked)(struct diskalloc *da);
};

struct diskalloc {
    struct fork_hook fork;
    _Atomic unsigned refs;
    struct backend *backend;
    struct background background;
    struct watch watch;
    struct spare spare;
    _Atomic uint64_t first_size; // bytes that the next vector begins with: see growth.h
    _Atomic unsigned n_unneeded; // vectors that began since one needed more than a quarter of that
    _Atomic bool outgrows;       // one of the last vectors needed a file
    char *address;
    struct region_list list;
    bool threads;  // the library may start some: no DISKALLOC_NO_THREADS
    bool fallback; // the library chose the directory: it has anonymous regions only
};

struct diskalloc *client_ref(struct diskalloc *da);
void client_unref(struct diskalloc *da); // the last one frees; NULL is fine
// Gives the region back that was made before a vector needs it.  False: there was none.
bool client_drop_spare(struct diskalloc *da);
