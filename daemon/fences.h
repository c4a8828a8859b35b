// The fences of the running daemon: set up, asked for news, and what follows from those.  See the essay in fences.c.
#pragma once

struct config;
struct daemon;

// Sets up the fences that CONFIG asks for.  After events_init and the store, before any region.  0; or -errno, and the
// reason was logged.
int fences_init(struct daemon *d, const struct config *config);
void fences_deinit(struct daemon *d);
// Every two seconds: looks at all regions if some cannot be watched.
void fences_tick(struct daemon *d);
