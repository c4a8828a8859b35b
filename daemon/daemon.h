// The daemon as a whole: made from a configuration, run until it is told to end.
#pragma once

struct config;
struct daemon;
struct settings_source;

enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_FAILED = 1,
    DAEMON_EXIT_TAKEN = 75,  // another daemon has the spill directory
    DAEMON_EXIT_CONFIG = 78, // the configuration is bad
};

// Takes CONFIG, which came from SOURCE.  LISTEN_FD: the socket from systemd, or -1.  Locks and scans the spill directory, and listens.
// DAEMON_EXIT_OK, or the exit status, having logged why.
enum daemon_exit daemon_new(const struct settings_source *source, struct config *config, int listen_fd,
                            struct daemon **ret);
// Until SIGTERM or SIGINT.
enum daemon_exit daemon_run(struct daemon *d);
void daemon_free(struct daemon *d);
