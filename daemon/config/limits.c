// The limits that the configuration gives a user or a group: for each key one value, from the subject that sets it.
// Pure.
#include <assert.h>
#include <stdio.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/limits.h"

static char unlimited_text[] = "unlimited", warn_at_text[] = "80%", grace_text[] = "7d";
static const struct config_value unlimited = {.kind = CONFIG_UNLIMITED, .text = unlimited_text};
static const struct config_value built_in_grace = {
    .kind = CONFIG_NUMBER, .number = UINT64_C(7) * 86400, .text = grace_text};
static const struct config_value built_in_warn_at = {.kind = CONFIG_PERCENT, .number = 80, .text = warn_at_text};

uint64_t config_value_bytes(const struct config_value *v, uint64_t fs_total)
{
    switch (v->kind) {
    case CONFIG_NUMBER:
        return v->number;
    case CONFIG_PERCENT:
        if (fs_total == QUOTA_UNLIMITED)
            return QUOTA_UNLIMITED;
        return fs_total / 100 * v->number + fs_total % 100 * v->number / 100;
    case CONFIG_UNSET:
    case CONFIG_UNLIMITED:
        break;
    }
    return QUOTA_UNLIMITED;
}

const struct config_value *config_said(const struct config_subject *subject, enum config_quota_key key)
{
    for (size_t layer = CONFIG_LAYER_N; subject && layer-- > 0;)
        if (subject->values[layer][key].kind != CONFIG_UNSET)
            return &subject->values[layer][key];
    return NULL;
}

bool config_says_nothing(const struct config_subject *s)
{
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        if (config_said(s, (enum config_quota_key)key))
            return false;
    return s->name != NULL || s->kind == CONFIG_UNLISTED;
}

bool config_allows_nothing(enum config_quota_key key, const struct config_value *v)
{
    return key != CONFIG_QUOTA_WARN_AT && key != CONFIG_QUOTA_GRACE &&
           (v->kind == CONFIG_NUMBER || v->kind == CONFIG_PERCENT) && v->number == 0;
}

// The value that SUBJECT, or another subject of the same user or group, sets for KEY: of the last layer, and there of
// the last subject.
static const struct config_value *said_of_same(const struct config_subject *subject, enum config_quota_key key)
{
    const struct config_value *said = NULL;

    for (size_t layer = CONFIG_LAYER_N; !said && layer-- > 0;)
        for (const struct config_subject *s = subject; s; s = config_next_same(s))
            if (s->values[layer][key].kind != CONFIG_UNSET)
                said = &s->values[layer][key];
    return said;
}

// The value that SUBJECT sets for KEY, or FALLBACK.  SUBJECT may be NULL.
static const struct config_value *value_or(const struct config_subject *subject, enum config_quota_key key,
                                           const struct config_value *fallback)
{
    const struct config_value *v = said_of_same(subject, key);

    return v ? v : fallback;
}

static const struct config_value *built_in(enum config_quota_key key)
{
    if (key == CONFIG_QUOTA_GRACE)
        return &built_in_grace;
    return key == CONFIG_QUOTA_WARN_AT ? &built_in_warn_at : &unlimited;
}

// A percentage of warn_at refers to the subject's bytes; any other refers to the file system.
static void set_limits(const struct config_value *const values[CONFIG_QUOTA_KEY_N], uint64_t fs_total,
                       struct quota_limits *ret)
{
    ret->max[QUOTA_BYTES] = config_value_bytes(values[CONFIG_QUOTA_BYTES], fs_total);
    ret->max[QUOTA_REGIONS] = config_value_bytes(values[CONFIG_QUOTA_REGIONS], fs_total);
    ret->max[QUOTA_CONNECTIONS] = config_value_bytes(values[CONFIG_QUOTA_CONNECTIONS], fs_total);
    ret->region_bytes = config_value_bytes(values[CONFIG_QUOTA_REGION_BYTES], fs_total);
    ret->warn_bytes = config_value_bytes(values[CONFIG_QUOTA_WARN_AT], ret->max[QUOTA_BYTES]);
    ret->soft.bytes = config_value_bytes(values[CONFIG_QUOTA_SOFT_BYTES], fs_total);
    ret->soft.is_set = ret->soft.bytes != QUOTA_UNLIMITED;
    ret->soft.grace = config_value_bytes(values[CONFIG_QUOTA_GRACE], fs_total);
}

// The most generous value of KEY that any of the GROUPS gives its members, or FALLBACK.
static const struct config_value *members_value(const struct config *c, const gid_t *groups, size_t n_groups,
                                                enum config_quota_key key, uint64_t fs_total,
                                                const struct config_value *fallback)
{
    const struct config_value *best = NULL;

    for (size_t i = 0; i < n_groups; i++) {
        const struct config_value *v = value_or(config_find_id(c, CONFIG_MEMBERS, groups[i]), key, NULL);

        if (v && (!best || config_value_bytes(v, fs_total) > config_value_bytes(best, fs_total)))
            best = v;
    }
    return best ? best : fallback;
}

void config_user_limits(const struct config *c, uid_t uid, const gid_t *groups, size_t n_groups, uint64_t fs_total,
                        struct quota_limits *ret)
{
    const struct config_subject *user = config_find_id(c, CONFIG_USER, uid);
    const struct config_subject *everyone = config_find_name(c, CONFIG_DEFAULT, NULL);
    const struct config_value *values[CONFIG_QUOTA_KEY_N];

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        enum config_quota_key k = (enum config_quota_key)key;
        const struct config_value *v = value_or(everyone, k, built_in(k));
        uint64_t whole =
            k == CONFIG_QUOTA_WARN_AT ? config_value_bytes(values[CONFIG_QUOTA_BYTES], fs_total) : fs_total;

        v = members_value(c, groups, n_groups, k, whole, v);
        values[k] = value_or(user, k, v);
    }
    set_limits(values, fs_total, ret);
}

void config_unlisted_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret)
{
    const struct config_subject *unlisted = config_find_name(c, CONFIG_UNLISTED, NULL);
    const struct config_subject *everyone = config_find_name(c, CONFIG_DEFAULT, NULL);
    const struct config_value *values[CONFIG_QUOTA_KEY_N];

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        enum config_quota_key k = (enum config_quota_key)key;

        values[k] = value_or(unlisted, k, value_or(everyone, k, built_in(k)));
    }
    set_limits(values, fs_total, ret);
}

bool config_has_user(const struct config *c, uid_t uid)
{
    return config_find_id(c, CONFIG_USER, uid) != NULL;
}

static void subject_limits(const struct config_subject *subject, uint64_t fs_total, struct quota_limits *ret)
{
    const struct config_value *values[CONFIG_QUOTA_KEY_N];

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        values[key] = value_or(subject, (enum config_quota_key)key, built_in((enum config_quota_key)key));
    set_limits(values, fs_total, ret);
}

void config_total_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret)
{
    subject_limits(config_find_name(c, CONFIG_TOTAL, NULL), fs_total, ret);
}

bool config_group_limits(const struct config *c, gid_t gid, uint64_t fs_total, struct quota_limits *ret)
{
    const struct config_subject *group = config_find_id(c, CONFIG_GROUP, gid);

    if (!group)
        return false;
    subject_limits(group, fs_total, ret);
    return true;
}

void config_cgroup_limits(const struct config_subject *subject, uint64_t fs_total, struct quota_limits *ret)
{
    subject_limits(subject, fs_total, ret);
}

// The number of bytes that a percentage of KEY refers to.
static uint64_t whole_of(const struct config *c, const struct config_subject *s, enum config_quota_key key,
                         uint64_t fs_total)
{
    const struct config_value *v;

    assert(s);
    v = config_said(s, CONFIG_QUOTA_BYTES);
    if (key != CONFIG_QUOTA_WARN_AT)
        return fs_total;
    if (!v && (s->kind == CONFIG_USER || s->kind == CONFIG_MEMBERS || s->kind == CONFIG_UNLISTED))
        v = config_said(config_find_name(c, CONFIG_DEFAULT, NULL), CONFIG_QUOTA_BYTES);
    return v ? config_value_bytes(v, fs_total) : QUOTA_UNLIMITED;
}

bool config_describe(const struct config *c, const struct config_subject *s, enum config_quota_key key,
                     uint64_t fs_total, struct config_description *ret)
{
    const struct config_value *v;

    assert(s);
    v = config_said(s, key);
    if (!v && (s->kind == CONFIG_TOTAL || s->kind == CONFIG_DEFAULT))
        v = built_in(key);
    if (!v)
        return false;
    ret->key = config_quota_keys[key].name;
    ret->text = v->text;
    ret->value = config_value_bytes(v, whole_of(c, s, key, fs_total));
    if (v == &s->values[CONFIG_RUNTIME][key])
        snprintf(ret->origin, sizeof(ret->origin), "set at run time");
    else if (v->file)
        snprintf(ret->origin, sizeof(ret->origin), "%s:%u", v->file, v->line);
    else
        snprintf(ret->origin, sizeof(ret->origin), "built in");
    return true;
}
