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

struct diskalloc {
    struct fork_hook fork;
    _Atomic unsigned refs;
    struct backend *backend;
    struct background background;
    struct watch watch;
    _Atomic uint64_t first_size; // bytes that the next vector begins with: see growth.h
    char *address;
    struct region_list list;
    bool threads;  // the library may start some: no DISKALLOC_NO_THREADS
    bool fallback; // the library chose the directory: it has anonymous regions only
};

struct diskalloc *client_ref(struct diskalloc *da);
void client_unref(struct diskalloc *da); // the last one frees; NULL is fine
