// What a daemon has taken from its configuration when it started, and keeps until its end, whatever a reload reads.
#pragma once
#include "daemon/config/config.h"

struct since_start {
    char *socket; // owned
    unsigned socket_mode;
    enum config_fence fence;
};

int since_start_init(struct since_start *s, const struct config *c); // 0 or -ENOMEM
void since_start_deinit(struct since_start *s);
// Warns in the log of what C, read by a reload, says in vain.
void since_start_warn(const struct since_start *s, const struct config *c);
