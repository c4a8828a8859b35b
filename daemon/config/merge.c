// Quotas set at run time that lie on two disks.
//
// The daemon keeps them on its first disk.  If a disk that was the first one before is lost for a while, there are two
// files, and both have been changed.  Nothing that an administrator has set or unset last may be lost: so for each key
// of each subject, the later of the two changes holds.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/runtime.h"
#include "daemon/config/subjects.h"
#include "proto/util/cleanup.h"

// Copies VALUE.  0 or -ENOMEM.
static int copy_value(struct config_value *ret, const struct config_value *value)
{
    struct config_value copy = {.kind = value->kind, .number = value->number, .set_at = value->set_at};

    if (config_value_set_origin(&copy, value->file, value->line, value->text) < 0)
        return -ENOMEM;
    config_value_deinit(ret);
    *ret = copy;
    return 0;
}

// The subject of C that TEXT means, which is made if there is none.
static int need_subject(struct config *c, const char *text, struct config_subject **ret)
{
    bool is_new, is_missing;
    int r = config_make_room(c);

    if (r == 0)
        r = config_resolve_subject(c, text, ret, &is_new, &is_missing);
    if (r == 0 && is_new)
        config_insert(c, *ret);
    return r;
}

// Takes over what OTHER has set for one key, if that was later.
static int take_set(struct config *c, const char *subject, enum config_quota_key key, const struct config_value *other,
                    unsigned *n)
{
    struct config_subject *s = NULL;
    int r = need_subject(c, subject, &s);

    if (r < 0 || !s)
        return r;
    if (other->set_at > config_last_change(c, s, key)) {
        r = copy_value(&s->values[CONFIG_RUNTIME][key], other);
        if (r == 0) {
            config_forget_unset(c, s, key);
            ++*n;
        }
    }
    if (config_says_nothing(s))
        config_remove(c, s);
    return r;
}

// The same for a key that OTHER has unset.
static int take_unset(struct config *c, const struct config_unset *other, unsigned *n)
{
    struct config_subject *s = NULL;
    int r = need_subject(c, other->subject, &s);

    if (r < 0 || !s)
        return r;
    if (other->at > config_last_change(c, s, other->key)) {
        ++*n; // also if nothing is set here: a third disk may still have what was set before
        config_value_deinit(&s->values[CONFIG_RUNTIME][other->key]);
        config_note_unset(c, s, other->key, other->at);
    }
    if (config_says_nothing(s))
        config_remove(c, s);
    return r;
}

int config_take_later(struct config *c, const struct config *other, unsigned *n)
{
    char name[CONFIG_SUBJECT_SIZE];
    int r = 0;

    for (size_t i = 0; i < other->n_subjects; i++) {
        const struct config_subject *s = other->subjects[i];

        config_subject_text(s, name, sizeof name);
        for (size_t key = 0; r == 0 && key < CONFIG_QUOTA_KEY_N; key++)
            if (s->values[CONFIG_RUNTIME][key].kind != CONFIG_UNSET)
                r = take_set(c, name, (enum config_quota_key)key, &s->values[CONFIG_RUNTIME][key], n);
    }
    for (size_t i = 0; r == 0 && i < other->n_unsets; i++)
        r = take_unset(c, &other->unsets[i], n);
    if (other->last_change > c->last_change)
        c->last_change = other->last_change;
    return r;
}

// Whether KEY of SUBJECT was set or unset last before AT in C.
static bool is_later(const struct config *c, const char *subject, enum config_quota_key key, uint64_t at)
{
    struct config_subject *s = NULL;
    bool is_new, is_missing, later;

    if (config_resolve_subject(c, subject, &s, &is_new, &is_missing) < 0 || !s)
        return true; // taking it over tells what is wrong
    later = at > config_last_change(c, s, key);
    if (is_new)
        config_subject_free(s);
    return later;
}

static bool has_later_set(const struct config *c, const struct config *other)
{
    char name[CONFIG_SUBJECT_SIZE];

    for (size_t i = 0; i < other->n_subjects; i++) {
        const struct config_subject *s = other->subjects[i];

        config_subject_text(s, name, sizeof name);
        for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
            const struct config_value *v = &s->values[CONFIG_RUNTIME][key];

            if (v->kind != CONFIG_UNSET && is_later(c, name, (enum config_quota_key)key, v->set_at))
                return true;
        }
    }
    return false;
}

static bool has_later_unset(const struct config *c, const struct config *other)
{
    for (size_t i = 0; i < other->n_unsets; i++)
        if (is_later(c, other->unsets[i].subject, other->unsets[i].key, other->unsets[i].at))
            return true;
    return false;
}

int config_has_later(const struct config *c, int dir_fd, const char *dir, bool *ret, char **ret_error)
{
    struct config *other = calloc(1, sizeof *other);
    int r;

    if (!other)
        return config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    other->names_by = c->names_by;
    r = config_load_runtime(other, dir_fd, dir, NULL, NULL, ret_error);
    if (r == 0)
        *ret = has_later_set(c, other) || has_later_unset(c, other);
    config_free(other);
    return r;
}

int config_merge_runtime(struct config *c, int dir_fd, const char *dir, config_warn_fn warn, void *warn_data,
                         unsigned *ret_n, char **ret_error)
{
    struct config *other = calloc(1, sizeof *other);
    int r;

    *ret_n = 0;
    if (!other)
        return config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    other->names_by = c->names_by;
    r = config_load_runtime(other, dir_fd, dir, warn, warn_data, ret_error);
    if (r == 0 && config_take_later(c, other, ret_n) < 0)
        r = config_fail(ret_error, -ENOMEM, "%s", config_no_memory);
    config_free(other);
    return r;
}
