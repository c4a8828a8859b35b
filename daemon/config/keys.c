// The keys of the configuration, and what their values may look like.  Pure.
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "daemon/config/config_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/duration.h"
#include "proto/util/size.h"
#include "proto/util/text.h"

const char config_no_memory[] = "there is no memory for it";

static const char *set_string(char **field, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return config_no_memory;
    free(*field);
    *field = copy;
    return NULL;
}

static const char *parse_path(void *field, const char *text)
{
    if (text[0] != '/')
        return "it has to be an absolute path";
    return set_string(field, text);
}

static const char *parse_socket(void *field, const char *text)
{
    if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "a socket's path has at most 107 bytes";
    return parse_path(field, text);
}

static const char *parse_name(void *field, const char *text)
{
    return set_string(field, text);
}

static const char *parse_mode(void *field, const char *text)
{
    uint64_t mode;

    if (!number_parse(text, 8, 0777, &mode))
        return "it has to be an octal mode from 0 to 0777";
    *(unsigned *)field = (unsigned)mode;
    return NULL;
}

static const char *parse_bool(void *field, const char *text)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(text, words[i]) == 0) {
            *(bool *)field = i % 2;
            return NULL;
        }
    return "it has to be yes or no";
}

static const char *parse_fence(void *field, const char *text)
{
    static const char *const words[] = {[CONFIG_FENCE_AUTO] = "auto",
                                        [CONFIG_FENCE_LANDLOCK] = "landlock",
                                        [CONFIG_FENCE_PASSTHROUGH] = "passthrough",
                                        [CONFIG_FENCE_OFF] = "off"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(text, words[i]) == 0) {
            *(enum config_fence *)field = (enum config_fence)i;
            return NULL;
        }
    return "it has to be auto, landlock, passthrough or off";
}

static void set_value(struct config_value *v, enum config_kind kind, uint64_t number)
{
    v->kind = kind;
    v->number = number;
}

// Reads "N%", where N is a whole number up to 100.
static const char *parse_percent(struct config_value *v, const char *text)
{
    const char *end;
    uint64_t percent;

    if (digits_parse(text, 10, &percent, &end) < 0 || strcmp(end, "%") != 0 || percent > 100)
        return "a percentage is a whole number from 0% to 100%";
    set_value(v, CONFIG_PERCENT, percent);
    return NULL;
}

static const char *parse_size_or_percent(void *field, const char *text)
{
    size_t n = strlen(text);
    uint64_t bytes;

    if (n > 0 && text[n - 1] == '%')
        return parse_percent(field, text);
    switch (size_parse(text, &bytes)) {
    case 0:
        set_value(field, CONFIG_NUMBER, bytes);
        return NULL;
    case -ERANGE:
        return "it is more than any file system has; write unlimited for no limit";
    default:
        return "it has to be a whole number, as in 1000000, 50G (K, M, G or T) or 80%, or unlimited";
    }
}

static const char *parse_keep_free(void *field, const char *text)
{
    if (strcmp(text, "unlimited") == 0)
        return "it has to be a whole number, as in 1000000, 50G (K, M, G or T) or 5%";
    return parse_size_or_percent(field, text);
}

static const char *parse_bytes(void *field, const char *text)
{
    if (strcmp(text, "unlimited") != 0)
        return parse_size_or_percent(field, text);
    set_value(field, CONFIG_UNLIMITED, 0);
    return NULL;
}

static const char *parse_count(void *field, const char *text)
{
    uint64_t count;

    if (strcmp(text, "unlimited") == 0) {
        set_value(field, CONFIG_UNLIMITED, 0);
        return NULL;
    }
    if (!number_parse(text, 10, UINT64_MAX - 1, &count))
        return "it has to be a whole number or unlimited";
    set_value(field, CONFIG_NUMBER, count);
    return NULL;
}

static const char *parse_duration(void *field, const char *text)
{
    uint64_t seconds;

    if (strcmp(text, "unlimited") == 0) {
        set_value(field, CONFIG_UNLIMITED, 0);
        return NULL;
    }
    if (duration_parse(text, &seconds) < 0)
        return "it has to be a length of time, such as 90s, 30min, 12h or 7d, or unlimited";
    set_value(field, CONFIG_NUMBER, seconds);
    return NULL;
}

static const struct config_key daemon_keys[] = {
    {"socket", parse_socket, offsetof(struct config, socket), false},
    {"socket_mode", parse_mode, offsetof(struct config, socket_mode), false},
    {"spill_dir", parse_path, offsetof(struct config, spill_dir), false},
    {"spill_dir_require_mount", parse_bool, offsetof(struct config, spill_dir_require_mount), false},
    {"admin_group", parse_name, offsetof(struct config, admin_group), false},
    {"keep_free", parse_keep_free, offsetof(struct config, keep_free), true},
    {"fence", parse_fence, offsetof(struct config, fence), false},
    {.name = "metrics_listen"}, // refused: nothing listens in this version
    {NULL, NULL, 0, false},
};

const struct config_key config_quota_keys[] = {
    [CONFIG_QUOTA_BYTES] = {.name = "bytes", .parse = parse_bytes, .is_value = true},
    [CONFIG_QUOTA_REGIONS] = {.name = "regions", .parse = parse_count, .is_value = true},
    [CONFIG_QUOTA_CONNECTIONS] = {.name = "connections", .parse = parse_count, .is_value = true},
    [CONFIG_QUOTA_REGION_BYTES] = {.name = "region_bytes", .parse = parse_bytes, .is_value = true},
    [CONFIG_QUOTA_WARN_AT] = {.name = "warn_at", .parse = parse_bytes, .is_value = true},
    [CONFIG_QUOTA_SOFT_BYTES] = {.name = "soft_bytes", .parse = parse_bytes, .is_value = true},
    [CONFIG_QUOTA_GRACE] = {.name = "grace", .parse = parse_duration, .is_value = true},
    [CONFIG_QUOTA_KEY_N] = {.name = NULL},
};

static const struct config_key *find_key(const struct config_key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys;
    return NULL;
}

const struct config_key *config_daemon_key(const char *name)
{
    return find_key(daemon_keys, name);
}

const struct config_key *config_quota_key(const char *name)
{
    return find_key(config_quota_keys, name);
}
