// What the files of config share: the table of keys, and the state while files are read.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/config/config.h"

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

// From the place of a value that the files say to that of one set at run time.
#define CONFIG_RUNTIME_OFFSET (offsetof(struct config_subject, runtime) - offsetof(struct config_subject, values))

// "bytes", ...: as the files write it.
const char *config_quota_key_name(enum config_quota_key key);

// Reads one file into C; later keys win.  0, or -errno and *RET_ERROR is a sentence.
int config_read_file(struct config *c, const char *path, config_warn_fn warn, void *warn_data, char **ret_error);

// The same for the run-time layer.  Closes STREAM; PATH is for sentences only.
int config_read_runtime(struct config *c, FILE *stream, const char *path, config_warn_fn warn, void *warn_data,
                        char **ret_error);

// What SUBJECT says of KEY, the run-time layer first; NULL: nothing, or SUBJECT is.
const struct config_value *config_said(const struct config_subject *subject, enum config_quota_key key);
void config_subject_deinit(struct config_subject *s);

// UTF-8 without control characters but tabs.
bool config_is_text(const char *line);
// Why SUBJECT can't stand in a section's line; NULL: it can.
const char *config_subject_complaint(const char *subject);
const char *config_kind_noun(enum config_subject_kind kind);
// Of numbers only; for the limits of which 0 would be a surprise.
bool config_allows_nothing(enum config_quota_key key, const struct config_value *v);

// The subject called TEXT, made when it is not there: its index, -EINVAL or -ENOMEM.
int config_add_subject(struct config *c, const char *text, bool *ret_is_new);

// NULL: there is none.
struct config_subject *config_find_name(const struct config *c, enum config_subject_kind kind, const char *name);
struct config_subject *config_find_id(const struct config *c, enum config_subject_kind kind, uint32_t id);

// Room for N subjects: 0 or -ENOMEM.
int config_index_reserve(struct config *c, size_t n);
void config_index_add(struct config *c, size_t index);
void config_index_rebuild(struct config *c); // after subjects were moved
void config_index_deinit(struct config_index *x);
