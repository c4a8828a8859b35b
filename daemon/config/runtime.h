// Run-time quotas: a layer over what the files say that lives in the spill directory, in the same syntax.  To change them:
// copy on the loop; change, render and write the copy on a worker; swap on the loop.  Of several changes one at a time.
#pragma once
#include "daemon/config/config.h"

#define CONFIG_RUNTIME_FILE ".quota"

struct config_setting {
    const char *key, *text;
};

// A configuration with the quotas of C and nothing else; NULL: no memory.
struct config *config_copy_quotas(const struct config *c);
void config_swap_quotas(struct config *a, struct config *b);
// All of the settings or none.  Both look names up where they were not known yet (this may block); an unknown one is accepted
// with a warning, a limit of 0 as well.  0, -EINVAL or -ENOMEM, and *RET_ERROR is a sentence to be freed.
int config_set_runtime(struct config *c, const char *subject, const struct config_setting *settings, size_t n,
                       config_warn_fn warn, void *warn_data, char **ret_error);
// N 0: all keys of the subject.  What is not set is unset: 0.
int config_unset_runtime(struct config *c, const char *subject, const char *const *keys, size_t n, char **ret_error);
// The layer as the text of its file, to be freed; NULL: no memory.  Pure.
char *config_render_runtime(const struct config *c);
// Replaces DIR_FD's CONFIG_RUNTIME_FILE atomically and durably.  0 or -errno, and the old file is as it was (unless it was the
// directory's fsync that failed, after the new one had its name).  I/O only.
int config_write_runtime(int dir_fd, const char *text);
// Puts the layer over what config_load gave: at start and after each reload.  No file is fine.  0, or -errno and *RET_ERROR is a
// sentence; C is then good for config_free only.
int config_load_runtime(struct config *c, int dir_fd, config_warn_fn warn, void *warn_data, char **ret_error);

// What holds of one key of one subject, for lists; subjects are in C->subjects.
struct config_description {
    const char *key;
    const char *text; // as written
    uint64_t value;   // on a file system of FS_TOTAL bytes; QUOTA_UNLIMITED: no limit
    char origin[512]; // "built in", "FILE:LINE", "set at run time"
};
// False: nothing is said of it.
bool config_describe(const struct config *c, const struct config_subject *s, enum config_quota_key key,
                     uint64_t fs_total, struct config_description *ret);
// "user:alice", in RET of N bytes.  Returns RET.
const char *config_subject_text(const struct config_subject *s, char *ret, size_t n);
