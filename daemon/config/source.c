// Reading the configuration as the command line and the files say it: see source.h.
#include "daemon/config/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/disk.h"
#include "daemon/config/load.h"
#include "daemon/log.h"
#include "daemon/names.h"

enum { NAMES_BUDGET_MS = 1000 }; // for look-ups while the files are read

static void warn(void *data, const char *sentence)
{
    (void)data;
    log_warning("%s", sentence);
}

static bool override(char **key, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (!value)
        return true;
    if (!copy)
        return false;
    free(*key);
    *key = copy;
    return true;
}

static bool override_dirs(struct config_paths *paths, const struct config_paths *value)
{
    bool ok = true;

    if (!value || value->n == 0)
        return true;
    config_paths_clear(paths);
    for (size_t i = 0; ok && i < value->n; i++)
        ok = config_paths_add(paths, value->items[i]) == 0;
    return ok;
}

static void warn_of_idle_sections(const struct config *c)
{
    for (const struct config_disk *d = c->disks; d; d = d->next)
        if (!config_paths_have(&c->spill_dirs, d->path))
            log_warning("[disk %s] means nothing: that is no spill_dir", d->path);
}

int settings_load(const struct settings_source *source, struct config **ret, char **ret_error)
{
    const struct config_resolver names = {.find = names_resolve, .data = source->names};
    struct config *c = NULL;
    int r;

    if (source->names)
        names_set_budget(source->names, NAMES_BUDGET_MS);
    r = config_load(source->config, source->names ? &names : NULL, warn, NULL, &c, ret_error);
    if (r < 0)
        return r;
    if (!override(&c->socket, source->socket) || !override_dirs(&c->spill_dirs, source->spill_dirs)) {
        config_free(c);
        return -ENOMEM;
    }
    c->socket_was_set |= source->socket != NULL;
    warn_of_idle_sections(c);
    *ret = c;
    return 0;
}
