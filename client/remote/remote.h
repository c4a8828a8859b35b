// The backend that asks a daemon for regions.
#pragma once
#include "client/backend.h"

// Connects to the daemon whose socket is at PATH, which is copied.  0; -ENOENT: there is no daemon; or another
// -errno, as connection_open, with the reason noted.
int remote_backend_new(const char *path, const struct diskalloc_options *options, struct backend **ret);
