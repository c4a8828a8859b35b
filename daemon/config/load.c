#include "daemon/config/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/config_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/version.h"

static const char built_in_admin_group[] = "diskalloc";

static int set_built_in_quota(struct config *c, const char *subject, const char *key_name, const char *text)
{
    const struct config_key *key = config_quota_key(key_name);
    struct config_value *v;
    bool is_new;
    int index = config_add_subject(c, subject, &is_new);

    if (index < 0)
        return index;
    v = (struct config_value *)((char *)&c->subjects[index] + key->offset);
    key->parse(v, text);
    v->text = strdup(text);
    return v->text ? 0 : -ENOMEM;
}

static int set_built_in_quotas(struct config *c)
{
    static const struct {
        const char *subject, *key, *text;
    } built_in[] = {
        {"total", "bytes", "80%"},
        {"total", "regions", "100000"},
        {"total", "connections", "10000"},
        {"default", "bytes", "50G"},
        {"default", "regions", "1000"},
        {"default", "connections", "1024"},
        {"default", "region_bytes", "unlimited"},
        {"default", "warn_at", "80%"},
    };

    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        int r = set_built_in_quota(c, built_in[i].subject, built_in[i].key, built_in[i].text);

        if (r < 0)
            return r;
    }
    return 0;
}

static struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->socket_mode = 0666;
    c->keep_free = (struct config_value){.kind = CONFIG_PERCENT, .number = 5};
    c->socket = strdup(DEFAULT_SOCKET);
    c->spill_dir = strdup("/var/lib/diskalloc");
    c->admin_group = strdup(built_in_admin_group);
    if (!c->socket || !c->spill_dir || !c->admin_group || set_built_in_quotas(c) < 0) {
        config_free(c);
        return NULL;
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_subjects; i++)
        config_subject_deinit(&c->subjects[i]);
    free(c->subjects);
    config_index_deinit(&c->index);
    free(c->keep_free.file);
    free(c->keep_free.text);
    free(c->metrics_listen);
    free(c->admin_group);
    free(c->spill_dir);
    free(c->socket);
    free(c);
}

// "*.conf" as a shell would find them.
static int is_drop_in(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n > strlen(".conf") && strcmp(entry->d_name + n - strlen(".conf"), ".conf") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_in(struct config *c, const char *dir, const char *name, config_warn_fn warn, void *warn_data,
                        char **ret_error)
{
    _cleanup_free_ char *file = NULL;

    if (asprintf(&file, "%s/%s", dir, name) < 0) {
        file = NULL;
        return -ENOMEM;
    }
    return config_read_file(c, file, warn, warn_data, ret_error);
}

static int read_drop_ins(struct config *c, const char *dir, config_warn_fn warn, void *warn_data, char **ret_error)
{
    struct dirent **entries;
    int r = 0, n = scandir(dir, &entries, is_drop_in, by_bytes);

    if (n < 0) {
        r = errno == ENOENT ? 0 : -errno;
        if (r < 0 && asprintf(ret_error, "%s can't be read: %s", dir, strerror(-r)) < 0)
            *ret_error = NULL;
        return r;
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
        r = config_read_file(c, path, warn, warn_data, ret_error);
    return r < 0 ? r : read_drop_ins(c, dir, warn, warn_data, ret_error);
}

bool config_allows_nothing(enum config_quota_key key, const struct config_value *v)
{
    return key != CONFIG_QUOTA_WARN_AT && (v->kind == CONFIG_NUMBER || v->kind == CONFIG_PERCENT) && v->number == 0;
}

static void warn_of_zeros(const struct config_subject *s, config_warn_fn warn, void *warn_data)
{
    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
        const struct config_value *v = &s->values[key];
        _cleanup_free_ char *sentence = NULL;

        if (!config_allows_nothing((enum config_quota_key)key, v))
            continue;
        if (asprintf(&sentence, "%s:%u: %s = 0: nothing is allowed; write unlimited for no limit", v->file, v->line,
                     config_quota_key_name((enum config_quota_key)key)) < 0)
            sentence = NULL;
        else
            warn(warn_data, sentence);
    }
}

static void look_up_admin_group(struct config *c, config_warn_fn warn, void *warn_data)
{
    _cleanup_free_ char *sentence = NULL;

    c->admin_gid_known = nss_find_group(c->admin_group, &c->admin_gid) == 0;
    if (c->admin_gid_known || strcmp(c->admin_group, built_in_admin_group) == 0)
        return;
    if (asprintf(&sentence, "admin_group = %s: there is no such group", c->admin_group) < 0)
        sentence = NULL;
    else
        warn(warn_data, sentence);
}

static void warn_nobody(void *data, const char *sentence)
{
    (void)data;
    (void)sentence;
}

int config_load(const char *path, config_warn_fn warn, void *warn_data, struct config **ret, char **ret_error)
{
    struct config *c = config_new();
    char *error = NULL;
    int r;

    if (!warn)
        warn = warn_nobody;
    r = c ? read_all(c, path, warn, warn_data, &error) : -ENOMEM;
    if (r < 0) {
        config_free(c);
        *ret_error = error ? error : strdup("there is no memory for the configuration");
        return r;
    }
    for (size_t i = 0; i < c->n_subjects; i++)
        warn_of_zeros(&c->subjects[i], warn, warn_data);
    look_up_admin_group(c, warn, warn_data);
    *ret = c;
    return 0;
}
