// The keys of the configuration, and what their values may look like.  Pure.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
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

static const char *parse_dirs(void *field, const char *text)
{
    int r = config_paths_add(field, text);

    if (r == -ENOMEM)
        return config_no_memory;
    return r < 0 ? config_paths_complaint(r) : NULL;
}

static const char *parse_socket(void *field, const char *text)
{
    if (strlen(text) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "a socket's path has at most 107 bytes";
    return parse_path(field, text);
}

// Whether HOST, N bytes, is this machine, whatever a name server says.
static bool is_loopback(const char *host, size_t n)
{
    struct in_addr address;
    char text[INET_ADDRSTRLEN];

    if ((n == 5 && memcmp(host, "[::1]", n) == 0) || (n == 9 && memcmp(host, "localhost", n) == 0))
        return true;
    if (n >= sizeof text)
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

// Whoever can connect reads all metrics, so that only programs on this machine may be able to.
static const char *parse_metrics_listen(void *field, const char *text)
{
    const char *port = strrchr(text, ':');
    uint64_t number;

    if (strcmp(text, "off") == 0) {
        free(*(char **)field);
        *(char **)field = NULL;
        return NULL;
    }
    if (text[0] == '/')
        return parse_socket(field, text);
    if (!port || !number_parse(port + 1, 10, 65535, &number))
        return "it has to be HOST:PORT, the absolute path of a socket, or off";
    if (!is_loopback(text, (size_t)(port - text)))
        return "it has to be an address of this machine only, such as localhost:9464 or [::1]:9464, because there are "
               "no "
               "passwords: for other machines, put a web server with passwords in front of it";
    return set_string(field, text);
}

static const char *parse_group(void *field, const char *text)
{
    id_t id;

    if (text[0] == '+' && !id_parse(text, &id))
        return "it has to be the name of a group, or +GID";
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

static const char *parse_require_mount(void *field, const char *text)
{
    struct config_disk *d = field;
    const char *complaint = parse_bool(&d->require_mount, text);

    d->has_require_mount = !complaint;
    return complaint;
}

static const char *parse_new_regions(void *field, const char *text)
{
    bool open;
    const char *complaint = parse_bool(&open, text);

    if (!complaint)
        *(bool *)field = !open;
    return complaint;
}

static const char *parse_users(void *field, const char *text)
{
    char name[256];
    const char *at = text;
    id_t id;

    while (config_disk_next_user(&at, name, sizeof name)) {
        if (strchr(name, ','))
            return "names of users have blanks in between";
        if (name[0] == '+' && !id_parse(name, &id))
            return "it has to be names of users, or +UID, with blanks in between";
    }
    return set_string(field, text);
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

// NO_SIZE, TOO_LARGE: what is said of a text that is no size, and of one that is too large.
static const char *parse_size_or_percent(void *field, const char *text, const char *no_size, const char *too_large)
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
        return too_large;
    default:
        return no_size;
    }
}

static const char *parse_size(void *field, const char *text)
{
    uint64_t bytes;

    if (size_parse(text, &bytes) < 0)
        return "it has to be a whole number of bytes, or of K, M, G or T";
    set_value(field, CONFIG_NUMBER, bytes);
    return NULL;
}

static const char *parse_keep_free(void *field, const char *text)
{
    return parse_size_or_percent(field, text, "it has to be a whole number, as in 1000000, 50G (K, M, G or T) or 5%",
                                 "it is more than any file system has");
}

static const char *parse_bytes(void *field, const char *text)
{
    if (strcmp(text, "unlimited") != 0)
        return parse_size_or_percent(
            field, text, "it has to be a whole number, as in 1000000, 50G (K, M, G or T) or 80%, or unlimited",
            "it is more than any file system has; write unlimited for no limit");
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
    {.name = "socket", .parse = parse_socket, .offset = offsetof(struct config, socket)},
    {.name = "socket_mode", .parse = parse_mode, .offset = offsetof(struct config, socket_mode)},
    {.name = "spill_dir", .parse = parse_dirs, .offset = offsetof(struct config, spill_dirs), .is_list = true},
    {.name = "spill_dir_require_mount",
     .parse = parse_bool,
     .offset = offsetof(struct config, spill_dir_require_mount)},
    {.name = "admin_group", .parse = parse_group, .offset = offsetof(struct config, admin_group)},
    {.name = "keep_free", .parse = parse_keep_free, .offset = offsetof(struct config, keep_free), .is_value = true},
    {.name = "fence", .parse = parse_fence, .offset = offsetof(struct config, fence)},
    {.name = "metrics_listen", .parse = parse_metrics_listen, .offset = offsetof(struct config, metrics_listen)},
    {.name = "metrics_socket_mode", .parse = parse_mode, .offset = offsetof(struct config, metrics_socket_mode)},
    {.name = NULL},
};

static const struct config_key disk_keys[] = {
    {.name = "keep_free",
     .parse = parse_keep_free,
     .offset = offsetof(struct config_disk, keep_free),
     .is_value = true},
    {.name = "require_mount", .parse = parse_require_mount, .offset = 0},
    {.name = "new_regions", .parse = parse_new_regions, .offset = offsetof(struct config_disk, is_closed)},
    {.name = "users", .parse = parse_users, .offset = offsetof(struct config_disk, users)},
    {.name = "min_bytes", .parse = parse_size, .offset = offsetof(struct config_disk, min_bytes), .is_value = true},
    {.name = NULL},
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

const struct config_key *config_disk_key(const char *name)
{
    return find_key(disk_keys, name);
}

const struct config_key *config_quota_key(const char *name)
{
    return find_key(config_quota_keys, name);
}
