// Loading the configuration: built-in values, then the main file, then the files of the directory beside it, then the
// look-up of all names.
#include "daemon/config/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/load.h"
#include "proto/util/cleanup.h"
#include "proto/version.h"

static const char built_in_admin_group[] = "diskalloc";
static const char built_in_spill_dir[] = "/var/lib/diskalloc";

static int set_built_in_quotas(struct config *c)
{
    static const struct {
        const char *subject;
        enum config_quota_key key;
        const char *text;
    } built_in[] = {
        {"total", CONFIG_QUOTA_BYTES, "80%"},
        {"total", CONFIG_QUOTA_REGIONS, "100000"},
        {"total", CONFIG_QUOTA_CONNECTIONS, "10000"},
        {"default", CONFIG_QUOTA_BYTES, "50G"},
        {"default", CONFIG_QUOTA_REGIONS, "10000"},
        {"default", CONFIG_QUOTA_CONNECTIONS, "1024"},
        {"default", CONFIG_QUOTA_REGION_BYTES, "unlimited"},
        {"default", CONFIG_QUOTA_WARN_AT, "80%"},
    };

    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        struct config_subject *s;
        struct config_value *v;
        bool is_new, missing;

        if (config_make_room(c) < 0 || config_resolve_subject(c, built_in[i].subject, &s, &is_new, &missing) < 0)
            return -ENOMEM;
        if (is_new)
            config_insert(c, s);
        v = &s->values[CONFIG_FILES][built_in[i].key];
        config_quota_keys[built_in[i].key].parse(v, built_in[i].text);
        if (config_value_set_origin(v, NULL, 0, built_in[i].text) < 0)
            return -ENOMEM;
    }
    return 0;
}

// systemd makes a directory for each instance, /var/lib/diskalloc-NAME, and names it here.
static const char *default_spill_dir(void)
{
    const char *made = secure_getenv("STATE_DIRECTORY");

    return made && made[0] == '/' && !strchr(made, ':') ? made : built_in_spill_dir;
}

static struct config *config_new(const struct config_resolver *names)
{
    struct config *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->names_by = names ? *names : config_user_database;
    RB_INIT(&c->names);
    RB_INIT(&c->ids);
    c->socket_mode = 0666;
    c->metrics_socket_mode = 0660;
    c->keep_free = (struct config_value){.kind = CONFIG_PERCENT, .number = 5};
    c->socket = strdup(DEFAULT_SOCKET);
    c->admin_group = strdup(built_in_admin_group);
    if (!c->socket || config_paths_add(&c->spill_dirs, default_spill_dir()) < 0 || !c->admin_group ||
        set_built_in_quotas(c) < 0) {
        config_free(c);
        return NULL;
    }
    return c;
}

// True for the names that a shell would find by *.conf.
static int is_drop_in(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n > strlen(".conf") && strcmp(entry->d_name + n - strlen(".conf"), ".conf") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

// Opening a pipe waits until somebody writes to it.  /dev/null in place of a file is how one is switched off.
static bool would_wait(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static int read_file(struct config *c, const char *path, config_warn_fn warn, void *warn_data, char **ret_error)
{
    FILE *stream = fopen(path, "re");
    int error = -errno;

    if (!stream)
        return config_fail(ret_error, error, "%s can't be opened: %s", path, strerror(-error));
    return config_read(c, stream, path, CONFIG_FILES, warn, warn_data, ret_error);
}

static int read_drop_in(struct config *c, const char *dir, const char *name, config_warn_fn warn, void *warn_data,
                        char **ret_error)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (would_wait(path))
        return config_fail(ret_error, -EINVAL, "%s is a pipe or a socket: a file is needed there", path);
    return read_file(c, path, warn, warn_data, ret_error);
}

static int read_drop_ins(struct config *c, const char *dir, config_warn_fn warn, void *warn_data, char **ret_error)
{
    struct dirent **entries;
    int r = 0, n = scandir(dir, &entries, is_drop_in, by_bytes);

    if (n < 0) {
        r = -errno;
        return r == -ENOENT ? 0 : config_fail(ret_error, r, "%s can't be read: %s", dir, strerror(-r));
    }
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = read_drop_in(c, dir, entries[i]->d_name, warn, warn_data, ret_error);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int read_all(struct config *c, const char *path, config_warn_fn warn, void *warn_data, char **ret_error)
{
    bool by_default = !path;
    _cleanup_free_ char *dir = NULL;
    int r = 0;

    if (by_default)
        path = CONFIG_DEFAULT_PATH;
    if (asprintf(&dir, "%s.d", path) < 0) {
        dir = NULL;
        return -ENOMEM;
    }
    if (!by_default || access(path, F_OK) == 0 || errno != ENOENT)
        r = read_file(c, path, warn, warn_data, ret_error);
    return r < 0 ? r : read_drop_ins(c, dir, warn, warn_data, ret_error);
}

static void warn_of_zeros(const struct config_subject *s, config_warn_fn warn, void *warn_data)
{
    for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        const struct config_value *v = &s->values[CONFIG_FILES][key];

        if (config_allows_nothing((enum config_quota_key)key, v))
            config_warn(warn, warn_data, "%s:%u: %s = 0: nothing is allowed; write unlimited for no limit", v->file,
                        v->line, config_quota_keys[key].name);
    }
}

static void look_up_admin_group(struct config *c, config_warn_fn warn, void *warn_data)
{
    int r = c->names_by.find(c->names_by.data, false, c->admin_group, &c->admin_gid);

    c->admin_gid_known = r == 0;
    if (r == -ENOENT && strcmp(c->admin_group, built_in_admin_group) != 0)
        config_warn(warn, warn_data, "admin_group = %s: there is no such group", c->admin_group);
}

static void warn_of_unknown_users(struct config *c, const struct config_disk *d, config_warn_fn warn, void *warn_data)
{
    const char *at = d->users;
    char name[256];
    uint32_t uid;

    while (at && config_disk_next_user(&at, name, sizeof name))
        if (name[0] != '+' && c->names_by.find(c->names_by.data, true, name, &uid) == -ENOENT)
            config_warn(warn, warn_data, "[disk %s] names an unknown user, %s, who means nothing until there is one",
                        d->path, name);
}

bool config_is_default_admin_group(const char *name)
{
    return strcmp(name, built_in_admin_group) == 0;
}

int config_load(const char *path, const struct config_resolver *names, config_warn_fn warn, void *warn_data,
                struct config **ret, char **ret_error)
{
    struct config *c = config_new(names);
    char *error = NULL;
    int r = c ? read_all(c, path, warn, warn_data, &error) : -ENOMEM;

    if (r < 0) {
        config_free(c);
        *ret_error = error ? error : strdup("there is no memory for the configuration");
        return r;
    }
    for (size_t i = 0; i < c->n_subjects; i++)
        warn_of_zeros(c->subjects[i], warn, warn_data);
    for (const struct config_disk *d = c->disks; d; d = d->next)
        warn_of_unknown_users(c, d, warn, warn_data);
    look_up_admin_group(c, warn, warn_data);
    *ret = c;
    return 0;
}
