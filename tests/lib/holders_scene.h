// A daemon and a process that has a region there, loses its connection and may come back: for tests of who may shrink.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/test_daemon.h"

#include <diskalloc/client.h>

enum { SIZE = 1 << 20 }; // bytes of the region

struct scene {
    struct test_daemon daemon;
    bool named;
    char *handle; // in memory that all processes share; written by the first process
};

struct scene *scene_start(bool named);
struct scene *scene_start_with(bool named, const char *config); // of the daemon
void scene_end(struct scene *s);
int scene_attach(struct diskalloc *da, const struct scene *s, struct diskalloc_region **ret);
bool is_filled(const struct diskalloc_region *r);
// For actors: closes all descriptors but those of the actor.
void close_sockets(const struct actor *self);
// Actors.  Their parts: makes the region and fills it; loses its sockets, or does nothing; looks at its bytes; comes
// back; closes the region.
void hold_and_close_sockets(struct actor *self, void *data);
void hold_only(struct actor *self, void *data);
// Attaches the region, and holds it until it is killed.
void idle(struct actor *self, void *data);
void disconnect_everybody(const struct scene *s);
void expect_refused(struct diskalloc_region *r);
void expect_granted(struct diskalloc_region *r);
// Whether the region DATA (a struct diskalloc_region *) can be shrunk, which is tried.
bool is_granted(void *data);
