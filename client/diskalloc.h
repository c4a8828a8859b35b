// A client: a backend and its address.  Regions hold a reference.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client/backend.h"
#include "client/util/background.h"
#include "client/util/fork.h"

struct diskalloc {
    struct fork_hook fork;
    _Atomic unsigned refs;
    struct backend *backend;
    struct background background;
    _Atomic uint64_t first_size; // what the next vector begins with: see growth.h
    char *address;
    bool fallback; // nobody asked for this directory: anonymous regions only
};

struct diskalloc *client_ref(struct diskalloc *da);
void client_unref(struct diskalloc *da); // NULL is fine
