// Finding the control group of this process: its path is in /proc/self/cgroup, and the mount that shows it in
// /proc/self/mountinfo.
#include "client/memory/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/cleanup.h"

// /proc/PID/mountinfo: id parent device ROOT AT options [optional...] - TYPE source OPTIONS
enum { MOUNT_ROOT = 3, MOUNT_AT = 4, MOUNT_OPTIONAL = 6 };

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}
#define _cleanup_fclose_ _cleanup_(close_file)

static FILE *open_text(const char *root, const char *path)
{
    _cleanup_free_ char *full = NULL;

    if (asprintf(&full, "%s%s", root, path) < 0) {
        full = NULL;
        return NULL;
    }
    return fopen(full, "re");
}

// True if LIST, whose items are separated by commas, has ITEM.
static bool has(const char *list, const char *item)
{
    size_t n = strlen(item);

    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, item, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

// The path of this process's group, from a line `4:memory:/user/7`, or `0::/user/7` for cgroup v2.
static char *own_path(const char *root, const char *controller)
{
    _cleanup_fclose_ FILE *f = open_text(root, "/proc/self/cgroup");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;

    while (f && getline(&line, &size, f) > 0) {
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

        if (!path || path[1] != '/')
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (controller ? has(list + 1, controller) : list[1] == '\0')
            return strdup(path);
    }
    return NULL;
}

// The kernel writes blanks and backslashes as octal numbers, like \040.
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

struct mount {
    char *root, *at;
    const char *type, *options;
};

static bool mount_parse(char *line, struct mount *ret)
{
    char *rest = line, *field;
    int n = 0;

    *ret = (struct mount){.type = ""};
    line[strcspn(line, "\n")] = '\0';
    for (; (field = strsep(&rest, " ")); n++) {
        if (n == MOUNT_ROOT)
            ret->root = field;
        else if (n == MOUNT_AT)
            ret->at = field;
        else if (n >= MOUNT_OPTIONAL && strcmp(field, "-") == 0)
            break;
    }
    ret->type = strsep(&rest, " ");
    (void)strsep(&rest, " ");
    ret->options = rest;
    if (!ret->root || !ret->at || !ret->type || !ret->options)
        return false;
    unescape(ret->root);
    unescape(ret->at);
    return true;
}

// The part of PATH below the root of the mount.  NULL: PATH is elsewhere, or above the namespace of the process
// ("/..").
static const char *below(const struct mount *m, const char *path)
{
    size_t n = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);

    if (strncmp(path, m->root, n) != 0 || (path[n] != '/' && path[n] != '\0') || strstr(path, "/.."))
        return NULL;
    return path + n;
}

bool cgroup_find(const char *root, const char *controller, struct cgroup *ret)
{
    _cleanup_fclose_ FILE *f = NULL;
    _cleanup_free_ char *path = own_path(root, controller), *line = NULL, *dir = NULL;
    size_t size = 0, n_part = 0;
    struct mount m;

    f = path ? open_text(root, "/proc/self/mountinfo") : NULL;
    while (f && getline(&line, &size, f) > 0) {
        const char *part;
        char *found;

        if (!mount_parse(line, &m) || strcmp(m.type, controller ? "cgroup" : "cgroup2") != 0 ||
            (controller && !has(m.options, controller)) || !(part = below(&m, path)))
            continue;
        // Of several mounts, the one that shows most of the groups above.
        if ((dir && strlen(part) <= n_part) || asprintf(&found, "%s%s%s", root, m.at, part) < 0)
            continue;
        free(dir);
        dir = found;
        n_part = strlen(part);
    }
    if (!dir)
        return false;
    ret->n_top = strlen(dir) - n_part;
    ret->dir = steal(&dir);
    return true;
}

bool cgroup_up(struct cgroup *c)
{
    char *last = strrchr(c->dir + c->n_top, '/');

    if (!last)
        return false;
    *last = '\0';
    return true;
}
