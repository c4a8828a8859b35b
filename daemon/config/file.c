// Reads one file of the configuration, or the file of the quotas set at run time, line by line.
//
// The reader is strict: a line that is not exactly a comment, a section or a key ends the reading with a sentence.  A
// limit that was misread would be noticed only when a disk is full, so nothing is guessed, cut or skipped.  That is
// why no library reads these files: libinih cuts long lines and long sections without a word, takes an indented line
// for the continuation of the last value, and drops the end of a value that looks like a comment.  With libinih, each
// of its lines had to be checked here first, which left nothing for libinih but to look for the '='.
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/subjects.h"

enum {
    LINE_MAX_LENGTH = 198,                              // bytes, without the end of the line
    SECTION_MAX_LENGTH = CONFIG_SUBJECT_SIZE - 1 + 6,   // "quota SUBJECT"
    SECTION_LINE_MAX_LENGTH = SECTION_MAX_LENGTH + 100, // with brackets and white space
    TIME_LINE_MAX_LENGTH = SECTION_MAX_LENGTH + 150,    // a comment with a subject, a key and a time (times.c)
    KEYS_MAX = 16,                                      // keys of one section: more than there are
};

// A section of the daemon, a disk or a subject, and the keys that this section has had so far.
struct section {
    bool is_daemon;
    struct config_disk *disk;       // NULL: no [disk PATH]
    struct config_subject *subject; // NULL: no [quota SUBJECT]
    char name[SECTION_MAX_LENGTH + 1];
    const struct config_key *keys[KEYS_MAX];
    unsigned lines[KEYS_MAX]; // where each of keys was set
    size_t n_keys;
};

struct reader {
    struct config *config;
    const char *path;
    FILE *stream;
    enum config_layer layer;
    config_warn_fn warn;
    void *warn_data;
    unsigned line;        // the line that is being read, from 1
    unsigned daemon_line; // where this file has [daemon]; 0: nowhere so far
    struct section section;
    uint64_t file_time; // CONFIG_RUNTIME: when the file was changed last (ms since 1970)
    int error;          // -errno; the reading ends
    char *sentence;
};

__attribute__((format(printf, 3, 4))) static bool fail(struct reader *r, int error, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->error = config_fail(&r->sentence, error, "%s:%u: %s", r->path, r->line, text);
    return false;
}

// *LINE: where this file has the same section already, 0: nowhere; becomes the present line.
static bool enter_section(struct reader *r, const char *name, unsigned *line)
{
    // Names that were unknown when they were set at run time may since have become names of one user.
    if (*line && r->layer != CONFIG_RUNTIME)
        return fail(r, -EINVAL, "[%s] was there already, on line %u", name, *line);
    *line = r->line;
    r->section = (struct section){0};
    strcpy(r->section.name, name);
    return true;
}

static bool begin_quota(struct reader *r, const char *name)
{
    struct config_subject *s;
    bool is_new, missing;
    int error = config_resolve_subject(r->config, name + strlen("quota "), &s, &is_new, &missing);

    if (error == -EINVAL)
        return fail(r, error, "[%s] is no known section: a quota is of " CONFIG_SUBJECTS, name);
    if (error == 0 && is_new) {
        error = config_make_room(r->config);
        if (error == 0)
            config_insert(r->config, s);
        else
            config_subject_free(s);
    }
    if (error < 0)
        return fail(r, error, "there is no memory for [%s]", name);
    if (is_new && missing)
        config_warn(r->warn, r->warn_data, "%s:%u: [%s] names an unknown %s, and means nothing until there is one",
                    r->path, r->line, name, config_kind_noun(s->kind));
    if (s->last_file != r->config->n_files) {
        s->last_file = r->config->n_files;
        s->last_line = 0;
    }
    if (!enter_section(r, name, &s->last_line))
        return false;
    r->section.subject = s;
    return true;
}

static bool begin_disk(struct reader *r, const char *name)
{
    struct config_disk *d;
    int error = config_need_disk(r->config, name + strlen("disk "), &d);

    if (error == -EINVAL)
        return fail(r, error, "[%s] is no known section: a disk is named by the absolute path of a spill_dir", name);
    if (error < 0)
        return fail(r, error, "there is no memory for [%s]", name);
    if (d->last_file != r->config->n_files) {
        d->last_file = r->config->n_files;
        d->last_line = 0;
    }
    if (!enter_section(r, name, &d->last_line))
        return false;
    r->section.disk = d;
    return true;
}

static bool begin_daemon(struct reader *r, const char *name)
{
    if (!enter_section(r, name, &r->daemon_line))
        return false;
    r->section.is_daemon = true;
    return true;
}

static bool begin_section(struct reader *r, char *line)
{
    char *end = strchr(line, ']'), *name = line + 1;

    if (!end || end[1])
        return fail(r, -EINVAL, "%s: a section is written [NAME], with nothing behind it", line);
    *end = '\0';
    if (end - name > SECTION_MAX_LENGTH)
        return fail(r, -EINVAL, "[%s] is too long for a section, which has at most %d bytes", name, SECTION_MAX_LENGTH);
    if (r->layer == CONFIG_FILES && strcmp(name, "daemon") == 0)
        return begin_daemon(r, name);
    if (r->layer == CONFIG_FILES && strncmp(name, "disk ", strlen("disk ")) == 0)
        return begin_disk(r, name);
    if (strncmp(name, "quota ", strlen("quota ")) == 0)
        return begin_quota(r, name);
    return fail(r, -EINVAL, "[%s] is no known section", name);
}

// A list in a later file takes the place of that in an earlier one.
static bool remember_key(struct reader *r, const struct config_key *key, void *field)
{
    struct section *s = &r->section;

    for (size_t i = 0; i < s->n_keys; i++)
        if (s->keys[i] == key)
            return key->is_list ||
                   fail(r, -EINVAL, "%s was said already in [%s], on line %u", key->name, s->name, s->lines[i]);
    if (key->is_list)
        config_paths_clear(field);
    s->keys[s->n_keys] = key;
    s->lines[s->n_keys++] = r->line;
    return true;
}

static const struct config_key *find_key(const struct section *s, const char *name)
{
    if (s->is_daemon)
        return config_daemon_key(name);
    return s->disk ? config_disk_key(name) : config_quota_key(name);
}

static void *field_of(const struct reader *r, const struct config_key *key)
{
    const struct section *s = &r->section;

    if (s->is_daemon)
        return (char *)r->config + key->offset;
    return s->disk ? (char *)s->disk + key->offset : (char *)&s->subject->values[r->layer][key - config_quota_keys];
}

static bool set_key(struct reader *r, const char *name, const char *text)
{
    const struct config_key *key = find_key(&r->section, name);
    const char *complaint;
    void *field;

    if (!key)
        return fail(r, -EINVAL, "%s is no known key of [%s]", name, r->section.name);
    field = field_of(r, key);
    if (!remember_key(r, key, field))
        return false;
    complaint = *text ? key->parse(field, text) : "it has no value";
    if (!complaint && key->is_value && config_value_set_origin(field, r->path, r->line, text) < 0)
        complaint = config_no_memory;
    if (complaint)
        return fail(r, complaint == config_no_memory ? -ENOMEM : -EINVAL, "%s = %s: %s", name, text, complaint);
    if (field == &r->config->socket)
        r->config->socket_was_set = true;
    return true;
}

// Cuts white space off both ends of TEXT.
static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static bool take_key(struct reader *r, char *line)
{
    char *separator = strpbrk(line, "=:");

    if (!separator || *separator != '=' || separator == line)
        return fail(r, -EINVAL, "%s: neither [SECTION] nor KEY = VALUE", line);
    if (!r->section.is_daemon && !r->section.disk && !r->section.subject)
        return fail(r, -EINVAL, "%s: it stands before any section", line);
    *separator = '\0';
    return set_key(r, trim(line), trim(separator + 1));
}

static bool take_line(struct reader *r, char *line)
{
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0) // a byte order mark
        line += 3;
    line = trim(line);
    if (*line == '#' && r->layer == CONFIG_RUNTIME)
        config_read_time(r->config, line, r->file_time);
    if (*line == '\0' || *line == ';' || *line == '#')
        return true;
    if (!config_is_text(line))
        return fail(r, -EINVAL, "it is not text: there are control characters in it, or bytes that are not UTF-8");
    if (config_has_inline_comment(line))
        return fail(r, -EINVAL, "%s: a comment has to stand on a line of its own", line);
    return *line == '[' ? begin_section(r, line) : take_key(r, line);
}

// Reads the next line, without its line end.  False: the file has ended, or there was an error.
static bool read_line(struct reader *r, char buffer[static TIME_LINE_MAX_LENGTH + 2])
{
    size_t n = 0, max = LINE_MAX_LENGTH;
    bool begun = false; // there was something else than white space
    int c = getc(r->stream);

    r->line++;
    if (c == EOF)
        return ferror(r->stream) ? fail(r, -errno, "it can't be read: %s", strerror(errno)) : false;
    for (; c != EOF && c != '\n'; c = getc(r->stream)) {
        if (c == '\0')
            return fail(r, -EINVAL, "it is not text: there is a NUL byte in it");
        if (!begun && c == '[')
            max = SECTION_LINE_MAX_LENGTH;
        else if (!begun && c == '#' && r->layer == CONFIG_RUNTIME)
            max = TIME_LINE_MAX_LENGTH;
        begun |= !isspace(c);
        if (n > max)
            return fail(r, -EINVAL, "the line is too long: %zu bytes at most", max);
        buffer[n++] = (char)c;
    }
    if (n > 0 && buffer[n - 1] == '\r')
        n--;
    if (n > max)
        return fail(r, -EINVAL, "the line is too long: %zu bytes at most", max);
    buffer[n] = '\0';
    return true;
}

// When the file was changed last (ms since 1970).  A text in memory: 1, before everything that has a time.
static uint64_t time_of_file(FILE *stream)
{
    int fd = fileno(stream);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_mtim.tv_sec < 0)
        return 1;
    return (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
}

int config_read(struct config *c, FILE *stream, const char *path, enum config_layer layer, config_warn_fn warn,
                void *warn_data, char **ret_error)
{
    struct reader r = {
        .config = c, .path = path, .stream = stream, .layer = layer, .warn = warn, .warn_data = warn_data};
    char line[TIME_LINE_MAX_LENGTH + 2] = "";

    c->n_files++;
    r.file_time = time_of_file(stream);
    while (read_line(&r, line) && take_line(&r, line))
        ;
    if (layer == CONFIG_RUNTIME)
        config_complete_times(c, r.file_time);
    fclose(stream);
    *ret_error = r.sentence;
    return r.error;
}
