// One file of the configuration, or of the quotas set at run time.  libinih splits the lines; but it cuts long lines and sections without a word, takes
// indented lines for continuations and strips what looks like a comment behind a value, so each line is looked at here before
// inih sees it.
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"

enum {
    LINE_MAX_LENGTH = 198,   // what fits inih's 200 bytes with a newline
    SECTION_MAX_LENGTH = 49, // what fits its 50
    DAEMON = -1,
    NOWHERE = -2,
};

struct reader {
    struct config *config;
    const char *path;
    FILE *stream;
    config_warn_fn warn;
    void *warn_data;
    bool runtime; // quotas only, for the run-time layer
    unsigned line;
    unsigned daemon_line; // of [daemon] in this file, 0: not there so far
    unsigned *lines;      // the same of each subject
    size_t n_lines;
    int section;           // index of the subject, DAEMON or NOWHERE
    char section_name[64]; // as written
    const struct config_key *keys_seen[16];
    unsigned key_lines[16];
    size_t n_keys_seen; // in this section
    int error;
    char *sentence;
};

// Only the first error counts.
__attribute__((format(printf, 3, 4))) static bool fail(struct reader *r, int error, const char *format, ...)
{
    char text[512];
    va_list args;

    if (r->error)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->error = error;
    if (asprintf(&r->sentence, "%s:%u: %s", r->path, r->line, text) < 0)
        r->sentence = NULL;
    return false;
}

__attribute__((format(printf, 2, 3))) static void warn(const struct reader *r, const char *format, ...)
{
    char text[1024];
    va_list args;
    _cleanup_free_ char *sentence = NULL;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (asprintf(&sentence, "%s:%u: %s", r->path, r->line, text) < 0)
        sentence = NULL;
    if (sentence)
        r->warn(r->warn_data, sentence);
}

// What inih would take for a comment behind a value.
static bool has_inline_comment(const char *line)
{
    for (; *line; line++)
        if ((line[0] == ' ' || line[0] == '\t') && (line[1] == ';' || line[1] == '#'))
            return true;
    return false;
}

bool config_is_text(const char *line)
{
    size_t left = strlen(line), n;

    for (uint32_t code; left > 0; line += n, left -= n) {
        n = utf8_decode(line, left, &code);
        if (n == 0 || (code < ' ' && code != '\t') || code == 0x7f)
            return false;
    }
    return true;
}

// Where the line of SUBJECT's section in this file is kept; NULL: no memory.
static unsigned *line_of(struct reader *r, int subject)
{
    size_t wanted = (size_t)subject + 1, n = r->n_lines ? r->n_lines : 16;
    unsigned *lines;

    if (subject == DAEMON)
        return &r->daemon_line;
    while (n < wanted)
        n *= 2;
    if (n > r->n_lines) {
        lines = reallocarray(r->lines, n, sizeof(*lines));
        if (!lines)
            return NULL;
        memset(lines + r->n_lines, 0, (n - r->n_lines) * sizeof(*lines));
        r->lines = lines;
        r->n_lines = n;
    }
    return &r->lines[subject];
}

static bool remember_section(struct reader *r, int subject, const char *name)
{
    unsigned *line = line_of(r, subject);

    if (!line)
        return fail(r, -ENOMEM, "there is no memory for [%s]", name);
    // Names that were unknown when they were set may since have become one user's.
    if (*line && !r->runtime)
        return fail(r, -EINVAL, "[%s] was there already, on line %u", name, *line);
    *line = r->line;
    r->section = subject;
    r->n_keys_seen = 0;
    snprintf(r->section_name, sizeof(r->section_name), "%.*s", (int)sizeof(r->section_name) - 1, name);
    return true;
}

const char *config_kind_noun(enum config_subject_kind kind)
{
    return kind == CONFIG_USER ? "user" : "group";
}

const char *config_subject_complaint(const char *subject)
{
    if (strlen(subject) > SECTION_MAX_LENGTH - strlen("quota "))
        return "a subject has at most 43 bytes";
    if (!config_is_text(subject) || strchr(subject, ']') || has_inline_comment(subject))
        return "a subject can't have control characters, bytes that are not UTF-8, ], or what looks like a comment";
    return NULL;
}

static bool begin_quota(struct reader *r, const char *name, const char *subject)
{
    bool is_new;
    int index = config_add_subject(r->config, subject, &is_new);

    if (index == -ENOMEM)
        return fail(r, index, "there is no memory for [%s]", name);
    if (index < 0)
        return fail(r, index,
                    "[%s] is no known section: a quota is of total, default, user:NAME, members:GROUP or group:GROUP",
                    name);
    if (is_new && !r->config->subjects[index].known && r->config->subjects[index].name)
        warn(r, "[%s] names an unknown %s, and means nothing until there is one", name,
             config_kind_noun(r->config->subjects[index].kind));
    return remember_section(r, index, name);
}

static bool begin_section(struct reader *r, char *line)
{
    char *end = strchr(line, ']');

    if (!end || end[1])
        return fail(r, -EINVAL, "%s: a section is written [NAME], with nothing behind it", line);
    *end = '\0';
    line++;
    if (end - line > SECTION_MAX_LENGTH)
        return fail(r, -EINVAL, "[%s] is too long for a section, which has at most %d bytes", line, SECTION_MAX_LENGTH);
    if (!r->runtime && strcmp(line, "daemon") == 0)
        return remember_section(r, DAEMON, line);
    if (strncmp(line, "quota ", strlen("quota ")) == 0)
        return begin_quota(r, line, line + strlen("quota "));
    return fail(r, -EINVAL, "[%s] is no known section", line);
}

static bool check_key_line(struct reader *r, const char *line)
{
    const char *separator = strpbrk(line, "=:");

    if (!separator || *separator != '=' || separator == line)
        return fail(r, -EINVAL, "%s: neither [SECTION] nor KEY = VALUE", line);
    if (r->section == NOWHERE)
        return fail(r, -EINVAL, "%s: it stands before any section", line);
    return true;
}

// Looks at LINE without its end and without what is around it.
static bool check_line(struct reader *r, const char *line)
{
    char copy[LINE_MAX_LENGTH + 2];

    if (*line == '\0' || *line == ';' || *line == '#')
        return true;
    if (!config_is_text(line))
        return fail(r, -EINVAL, "it is not text: there are control characters in it, or bytes that are not UTF-8");
    if (has_inline_comment(line))
        return fail(r, -EINVAL, "%s: a comment has to stand on a line of its own", line);
    if (*line != '[')
        return check_key_line(r, line);
    strcpy(copy, line);
    return begin_section(r, copy);
}

// One line without its end; false at the end of the file, and after an error.
static bool read_line(struct reader *r, char buffer[static LINE_MAX_LENGTH + 2])
{
    size_t n = 0;
    int c = getc(r->stream);

    r->line++;
    if (c == EOF)
        return ferror(r->stream) ? fail(r, -errno, "it can't be read: %s", strerror(errno)) : false;
    for (; c != EOF && c != '\n'; c = getc(r->stream)) {
        if (c == '\0')
            return fail(r, -EINVAL, "it is not text: there is a NUL byte in it");
        if (n > LINE_MAX_LENGTH)
            return fail(r, -EINVAL, "the line is too long: %d bytes at most", LINE_MAX_LENGTH);
        buffer[n++] = (char)c;
    }
    if (n > 0 && buffer[n - 1] == '\r')
        n--;
    if (n > LINE_MAX_LENGTH)
        return fail(r, -EINVAL, "the line is too long: %d bytes at most", LINE_MAX_LENGTH);
    buffer[n] = '\0';
    return true;
}

// inih's reader: the next line if it is a good one; nothing to end it all.
static char *next_line(char *ret, int size, void *data)
{
    struct reader *r = data;
    char buffer[LINE_MAX_LENGTH + 2];
    char *line = buffer, *end;

    if (r->error || size < LINE_MAX_LENGTH + 2 || !read_line(r, buffer))
        return NULL;
    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    while (isspace((unsigned char)*line))
        line++;
    for (end = line + strlen(line); end > line && isspace((unsigned char)end[-1]);)
        *--end = '\0';
    if (!check_line(r, line))
        return NULL;
    snprintf(ret, (size_t)size, "%s\n", line);
    return ret;
}

static bool remember_key(struct reader *r, const struct config_key *key)
{
    for (size_t i = 0; i < r->n_keys_seen; i++)
        if (r->keys_seen[i] == key)
            return fail(r, -EINVAL, "%s was said already in [%s], on line %u", key->name, r->section_name,
                        r->key_lines[i]);
    r->keys_seen[r->n_keys_seen] = key;
    r->key_lines[r->n_keys_seen++] = r->line;
    return true;
}

static bool set_origin(struct reader *r, struct config_value *v, const char *text)
{
    char *file = r->runtime ? NULL : strdup(r->path), *copy = strdup(text);

    if (!copy || (!file && !r->runtime)) {
        free(file);
        free(copy);
        return fail(r, -ENOMEM, "%s", config_no_memory);
    }
    free(v->file);
    free(v->text);
    v->file = file;
    v->line = r->line;
    v->text = copy;
    return true;
}

// inih's handler.
static int set_key(void *data, const char *section, const char *name, const char *text)
{
    struct reader *r = data;
    const struct config_key *key = r->section == DAEMON ? config_daemon_key(name) : config_quota_key(name);
    void *base = r->section == DAEMON ? (void *)r->config : &r->config->subjects[r->section];
    void *field;
    const char *complaint;

    (void)section;
    if (!key)
        return fail(r, -EINVAL, "%s is no known key of [%s]", name, r->section_name);
    if (!remember_key(r, key))
        return false;
    field = (char *)base + key->offset + (r->runtime ? CONFIG_RUNTIME_OFFSET : 0);
    complaint = *text ? key->parse(field, text) : "it has no value";
    if (complaint)
        return fail(r, complaint == config_no_memory ? -ENOMEM : -EINVAL, "%s = %s: %s", name, text, complaint);
    if (field == &r->config->socket)
        r->config->socket_was_set = true;
    return key->is_value ? set_origin(r, field, text) : true;
}

static int read_stream(struct reader *r, char **ret_error)
{
    int at;

    r->section = NOWHERE;
    at = ini_parse_stream(next_line, r, set_key, r);
    if (at != 0 && !r->error)
        fail(r, at < 0 ? -ENOMEM : -EINVAL, "it can't be understood");
    fclose(r->stream);
    free(r->lines);
    *ret_error = r->sentence;
    return r->error;
}

int config_read_file(struct config *c, const char *path, config_warn_fn warn_fn, void *warn_data, char **ret_error)
{
    struct reader r = {.config = c, .path = path, .warn = warn_fn, .warn_data = warn_data};

    r.stream = fopen(path, "re");
    if (!r.stream) {
        int error = -errno;

        if (asprintf(ret_error, "%s can't be opened: %s", path, strerror(-error)) < 0)
            *ret_error = NULL;
        return error;
    }
    return read_stream(&r, ret_error);
}

int config_read_runtime(struct config *c, FILE *stream, const char *path, config_warn_fn warn_fn, void *warn_data,
                        char **ret_error)
{
    struct reader r = {
        .config = c, .path = path, .stream = stream, .warn = warn_fn, .warn_data = warn_data, .runtime = true};

    return read_stream(&r, ret_error);
}
