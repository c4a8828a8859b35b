// The daemon as a whole: made from a configuration, run until a signal ends it.
#pragma once

struct config;
struct daemon;
struct settings_source;

// Exit statuses of the process.
enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_FAILED = 1,
    DAEMON_EXIT_SHORT = 71,  // memory or descriptors were short: another start may find more
    DAEMON_EXIT_TAKEN = 75,  // another daemon uses the spill directory
    DAEMON_EXIT_CONFIG = 78, // the configuration has a mistake
};

// Locks and scans the spill directory, and listens.  Takes CONFIG, which was loaded from SOURCE.  SOURCE->names must
// live until daemon_free.  LISTEN_FD: the socket that systemd handed over, or -1.  On failure the log says why.
enum daemon_exit daemon_new(const struct settings_source *source, struct config *config, int listen_fd,
                            struct daemon **ret);
// Serves until SIGTERM or SIGINT.
enum daemon_exit daemon_run(struct daemon *d);
void daemon_free(struct daemon *d); // NULL is fine
