// The parts of the daemon: see parts.c.
#pragma once

struct config;
struct daemon;
struct settings_source;

// Makes all that listens to nobody yet: when this is done, every region is known and charged.  Takes CONFIG.  0 or
// -errno.
int parts_make(struct daemon *d, const struct settings_source *source, struct config *config);
// Serves metrics where the configuration says.
void parts_listen_for_metrics(struct daemon *d);
