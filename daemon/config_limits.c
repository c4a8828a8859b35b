// What the configuration means for somebody: one limit a key, from whichever subject says it.  Pure.
#include "daemon/config.h"

static const struct config_value unlimited = {.kind = CONFIG_UNLIMITED};
static const struct config_value built_in_warn_at = {.kind = CONFIG_PERCENT, .number = 80};

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

static const struct config_subject *find(const struct config *c, enum config_subject_kind kind, uint32_t id)
{
    for (size_t i = 0; i < c->n_subjects; i++)
        if (c->subjects[i].kind == kind && c->subjects[i].known && c->subjects[i].id == id)
            return &c->subjects[i];
    return NULL;
}

static const struct config_subject *find_nameless(const struct config *c, enum config_subject_kind kind)
{
    for (size_t i = 0; i < c->n_subjects; i++)
        if (c->subjects[i].kind == kind)
            return &c->subjects[i];
    return NULL;
}

// The value that SUBJECT (or NULL) says of KEY, or FALLBACK.
static const struct config_value *value_or(const struct config_subject *subject, enum config_quota_key key,
                                           const struct config_value *fallback)
{
    return subject && subject->values[key].kind != CONFIG_UNSET ? &subject->values[key] : fallback;
}

static const struct config_value *built_in(enum config_quota_key key)
{
    return key == CONFIG_QUOTA_WARN_AT ? &built_in_warn_at : &unlimited;
}

// Percentages of warn_at are of the subject's bytes, all others of the file system.
static void set_limits(const struct config_value *const values[CONFIG_QUOTA_KEY_N], uint64_t fs_total,
                       struct quota_limits *ret)
{
    ret->max[QUOTA_BYTES] = config_value_bytes(values[CONFIG_QUOTA_BYTES], fs_total);
    ret->max[QUOTA_REGIONS] = config_value_bytes(values[CONFIG_QUOTA_REGIONS], fs_total);
    ret->max[QUOTA_CONNECTIONS] = config_value_bytes(values[CONFIG_QUOTA_CONNECTIONS], fs_total);
    ret->region_bytes = config_value_bytes(values[CONFIG_QUOTA_REGION_BYTES], fs_total);
    ret->warn_bytes = config_value_bytes(values[CONFIG_QUOTA_WARN_AT], ret->max[QUOTA_BYTES]);
}

// The most generous value of KEY that any of the GROUPS gives its members, or FALLBACK.
static const struct config_value *members_value(const struct config *c, const gid_t *groups, size_t n_groups,
                                                enum config_quota_key key, uint64_t fs_total,
                                                const struct config_value *fallback)
{
    const struct config_value *best = NULL;

    for (size_t i = 0; i < n_groups; i++) {
        const struct config_value *v = value_or(find(c, CONFIG_MEMBERS, groups[i]), key, NULL);

        if (v && (!best || config_value_bytes(v, fs_total) > config_value_bytes(best, fs_total)))
            best = v;
    }
    return best ? best : fallback;
}

void config_user_limits(const struct config *c, uid_t uid, const gid_t *groups, size_t n_groups, uint64_t fs_total,
                        struct quota_limits *ret)
{
    const struct config_subject *user = find(c, CONFIG_USER, uid);
    const struct config_subject *everyone = find_nameless(c, CONFIG_DEFAULT);
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

static void subject_limits(const struct config_subject *subject, uint64_t fs_total, struct quota_limits *ret)
{
    const struct config_value *values[CONFIG_QUOTA_KEY_N];

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        values[key] = value_or(subject, (enum config_quota_key)key, built_in((enum config_quota_key)key));
    set_limits(values, fs_total, ret);
}

void config_total_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret)
{
    subject_limits(find_nameless(c, CONFIG_TOTAL), fs_total, ret);
}

bool config_group_limits(const struct config *c, gid_t gid, uint64_t fs_total, struct quota_limits *ret)
{
    const struct config_subject *group = find(c, CONFIG_GROUP, gid);

    if (!group)
        return false;
    subject_limits(group, fs_total, ret);
    return true;
}
