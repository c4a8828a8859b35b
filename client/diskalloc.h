// A client: a backend and its address.  Regions hold a reference.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "client/backend.h"
#include "client/util/background.h"

struct diskalloc {
    LIST_ENTRY(diskalloc) link;
    _Atomic unsigned refs;
    struct backend *backend;
    struct background background;
    _Atomic uint64_t first_size; // what the next vector begins with: see growth.h
    char *address;
    bool fallback; // nobody asked for this directory: anonymous regions only
};

struct diskalloc *client_ref(struct diskalloc *da);
void client_unref(struct diskalloc *da); // NULL is fine
