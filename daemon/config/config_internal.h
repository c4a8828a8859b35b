// The subjects as a table, the keys, and how sentences are made: shared by the files of this folder.
#pragma once
#include <stdio.h>

#include "daemon/config/config.h"

// ---- config.c: the data ----

// Makes room for one more subject: 0 or -ENOMEM.  After that, one config_insert cannot fail.
int config_make_room(struct config *c);
void config_insert(struct config *c, struct config_subject *s); // takes S
void config_remove(struct config *c, struct config_subject *s); // frees S
void config_subject_free(struct config_subject *s);
// NULL: there is none.
struct config_subject *config_find_name(const struct config *c, enum config_subject_kind kind, const char *name);
// The first one.  Several subjects have one number if their names have come to mean the same user or group.
struct config_subject *config_find_id(const struct config *c, enum config_subject_kind kind, uint32_t id);
// The next subject of the same kind and number, in the order of the files; NULL: there is none.
struct config_subject *config_next_same(const struct config_subject *s);

// The section [disk PATH], which is made if there is none.  0, -EINVAL (no absolute path) or -ENOMEM.
int config_need_disk(struct config *c, const char *path, struct config_disk **ret);

// Copies where a value was said, FILE NULL for no file, and its text.  0, or -ENOMEM and nothing has changed.
int config_value_set_origin(struct config_value *v, const char *file, unsigned line, const char *text);
void config_value_deinit(struct config_value *v); // leaves it CONFIG_UNSET

// Returns ERROR, with a sentence in *RET_ERROR (NULL when there is no memory).
__attribute__((format(printf, 3, 4))) int config_fail(char **ret_error, int error, const char *format, ...);
// Does nothing when WARN is NULL.
__attribute__((format(printf, 3, 4))) void config_warn(config_warn_fn warn, void *data, const char *format, ...);

// ---- keys.c ----

struct config_key {
    const char *name;
    // Writes the meaning of TEXT to FIELD.  Returns NULL, or what is wrong with TEXT, which may be config_no_memory.
    const char *(*parse)(void *field, const char *text);
    // Of FIELD in struct config, or in struct config_disk; 0 for the keys of quotas, whose FIELD is a config_value of a
    // subject.
    size_t offset;
    bool is_value; // FIELD is a config_value, which keeps where it was said
    bool is_list;  // FIELD is a struct config_paths: a section may have the key several times
};

extern const char config_no_memory[];
extern const struct config_key config_quota_keys[]; // by enum config_quota_key

// NULL: there is no such key.
const struct config_key *config_daemon_key(const char *name);
const struct config_key *config_quota_key(const char *name);
const struct config_key *config_disk_key(const char *name); // of [disk PATH]

// ---- subjects.c ----

// Whether LINE is UTF-8 without control characters other than tabs.
bool config_is_text(const char *line);
// Whether some readers of such files would take the end of LINE for a comment: white space and then ; or #.
bool config_has_inline_comment(const char *line);
// Why SUBJECT can't be written in the line of a section; NULL: it can.
const char *config_subject_complaint(const char *subject);
const char *config_kind_noun(enum config_subject_kind kind); // "user" or "group"
// How the configuration asks if nobody says otherwise: the user database, and blocks.
extern const struct config_resolver config_user_database;
// The subject that TEXT means in C, under this name or another name of the same user or group; or a new one, which is
// the caller's. *RET_MISSING: the user database has no such name.  Changes nothing in C.  Asks for the number of the
// name, and may block.  0, -EINVAL or -ENOMEM.
int config_resolve_subject(const struct config *c, const char *text, struct config_subject **ret, bool *ret_is_new,
                           bool *ret_missing);

// ---- limits.c ----

// The value that SUBJECT sets for KEY, of the last layer that sets it.  NULL: none does, or SUBJECT is NULL.
const struct config_value *config_said(const struct config_subject *subject, enum config_quota_key key);
// True if V is a limit of 0.  False for warn_at and grace, where 0 is useful.
bool config_allows_nothing(enum config_quota_key key, const struct config_value *v);

// Whether no layer of S has a value, so that the configuration needs no S.
bool config_says_nothing(const struct config_subject *s);

// ---- times.c: when quotas were set and unset at run time ----

// The time of a change that is made now: later than each change that is known.
uint64_t config_next_change(const struct config *c);
// Notes that KEY of S, which need not be in C, was unset at AT.  The oldest of very many such notes are forgotten;
// without memory nothing is noted.
void config_note_unset(struct config *c, const struct config_subject *s, enum config_quota_key key, uint64_t at);
void config_forget_unset(struct config *c, const struct config_subject *s, enum config_quota_key key);
// When KEY of S was set or unset last; 0: it is not known to have been.
uint64_t config_last_change(const struct config *c, const struct config_subject *s, enum config_quota_key key);
// Writes a comment that says when KEY was set to TEXT; TEXT NULL: when it was unset.
void config_write_time(FILE *stream, uint64_t at, const char *subject, enum config_quota_key key, const char *text);
// Takes over what a comment says that config_write_time has written; ignores other comments.  FILE_TIME: when the file
// was changed last, and so when somebody has edited what the comment does not agree with.
void config_read_time(struct config *c, const char *comment, uint64_t file_time);
// After the last line: what no comment tells of was set when the file was changed last.
void config_complete_times(struct config *c, uint64_t file_time);

// ---- file.c ----

// Reads one file into C, over what is there already.  LAYER CONFIG_RUNTIME: the file holds quotas only, and a subject
// may have several sections.  Closes STREAM; PATH is for sentences.  0, or -errno and *RET_ERROR is a sentence.
int config_read(struct config *c, FILE *stream, const char *path, enum config_layer layer, config_warn_fn warn,
                void *warn_data, char **ret_error);
