// Subjects of quotas ("user:alice"): taking them apart, checking them, and finding them by the user database.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/subjects.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

static const char *const kinds[] = {
    [CONFIG_TOTAL] = "total",    [CONFIG_DEFAULT] = "default",  [CONFIG_UNLISTED] = "unlisted",
    [CONFIG_USER] = "user:",     [CONFIG_MEMBERS] = "members:", [CONFIG_GROUP] = "group:",
    [CONFIG_CGROUP] = "cgroup:",
};

const char *config_subject_text(const struct config_subject *s, char *ret, size_t n)
{
    snprintf(ret, n, "%s%s", kinds[s->kind], s->name ? s->name : "");
    return ret;
}

const char *config_kind_noun(enum config_subject_kind kind)
{
    return kind == CONFIG_USER ? "user" : "group";
}

// A path as /proc/PID/cgroup has it: each part is a name, none is . or ..
static bool is_path(const char *path)
{
    if (*path != '/')
        return false;
    if (path[1] == '\0')
        return true;
    for (const char *part = path; *part; part += 1 + strcspn(part + 1, "/")) {
        size_t n = strcspn(part + 1, "/");

        if (n == 0 || (n == 1 && part[1] == '.') || (n == 2 && part[1] == '.' && part[2] == '.'))
            return false;
    }
    return true;
}

// systemd keeps the slice a-b-c.slice in /a.slice/a-b.slice/a-b-c.slice.  False: NAME is no slice's, or too long.
static bool find_slice(const char *name, char *ret, size_t n)
{
    static const char suffix[] = ".slice";
    size_t length = strlen(name), stem, at = 0;

    if (length < sizeof suffix || strcmp(name + length - (sizeof suffix - 1), suffix) != 0 || strchr(name, '/'))
        return false;
    stem = length - (sizeof suffix - 1);
    if (strcmp(name, "-.slice") == 0)
        return snprintf(ret, n, "/") < (int)n;
    for (size_t end = 1; end <= stem; end++) {
        if (end < stem && name[end] != '-')
            continue;
        if (name[end - 1] == '-') // a part without a name
            return false;
        at += (size_t)snprintf(ret + at, n - at, "/%.*s%s", (int)end, name, suffix);
        if (at >= n)
            return false;
    }
    return name[0] != '-';
}

int config_cgroup_path(const char *name, char *ret, size_t n)
{
    if (find_slice(name, ret, n))
        return 0;
    return is_path(name) && snprintf(ret, n, "%s", name) < (int)n ? 0 : -EINVAL;
}

int config_parse_subject(const char *text, enum config_subject_kind *ret_kind, const char **ret_name)
{
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        const char *name = text + strlen(kinds[kind]);
        bool has_name = kind >= CONFIG_USER;
        char path[CONFIG_SUBJECT_SIZE];
        uint32_t id;

        if (strncmp(text, kinds[kind], strlen(kinds[kind])) != 0 || (*name != '\0') != has_name)
            continue;
        if (kind == CONFIG_CGROUP ? config_cgroup_path(name, path, sizeof path) < 0
                                  : *name == '+' && !id_parse(name, &id))
            return -EINVAL;
        *ret_kind = (enum config_subject_kind)kind;
        *ret_name = has_name ? name : NULL;
        return 0;
    }
    return -EINVAL;
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

bool config_has_inline_comment(const char *line)
{
    for (; *line; line++)
        if ((line[0] == ' ' || line[0] == '\t') && (line[1] == ';' || line[1] == '#'))
            return true;
    return false;
}

const char *config_subject_complaint(const char *subject)
{
    if (strlen(subject) >= CONFIG_SUBJECT_SIZE)
        return "a subject has at most 271 bytes";
    if (!config_is_text(subject) || strchr(subject, ']') || config_has_inline_comment(subject))
        return "a subject can't have control characters, bytes that are not UTF-8, ], or what looks like a comment";
    return NULL;
}

static int ask_user_database(void *data, bool is_user, const char *name, uint32_t *ret)
{
    (void)data;
    return is_user ? nss_find_user(name, ret) : nss_find_group(name, ret);
}

const struct config_resolver config_user_database = {.find = ask_user_database};

int config_resolve_subject(const struct config *c, const char *text, struct config_subject **ret, bool *ret_is_new,
                           bool *ret_missing)
{
    enum config_subject_kind kind;
    char path[CONFIG_SUBJECT_SIZE];
    const char *name;
    id_t id = 0;
    bool known = false;
    int r = config_parse_subject(text, &kind, &name);

    if (r < 0)
        return r;
    if (config_is_of_user_database(kind)) {
        r = c->names_by.find(c->names_by.data, kind == CONFIG_USER, name, &id);
        known = r == 0;
    } else if (kind == CONFIG_CGROUP) {
        config_cgroup_path(name, path, sizeof path); // config_parse_subject has tried it
        name = path;
    }
    *ret_missing = r == -ENOENT;
    *ret = config_find_name(c, kind, name);
    if (!*ret && known)
        *ret = config_find_id(c, kind, id);
    *ret_is_new = !*ret;
    if (*ret)
        return 0;
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    (*ret)->kind = kind;
    (*ret)->known = known;
    (*ret)->id = id;
    (*ret)->name = name ? strdup(name) : NULL;
    if (!name || (*ret)->name)
        return 0;
    config_subject_free(*ret);
    // Callers free what is new.
    *ret = NULL;
    return -ENOMEM;
}
