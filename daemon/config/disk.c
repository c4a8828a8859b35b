// The spill directories of the configuration: see disk.h.  Pure.
#include "daemon/config/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/cleanup.h"
#include "proto/util/text.h"

char *config_tidy_path(const char *path)
{
    char *copy = calloc(1, strlen(path) + 1), *to = copy;

    if (!copy)
        return NULL;
    for (const char *from = path; *from; from++)
        if (*from != '/' || from == path || from[-1] != '/')
            *to++ = *from;
    if (to > copy + 1 && to[-1] == '/')
        to--;
    *to = '\0';
    return copy;
}

int config_paths_add(struct config_paths *p, const char *path)
{
    _cleanup_free_ char *copy = NULL;
    char **items;

    if (path[0] != '/')
        return -EINVAL;
    if (p->n == CONFIG_MOST_DISKS)
        return -E2BIG;
    copy = config_tidy_path(path);
    if (copy && config_paths_have(p, copy))
        return -EEXIST;
    items = copy ? reallocarray(p->items, p->n + 1, sizeof *items) : NULL;
    if (!items)
        return -ENOMEM;
    p->items = items;
    p->items[p->n++] = steal(&copy);
    return 0;
}

const char *config_paths_complaint(int error)
{
    switch (error) {
    case -EINVAL:
        return "it has to be an absolute path";
    case -E2BIG:
        return "there are at most 64 spill directories";
    case -EEXIST:
        return "it is there twice";
    default:
        return "there is no memory for it";
    }
}

void config_paths_clear(struct config_paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i]);
    free(p->items);
    *p = (struct config_paths){0};
}

bool config_paths_have(const struct config_paths *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i], path) == 0)
            return true;
    return false;
}

bool config_disk_names_users(const struct config_disk *d)
{
    return d && d->users;
}

bool config_disk_next_user(const char **at, char *ret, size_t size)
{
    const char *begin = *at + strspn(*at, " \t");
    size_t n = strcspn(begin, " \t");

    *at = begin + n;
    if (n >= size) // no user has such a name
        n = size - 1;
    memcpy(ret, begin, n);
    ret[n] = '\0';
    return n > 0;
}

bool config_disk_names_user(const struct config_disk *d, uid_t uid, const char *name)
{
    const char *at = d ? d->users : NULL;
    char wanted[256];
    id_t id;

    while (at && config_disk_next_user(&at, wanted, sizeof wanted))
        if (wanted[0] == '+' ? id_parse(wanted, &id) && id == uid : strcmp(wanted, name) == 0)
            return true;
    return false;
}
