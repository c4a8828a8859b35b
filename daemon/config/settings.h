// The configuration while the daemon runs: it is reloaded (SIGHUP), and administrators change quotas.  One change is
// made at a time: prepared on a worker, which may block, and made true on the loop.
#pragma once
#include <stddef.h>

#include "daemon/config/runtime.h"
#include "daemon/config/source.h"
#include "daemon/work/worker.h"

struct settings;
struct store;

// Takes CONFIG over.  CHANGED is called on the loop after each change that was made true.
int settings_new(struct worker_pool *pool, struct store *store, const struct settings_source *source,
                 struct config *config, void (*changed)(void *data), void *data, struct settings **ret);
void settings_free(struct settings *s);
// Reads the run-time quotas over the values of the files.  Blocks: at start only.  0; or -errno, and the reason was
// logged.
int settings_load_runtime(struct settings *s);
// Then, of each further disk: takes over what the file there, of a time when that disk was the first one, says, where
// that was set or unset later.  Blocks: at start only.  0; or -errno, and the reason was logged.
int settings_merge_runtime(struct settings *s, struct store *from);
// Names mean something else than before (names_start).
void settings_names_changed(struct settings *s);
void settings_have_changed(struct settings *s); // calls CHANGED: something outside of the files has changed
// Looks after the names of the configuration from now on, and calls CHANGED for the first time.
void settings_start(struct settings *s);
const struct config *settings_config(const struct settings *s);

struct settings_change {
    // Filled in by the caller.  SUBJECT NULL: read the files again.  With FROM: take over the quotas there, as
    // settings_merge_runtime does, and read the files again only if something is taken over.  Otherwise set the KEYS of
    // SUBJECT to TEXTS; or, TEXTS NULL, unset the KEYS, or all keys if there are none.
    char *subject;
    struct store *from;
    size_t n;
    char **keys, **texts;
    void (*done)(struct settings_change *change); // called on the loop, with result and error; frees the change
    void *owner;
    int result;
    int merge_result; // of FROM: 0; or -errno, and the reason was logged
    char *error;      // if result is negative: a sentence, or NULL
    // If SUBJECT is not NULL and something has changed: the limits of the keys, "bytes=50G regions=unlimited", for the
    // log.
    char *before, *after;

    struct settings *settings;
    struct config_change quota; // if SUBJECT is not NULL
    struct config *loaded;      // otherwise: the new configuration, until it is in use
    struct work work;
    TAILQ_ENTRY(settings_change) entry;
};
// Takes CHANGE over.  Fields that the caller does not fill in are zero.
void settings_submit(struct settings *s, struct settings_change *change);
void settings_change_free(struct settings_change *change);
