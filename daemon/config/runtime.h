// Quotas set at run time: the second layer of the configuration, and its file in the spill directory.
#pragma once
#include "daemon/config/config.h"

#define CONFIG_RUNTIME_FILE ".quota" // in the spill directory

// Reads the layer from DIR_FD (whose path DIR is for sentences) into what config_load gave: at start, and on each
// reload. The file may be absent.  Blocks.  0, or -errno and *RET_ERROR is a sentence; C is then good for config_free
// only.
int config_load_runtime(struct config *c, int dir_fd, const char *dir, config_warn_fn warn, void *warn_data,
                        char **ret_error);

// Takes over what the file in another directory says, where that was set or unset later than in C.  Blocks.  0, and
// *RET_N: how many keys that were; or as config_load_runtime.
int config_merge_runtime(struct config *c, int dir_fd, const char *dir, config_warn_fn warn, void *warn_data,
                         unsigned *ret_n, char **ret_error);
// Whether that would take anything over.  Blocks.  As config_load_runtime.
int config_has_later(const struct config *c, int dir_fd, const char *dir, bool *ret, char **ret_error);
// The same of another configuration, whose keys are added to *N.  0 or -ENOMEM.
int config_take_later(struct config *c, const struct config *other, unsigned *n);
// Reads the layer from TEXT, which config_render_runtime has made.  As config_load_runtime.
int config_parse_runtime(struct config *c, const char *text, char **ret_error);

// One change of the layer, on its way into CONFIG.  Prepared and written on a worker, applied on the loop.
struct config_change {
    struct config *config;
    struct config_subject *subject; // in CONFIG; when IS_NEW, not there yet, and the change's own
    bool is_new;
    bool is_missing; // the user database has no such user or group
    uint64_t at;     // ms since 1970
    bool touched[CONFIG_QUOTA_KEY_N];
    struct config_value values[CONFIG_QUOTA_KEY_N]; // of the touched keys; CONFIG_UNSET: nothing is set any more
};

// Checks a change and looks its subject up.  Only reads C.  TEXTS: set KEYS, all of them or none.  TEXTS NULL: unset
// KEYS; N 0: unset all keys.  An unknown name, and a limit of 0, are accepted with a warning.  Unsetting what is not
// set is no error.  Blocks. 0, -EINVAL or -ENOMEM, and *RET_ERROR is a sentence to be freed.
int config_change_prepare(struct config_change *change, struct config *c, const char *subject, const char *const *keys,
                          const char *const *texts, size_t n, config_warn_fn warn, void *warn_data, char **ret_error);
// What the touched keys are before the change and after it, as "bytes=50G regions=built in": texts to be freed.  They
// stay NULL if nothing changes, or without memory.  To be called before config_change_apply.
void config_change_describe(const struct config_change *change, char **ret_before, char **ret_after);
// Makes a prepared change true.  Cannot fail, if config_make_room was called before the change was prepared.
void config_change_apply(struct config_change *change);
void config_change_deinit(struct config_change *change); // idempotent; applied or not

// The layer of C, as CHANGE (NULL: none) will leave it, as the text of its file, to be freed.  NULL: no memory.  Pure.
char *config_render_runtime(const struct config *c, const struct config_change *change);
