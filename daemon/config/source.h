// Where the configuration comes from: the command line, and the files.
#pragma once

struct config;
struct config_paths;
struct names;

// The options of the command line that are about the configuration.
struct settings_source {
    const char *config, *socket;     // paths; NULL: the option was not given
    struct config_paths *spill_dirs; // the same; empty, or NULL in tests: the option was not given
    // The uids and gids of names; NULL, for settings_load only: ask the user database, however long that takes.
    struct names *names;
};

// Blocks.  0, or -errno and *RET_ERROR is a sentence to be freed.
int settings_load(const struct settings_source *source, struct config **ret, char **ret_error);
