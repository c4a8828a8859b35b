// What the files of config share: the table of keys, and the state while files are read.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"

struct config_key {
    const char *name;
    // Writes what TEXT means to FIELD.  NULL, or what is wrong with TEXT; config_no_memory.
    const char *(*parse)(void *field, const char *text);
    size_t offset; // of FIELD in struct config, or struct config_subject
    bool is_value; // FIELD is a config_value, which keeps where it was said
};

extern const char config_no_memory[];

// NULL: there is no such key.
const struct config_key *config_daemon_key(const char *name);
const struct config_key *config_quota_key(const char *name);

// "bytes", ...: as the files write it.
const char *config_quota_key_name(enum config_quota_key key);

// Reads one file into C; later keys win.  0, or -errno and *RET_ERROR is a sentence.
int config_read_file(struct config *c, const char *path, config_warn_fn warn, void *warn_data, char **ret_error);

// The subject called TEXT, made when it is not there: its index, -EINVAL or -ENOMEM.
int config_add_subject(struct config *c, const char *text, bool *ret_is_new);

// Numbers of names in the user database; "+N" is a number itself.  0, or -ENOENT when it has no such name.
int config_lookup_user(const char *name, uint32_t *ret);
int config_lookup_group(const char *name, uint32_t *ret);
