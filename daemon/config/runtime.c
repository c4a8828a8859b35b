// Quotas set at run time.
//
// `diskallocctl quota set` changes one subject of the layer CONFIG_RUNTIME.  The layer is kept in a file of the spill
// directory, in the syntax of the configuration, and read again at start and on each reload, over the files in /etc.
//
// A change has three steps.  A worker prepares it (looks the subject up in the user database), renders the whole
// layer as the change will leave it, and replaces the file: write, fsync, rename, fsync of the directory.  Then the
// loop applies the change to the configuration that is in use.  So a change that was answered is on disk, and one
// that failed has changed nothing.
//
// The worker reads the configuration that the loop uses, without a lock.  It may: settings.c has only one change
// under way at a time, the loop alone writes the configuration, and it does so only when that one change ends.
//
// A change is not made by a reload, although that would be one way less: a reload would also bring in edits of the
// files in /etc that the administrator has not asked for yet, would refuse a quota for a mistake in one of those
// files, and would ask the user database about every name again.
#include "daemon/config/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/subjects.h"
#include "daemon/store/small_file.h"
#include "proto/util/cleanup.h"

enum { TEXT_MAX_LENGTH = 64 }; // of a value; the longest number has 20 digits

// Adds what to do about the file to the sentence *ERROR.
static void add_remedy(char **error)
{
    char *sentence = NULL;

    if (!*error || asprintf(&sentence,
                            "%s; mend the file, or move it away: the quotas that were set by diskallocctl then hold no "
                            "longer",
                            *error) < 0)
        return;
    free(*error);
    *error = sentence;
}

static int open_runtime(int dir_fd, const char *path, FILE **ret, char **ret_error)
{
    _cleanup_close_ int fd = small_file_open(dir_fd, CONFIG_RUNTIME_FILE);
    int error = fd;

    if (fd == -ENOENT)
        return fd;
    if (fd >= 0) {
        *ret = fdopen(fd, "re");
        error = *ret ? 0 : -errno;
    }
    if (error < 0)
        return config_fail(ret_error, error, "%s can't be opened: %s", path,
                           error == -EINVAL ? "it is no file of quotas" : strerror(-error));
    steal_fd(&fd); // the stream's
    return 0;
}

int config_load_runtime(struct config *c, int dir_fd, const char *dir, config_warn_fn warn, void *warn_data,
                        char **ret_error)
{
    _cleanup_free_ char *path = NULL;
    FILE *stream = NULL;
    int r;

    if (asprintf(&path, "%s/%s", dir, CONFIG_RUNTIME_FILE) < 0) {
        path = NULL;
        return config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    }
    r = open_runtime(dir_fd, path, &stream, ret_error);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = config_read(c, stream, path, CONFIG_RUNTIME, warn, warn_data, ret_error);
    if (r == -EINVAL || r == -EISDIR || r == -ELOOP)
        add_remedy(ret_error);
    return r;
}

int config_parse_runtime(struct config *c, const char *text, char **ret_error)
{
    FILE *stream = fmemopen((char *)text, strlen(text), "r");

    if (!stream)
        return config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    return config_read(c, stream, CONFIG_RUNTIME_FILE, CONFIG_RUNTIME, NULL, NULL, ret_error);
}

// TEXT, if it may be repeated in a sentence: somebody sent it.
static const char *quoted(const char *text)
{
    return strlen(text) <= TEXT_MAX_LENGTH && config_is_text(text) ? text : "what was sent";
}

static int check_subject(const char *subject, char **ret_error)
{
    const char *complaint = config_subject_complaint(subject), *name;
    enum config_subject_kind kind;

    if (complaint)
        return config_fail(ret_error, -EINVAL, "%s: %s", quoted(subject), complaint);
    if (config_parse_subject(subject, &kind, &name) < 0)
        return config_fail(ret_error, -EINVAL, "%s: a quota is of " CONFIG_SUBJECTS, quoted(subject));
    return 0;
}

// TEXT NULL: KEY is to be unset.
static int take_key(struct config_change *change, const char *name, const char *text, char **ret_error)
{
    const struct config_key *key = config_quota_key(name);
    struct config_value *v;
    const char *complaint;

    if (!key)
        return config_fail(ret_error, -EINVAL,
                           "%s is no key of a quota: it is bytes, regions, connections, region_bytes, warn_at, "
                           "soft_bytes or grace",
                           quoted(name));
    v = &change->values[key - config_quota_keys];
    if (text && change->touched[key - config_quota_keys])
        return config_fail(ret_error, -EINVAL, "%s is there twice", key->name);
    change->touched[key - config_quota_keys] = true;
    if (!text)
        return 0;
    complaint = !*text                           ? "it has no value"
                : strlen(text) > TEXT_MAX_LENGTH ? "the value is too long"
                                                 : key->parse(v, text);
    if (complaint)
        return config_fail(ret_error, -EINVAL, "%s = %s: %s", key->name, quoted(text), complaint);
    if (config_value_set_origin(v, NULL, 0, text) < 0)
        return config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    v->set_at = change->at;
    return 0;
}

static void warn_of(const struct config_change *change, config_warn_fn warn, void *data)
{
    const struct config_subject *s = change->subject;
    char name[CONFIG_SUBJECT_SIZE];

    config_subject_text(s, name, sizeof(name));
    if (change->is_missing)
        config_warn(warn, data, "%s names an unknown %s, and means nothing until there is one", name,
                    config_kind_noun(s->kind));
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        if (config_allows_nothing((enum config_quota_key)key, &change->values[key]))
            config_warn(warn, data, "%s %s = %s: nothing is allowed; write unlimited for no limit", name,
                        config_quota_keys[key].name, change->values[key].text);
}

int config_change_prepare(struct config_change *change, struct config *c, const char *subject, const char *const *keys,
                          const char *const *texts, size_t n, config_warn_fn warn, void *warn_data, char **ret_error)
{
    int r = check_subject(subject, ret_error);

    *change = (struct config_change){.config = c, .at = config_next_change(c)};
    if (r == 0 && texts && n == 0)
        r = config_fail(ret_error, -EINVAL, "there is nothing to set");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = take_key(change, keys[i], texts ? texts[i] : NULL, ret_error);
    for (size_t key = 0; n == 0 && key < CONFIG_QUOTA_KEY_N; key++)
        change->touched[key] = true;
    if (r == 0 && config_resolve_subject(c, subject, &change->subject, &change->is_new, &change->is_missing) < 0)
        r = config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    if (r < 0)
        config_change_deinit(change);
    else if (texts)
        warn_of(change, warn, warn_data);
    return r;
}

// The text of the value that holds for KEY when the layer of the run-time quotas says RUNTIME.
static const char *text_of(const struct config_subject *s, size_t key, const struct config_value *runtime)
{
    const struct config_value *file = &s->values[CONFIG_FILES][key];

    if (runtime->kind != CONFIG_UNSET)
        return runtime->text;
    return file->kind != CONFIG_UNSET && file->text ? file->text : "not set";
}

void config_change_describe(const struct config_change *change, char **ret_before, char **ret_after)
{
    const struct config_subject *s = change->subject;
    size_t n_before, n_after;
    FILE *before = open_memstream(ret_before, &n_before), *after = open_memstream(ret_after, &n_after);
    bool is_change = false;

    for (size_t key = 0; before && after && key < CONFIG_QUOTA_KEY_N; key++) {
        const struct config_value *now = &s->values[CONFIG_RUNTIME][key], *then = &change->values[key];

        if (!change->touched[key] || (now->kind == CONFIG_UNSET && then->kind == CONFIG_UNSET))
            continue;
        fprintf(before, "%s%s=%s", is_change ? " " : "", config_quota_keys[key].name, text_of(s, key, now));
        fprintf(after, "%s%s=%s", is_change ? " " : "", config_quota_keys[key].name, text_of(s, key, then));
        is_change = true;
    }
    if (before)
        fclose(before);
    if (after)
        fclose(after);
    if (is_change && *ret_before && *ret_after)
        return;
    free(*ret_before);
    free(*ret_after);
    *ret_before = *ret_after = NULL;
}

void config_change_apply(struct config_change *change)
{
    struct config_subject *s = change->subject;

    if (change->is_new)
        config_insert(change->config, s);
    change->is_new = false;
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        if (!change->touched[key])
            continue;
        config_value_deinit(&s->values[CONFIG_RUNTIME][key]);
        s->values[CONFIG_RUNTIME][key] = change->values[key];
        change->values[key] = (struct config_value){.kind = CONFIG_UNSET};
        if (s->values[CONFIG_RUNTIME][key].kind == CONFIG_UNSET)
            config_note_unset(change->config, s, (enum config_quota_key)key, change->at);
        else
            config_forget_unset(change->config, s, (enum config_quota_key)key);
    }
    change->config->last_change = change->at;
    if (config_says_nothing(s))
        config_remove(change->config, s);
    change->subject = NULL;
}

void config_change_deinit(struct config_change *change)
{
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        config_value_deinit(&change->values[key]);
    if (change->is_new)
        config_subject_free(change->subject);
    change->is_new = false;
    change->subject = NULL;
}

// The value that CHANGE (NULL: none) will leave for KEY of S.
static const struct config_value *value_after(const struct config_change *change, const struct config_subject *s,
                                              size_t key)
{
    bool is_changed = change && change->subject == s && change->touched[key];

    return is_changed ? &change->values[key] : &s->values[CONFIG_RUNTIME][key];
}

static void render_subject(FILE *stream, const struct config_subject *s, const struct config_change *change)
{
    char name[CONFIG_SUBJECT_SIZE];
    bool begun = false;

    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        const struct config_value *v = value_after(change, s, key);

        if (v->kind == CONFIG_UNSET)
            continue;
        if (!begun)
            fprintf(stream, "\n[quota %s]\n", config_subject_text(s, name, sizeof(name)));
        begun = true;
        fprintf(stream, "%s = %s\n", config_quota_keys[key].name, v->text);
    }
}

static void render_times(FILE *stream, const struct config_subject *s, const struct config_change *change)
{
    char name[CONFIG_SUBJECT_SIZE];

    config_subject_text(s, name, sizeof name);
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        const struct config_value *v = value_after(change, s, key);
        bool is_unset = change && change->subject == s && change->touched[key] && v->kind == CONFIG_UNSET;

        if (v->kind != CONFIG_UNSET)
            config_write_time(stream, v->set_at, name, (enum config_quota_key)key, v->text);
        else if (is_unset)
            config_write_time(stream, change->at, name, (enum config_quota_key)key, NULL);
    }
}

// Keys that were unset before CHANGE, and that it does not touch.
static void render_unsets(FILE *stream, const struct config *c, const struct config_change *change)
{
    char name[CONFIG_SUBJECT_SIZE] = "";

    if (change)
        config_subject_text(change->subject, name, sizeof name);
    for (size_t i = 0; i < c->n_unsets; i++) {
        const struct config_unset *u = &c->unsets[i];

        if (!change || !change->touched[u->key] || strcmp(u->subject, name) != 0)
            config_write_time(stream, u->at, u->subject, u->key, NULL);
    }
}

char *config_render_runtime(const struct config *c, const struct config_change *change)
{
    char *text = NULL;
    size_t n;
    FILE *stream = open_memstream(&text, &n);
    bool failed;

    if (!stream)
        return NULL;
    fputs("# Set by diskallocctl quota; diskallocd replaces this file.\n", stream);
    for (size_t i = 0; i < c->n_subjects; i++)
        render_subject(stream, c->subjects[i], change);
    if (change && change->is_new)
        render_subject(stream, change->subject, change);
    fputs("\n# When this was set and unset; see SEVERAL DISKS in diskallocd.conf(5).\n", stream);
    for (size_t i = 0; i < c->n_subjects; i++)
        render_times(stream, c->subjects[i], change);
    if (change && change->is_new)
        render_times(stream, change->subject, change);
    render_unsets(stream, c, change);
    failed = ferror(stream);
    if (fclose(stream) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}
