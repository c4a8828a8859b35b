// The daemon backend's two halves: the client's side (remote.c) and one attached region of it (remote_region.c).
#pragma once
#include "client/backend.h"
#include "client/link.h"

struct remote {
    struct backend base;
    struct link *link;
};

struct remote_backing {
    struct backing base;
    struct link *link;
    struct attachment *attachment; // the link's, once it is attached
};

extern const struct backing_ops remote_backing_ops;

// 0, the daemon's refusal, or -EPROTO unless the reply has what it has to have.
int remote_check_region(const struct answer *a, bool with_fd);
void remote_take_region(struct backing *b, const WireRegion *region);
