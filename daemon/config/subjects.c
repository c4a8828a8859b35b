// Whom a quota is for: subjects as the configuration writes them, and their numbers in the user database.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/runtime.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

static const struct {
    const char *prefix;
    enum config_subject_kind kind;
} named_subjects[] = {
    {"user:", CONFIG_USER},
    {"members:", CONFIG_MEMBERS},
    {"group:", CONFIG_GROUP},
};

void config_subject_deinit(struct config_subject *s)
{
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        free(s->values[key].file);
        free(s->values[key].text);
        free(s->runtime[key].text);
    }
    free(s->name);
}

const char *config_subject_text(const struct config_subject *s, char *ret, size_t n)
{
    static const char *const kinds[] = {"total", "default", "user:", "members:", "group:"};

    snprintf(ret, n, "%s%s", kinds[s->kind], s->name ? s->name : "");
    return ret;
}

int config_parse_subject(const char *text, enum config_subject_kind *ret_kind, const char **ret_name)
{
    uint32_t id;

    if (strcmp(text, "total") == 0 || strcmp(text, "default") == 0) {
        *ret_kind = *text == 't' ? CONFIG_TOTAL : CONFIG_DEFAULT;
        *ret_name = NULL;
        return 0;
    }
    for (size_t i = 0; i < sizeof(named_subjects) / sizeof(named_subjects[0]); i++) {
        const char *name = text + strlen(named_subjects[i].prefix);

        if (strncmp(text, named_subjects[i].prefix, strlen(named_subjects[i].prefix)) != 0)
            continue;
        if (!*name || (*name == '+' && !id_parse(name, &id)))
            return -EINVAL;
        *ret_kind = named_subjects[i].kind;
        *ret_name = name;
        return 0;
    }
    return -EINVAL;
}

// By name, or by the number that both names have.
static int find_subject(const struct config *c, const struct config_subject *s)
{
    const struct config_subject *found = config_find_name(c, s->kind, s->name);

    if (!found && s->known)
        found = config_find_id(c, s->kind, s->id);
    return found ? (int)(found - c->subjects) : -ENOENT;
}

// Room is made whenever the number of subjects reaches a power of two.
static int make_room(struct config *c)
{
    struct config_subject *subjects;
    size_t n = c->n_subjects;

    if (n >= INT_MAX / 2 || config_index_reserve(c, n + 1) < 0)
        return -ENOMEM;
    if ((n & (n - 1)) != 0)
        return 0;
    subjects = reallocarray(c->subjects, n ? 2 * n : 1, sizeof(*subjects));
    if (!subjects)
        return -ENOMEM;
    c->subjects = subjects;
    return 0;
}

int config_add_subject(struct config *c, const char *text, bool *ret_is_new)
{
    struct config_subject s = {0};
    const char *name;
    int r = config_parse_subject(text, &s.kind, &name);

    *ret_is_new = false;
    if (r < 0)
        return r;
    if (name) {
        s.name = strdup(name);
        if (!s.name)
            return -ENOMEM;
        s.known = (s.kind == CONFIG_USER ? nss_find_user : nss_find_group)(name, &s.id) == 0;
    }
    r = find_subject(c, &s);
    if (r >= 0) {
        free(s.name);
        return r;
    }
    r = make_room(c);
    if (r < 0) {
        free(s.name);
        return r;
    }
    c->subjects[c->n_subjects] = s;
    config_index_add(c, c->n_subjects);
    *ret_is_new = true;
    return (int)c->n_subjects++;
}
