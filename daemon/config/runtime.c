// Quotas set at run time: changes to the layer, and its file.
#include "daemon/config/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config/config_internal.h"
#include "proto/util/cleanup.h"

#define TEMPORARY_FILE CONFIG_RUNTIME_FILE ".new"

enum { TEXT_MAX_LENGTH = 64 }; // of a value; the longest number has 20

__attribute__((format(printf, 3, 4))) static int fail(char **ret_error, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(ret_error, format, args) < 0)
        *ret_error = NULL;
    va_end(args);
    return error;
}

// What a sentence may repeat of what somebody sent.
static const char *quoted(const char *text)
{
    return strlen(text) <= TEXT_MAX_LENGTH && config_is_text(text) ? text : "what was sent";
}

static bool copy_value(struct config_value *to, const struct config_value *from)
{
    *to = *from;
    to->file = from->file ? strdup(from->file) : NULL;
    to->text = from->text ? strdup(from->text) : NULL;
    return (to->file || !from->file) && (to->text || !from->text);
}

static bool copy_subject(struct config_subject *to, const struct config_subject *from)
{
    bool whole = true;

    *to = (struct config_subject){.kind = from->kind, .known = from->known, .id = from->id};
    if (from->name) {
        to->name = strdup(from->name);
        whole = to->name != NULL;
    }
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        whole &= copy_value(&to->values[key], &from->values[key]);
        whole &= copy_value(&to->runtime[key], &from->runtime[key]);
    }
    return whole;
}

static bool copy_subjects(struct config *to, const struct config *from)
{
    size_t n_allocated = 1; // as config_add_subject has it

    while (n_allocated < from->n_subjects)
        n_allocated *= 2;
    to->subjects = calloc(n_allocated, sizeof(*to->subjects));
    if (!to->subjects || config_index_reserve(to, from->n_subjects) < 0)
        return false;
    for (size_t i = 0; i < from->n_subjects; i++) {
        to->n_subjects++;
        if (!copy_subject(&to->subjects[i], &from->subjects[i]))
            return false;
        config_index_add(to, i);
    }
    return true;
}

struct config *config_copy_quotas(const struct config *c)
{
    struct config *copy = calloc(1, sizeof(*copy));

    if (!copy || copy_subjects(copy, c))
        return copy;
    config_free(copy);
    return NULL;
}

void config_swap_quotas(struct config *a, struct config *b)
{
    struct config_subject *subjects = a->subjects;
    struct config_index index = a->index;
    size_t n = a->n_subjects;

    a->subjects = b->subjects;
    a->n_subjects = b->n_subjects;
    a->index = b->index;
    b->subjects = subjects;
    b->n_subjects = n;
    b->index = index;
}

static int check_subject(const char *subject, char **ret_error)
{
    const char *complaint = config_subject_complaint(subject), *name;
    enum config_subject_kind kind;

    if (complaint)
        return fail(ret_error, -EINVAL, "%s: %s", quoted(subject), complaint);
    if (config_parse_subject(subject, &kind, &name) < 0)
        return fail(ret_error, -EINVAL, "%s: a quota is of total, default, user:NAME, members:GROUP or group:GROUP",
                    quoted(subject));
    return 0;
}

static const struct config_key *find_key(const char *name, char **ret_error)
{
    const struct config_key *key = config_quota_key(name);

    if (!key)
        fail(ret_error, -EINVAL, "%s is no key of a quota: it is bytes, regions, connections, region_bytes or warn_at",
             quoted(name));
    return key;
}

static int parse_setting(struct config_subject *s, const struct config_setting *setting, char **ret_error)
{
    const struct config_key *key = find_key(setting->key, ret_error);
    struct config_value *v;
    const char *complaint;

    if (!key)
        return -EINVAL;
    v = (struct config_value *)((char *)s + key->offset + CONFIG_RUNTIME_OFFSET);
    if (v->kind != CONFIG_UNSET)
        return fail(ret_error, -EINVAL, "%s is there twice", key->name);
    complaint = !*setting->text                           ? "it has no value"
                : strlen(setting->text) > TEXT_MAX_LENGTH ? "the value is too long"
                                                          : key->parse(v, setting->text);
    if (complaint)
        return fail(ret_error, -EINVAL, "%s = %s: %s", key->name, quoted(setting->text), complaint);
    v->text = strdup(setting->text);
    return v->text ? 0 : fail(ret_error, -ENOMEM, "%s", config_no_memory);
}

__attribute__((format(printf, 3, 4))) static void say(config_warn_fn warn, void *warn_data, const char *format, ...)
{
    char sentence[512];
    va_list args;

    if (!warn)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    warn(warn_data, sentence);
}

static void warn_of(const struct config_subject *s, const struct config_subject *set, config_warn_fn warn, void *data)
{
    char name[128];

    config_subject_text(s, name, sizeof(name));
    if (s->name && !s->known)
        say(warn, data, "%s names an unknown %s, and means nothing until there is one", name,
            config_kind_noun(s->kind));
    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        if (config_allows_nothing((enum config_quota_key)key, &set->runtime[key]))
            say(warn, data, "%s %s = %s: nothing is allowed; write unlimited for no limit", name,
                config_quota_key_name((enum config_quota_key)key), set->runtime[key].text);
}

static void move_settings(struct config_subject *to, struct config_subject *from)
{
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        if (from->runtime[key].kind == CONFIG_UNSET)
            continue;
        free(to->runtime[key].text);
        to->runtime[key] = from->runtime[key];
        from->runtime[key] = (struct config_value){0};
    }
}

static int apply(struct config *c, const char *subject, struct config_subject *set, config_warn_fn warn,
                 void *warn_data, char **ret_error)
{
    bool is_new;
    int index = config_add_subject(c, subject, &is_new);

    if (index < 0)
        return fail(ret_error, index, "%s", config_no_memory);
    warn_of(&c->subjects[index], set, warn, warn_data);
    move_settings(&c->subjects[index], set);
    return 0;
}

int config_set_runtime(struct config *c, const char *subject, const struct config_setting *settings, size_t n,
                       config_warn_fn warn, void *warn_data, char **ret_error)
{
    struct config_subject set = {0};
    int r = check_subject(subject, ret_error);

    if (r == 0 && n == 0)
        r = fail(ret_error, -EINVAL, "there is nothing to set");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = parse_setting(&set, &settings[i], ret_error);
    if (r == 0)
        r = apply(c, subject, &set, warn, warn_data, ret_error);
    config_subject_deinit(&set);
    return r;
}

static bool says_nothing(const struct config_subject *s)
{
    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        if (config_said(s, (enum config_quota_key)key))
            return false;
    return s->name != NULL;
}

static void remove_subject(struct config *c, size_t i)
{
    config_subject_deinit(&c->subjects[i]);
    memmove(&c->subjects[i], &c->subjects[i + 1], (--c->n_subjects - i) * sizeof(*c->subjects));
    config_index_rebuild(c);
}

static void unset(struct config_value *v)
{
    free(v->text);
    *v = (struct config_value){0};
}

int config_unset_runtime(struct config *c, const char *subject, const char *const *keys, size_t n, char **ret_error)
{
    bool is_new;
    int index, r = check_subject(subject, ret_error);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = find_key(keys[i], ret_error) ? 0 : -EINVAL;
    if (r < 0)
        return r;
    index = config_add_subject(c, subject, &is_new);
    if (index < 0)
        return fail(ret_error, index, "%s", config_no_memory);
    for (size_t key = 0; n == 0 && key < CONFIG_QUOTA_KEY_N; key++)
        unset(&c->subjects[index].runtime[key]);
    for (size_t i = 0; i < n; i++)
        unset((struct config_value *)((char *)&c->subjects[index] + config_quota_key(keys[i])->offset +
                                      CONFIG_RUNTIME_OFFSET));
    if (says_nothing(&c->subjects[index]))
        remove_subject(c, (size_t)index);
    return 0;
}

static void render_subject(FILE *stream, const struct config_subject *s)
{
    char name[128];
    bool begun = false;

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        if (s->runtime[key].kind == CONFIG_UNSET)
            continue;
        if (!begun)
            fprintf(stream, "\n[quota %s]\n", config_subject_text(s, name, sizeof(name)));
        begun = true;
        fprintf(stream, "%s = %s\n", config_quota_key_name((enum config_quota_key)key), s->runtime[key].text);
    }
}

char *config_render_runtime(const struct config *c)
{
    char *text = NULL;
    size_t n;
    FILE *stream = open_memstream(&text, &n);
    bool failed;

    if (!stream)
        return NULL;
    fputs("# Set by diskallocctl quota; diskallocd replaces this file.\n", stream);
    for (size_t i = 0; i < c->n_subjects; i++)
        render_subject(stream, &c->subjects[i]);
    failed = ferror(stream);
    if (fclose(stream) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

static int write_whole(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t written = write(fd, text, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        text += written;
        n -= (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int config_write_runtime(int dir_fd, const char *text)
{
    _cleanup_close_ int fd = -1;
    int r;

    if (unlinkat(dir_fd, TEMPORARY_FILE, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(dir_fd, TEMPORARY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_whole(fd, text);
    if (r == 0 && renameat(dir_fd, TEMPORARY_FILE, dir_fd, CONFIG_RUNTIME_FILE) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir_fd, TEMPORARY_FILE, 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? -errno : 0;
}

// For sentences.
static const char *path_in(int dir_fd, char *ret, size_t n)
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
    length = readlink(link, ret, n - sizeof("/" CONFIG_RUNTIME_FILE));
    strcpy(ret + (length > 0 ? length : 0), length > 0 ? "/" CONFIG_RUNTIME_FILE : CONFIG_RUNTIME_FILE);
    return ret;
}

static void warn_nobody(void *data, const char *sentence)
{
    (void)data;
    (void)sentence;
}

int config_load_runtime(struct config *c, int dir_fd, config_warn_fn warn, void *warn_data, char **ret_error)
{
    char path[512];
    FILE *stream;
    int r, fd = openat(dir_fd, CONFIG_RUNTIME_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    path_in(dir_fd, path, sizeof(path));
    stream = fd < 0 ? NULL : fdopen(fd, "re");
    if (!stream) {
        r = -errno;
        if (fd >= 0)
            close(fd);
        return fail(ret_error, r, "%s can't be opened: %s", path, strerror(-r));
    }
    return config_read_runtime(c, stream, path, warn ? warn : warn_nobody, warn_data, ret_error);
}
