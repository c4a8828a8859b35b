// The configuration while the daemon runs: reloaded, and changed by administrators.  One change at a time, made on a copy on a
// worker (it reads files and the user database, and writes), true when it is swapped in on the loop.
#pragma once
#include <stddef.h>

#include "daemon/config/runtime.h"
#include "daemon/work/worker.h"

struct settings;
struct store;

// Where the configuration comes from: what the command line said.
struct settings_source {
    const char *config, *socket, *spill_dir; // NULL: not said
};

// Blocks.  0, or -errno and *RET_ERROR is a sentence to be freed.
int settings_load(const struct settings_source *source, struct config **ret, char **ret_error);

// CONFIG becomes the settings'.  CHANGED is called after each change that came true.
int settings_new(struct worker_pool *pool, struct store *store, const struct settings_source *source,
                 struct config *config, void (*changed)(void *data), void *data, struct settings **ret);
void settings_free(struct settings *s);
// Puts the run-time quotas over what the files say.  Blocks: at start.  0, or -errno, having logged why.
int settings_load_runtime(struct settings *s);
const struct config *settings_config(const struct settings *s);

struct settings_change {
    // To be filled in: what to set (TEXT) or unset (TEXT NULL; no key at all: all) of SUBJECT; SUBJECT NULL: read the files again.
    char *subject;
    size_t n;
    char **keys, **texts;
    void (*done)(struct settings_change *change); // with result, and error if that is negative; frees it
    void *owner;
    int result;
    char *error; // a sentence, or NULL

    struct settings *settings;
    struct config_change quota; // when SUBJECT is not NULL
    struct config *loaded;      // else, until it is in use
    struct work work;
    TAILQ_ENTRY(settings_change) entry;
};
// Takes CHANGE, which must be zero but for what is to be filled in.
void settings_submit(struct settings *s, struct settings_change *change);
void settings_change_free(struct settings_change *change);
