// The list of mounts: see mountinfo.h.
#include "proto/spill/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/cleanup.h"

static bool parse(char *line, struct mount *ret)
{
    char *root, *end;
    int at = 0;

    if (sscanf(line, "%u %u %u:%u %n", &ret->id, &ret->parent, &ret->major, &ret->minor, &at) != 4 || at == 0)
        return false;
    root = line + at;
    end = strchr(root, ' ');
    if (!end)
        return false;
    *end = '\0';
    ret->root = root;
    ret->point = end + 1;
    end = strchr(end + 1, ' ');
    if (!end)
        return false;
    *end = '\0';
    return true;
}

int mountinfo_read(int (*each)(const struct mount *mount, void *data), void *data)
{
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct mount m;
    int r = 0;

    if (!f)
        return -errno;
    while (r == 0 && getline(&line, &size, f) > 0)
        if (parse(line, &m))
            r = each(&m, data);
    fclose(f);
    return r;
}

// Kernels before 5.8 do not tell the mount by statx(2); fdinfo has it in all.
int mountinfo_id(int fd, unsigned *ret)
{
    char path[64], line[128];
    FILE *f;
    int found = 0;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    f = fopen(path, "re");
    if (!f)
        return -errno;
    while (!found && fgets(line, sizeof line, f))
        found = sscanf(line, "mnt_id: %u", ret) == 1;
    fclose(f);
    return found ? 0 : -ENODATA;
}

struct copy {
    unsigned wanted;
    struct mount mount;
    char *root, *point; // owned; those of MOUNT once it was found
};
#define COPY_OF(id)                                         \
    {                                                       \
        .wanted = (id), .mount = {.root = "", .point = "" } \
    }

static void copy_free(struct copy *c)
{
    free(c->root);
    free(c->point);
}

static int copy_wanted(const struct mount *m, void *data)
{
    struct copy *c = data;

    if (m->id != c->wanted)
        return 0;
    c->root = strdup(m->root);
    c->point = strdup(m->point);
    if (!c->root || !c->point)
        return -ENOMEM;
    c->mount = *m;
    c->mount.root = c->root;
    c->mount.point = c->point;
    return 1;
}

// The part of PATH below DIR, which begins with a slash or is empty.  NULL: PATH is not below DIR.
static const char *below(const char *path, const char *dir)
{
    size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

    if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return strcmp(path + n, "/") == 0 ? "" : path + n;
}

// Whether M shows of the file system what its parent shows at that place.
static bool shows_the_same(const struct mount *m, const struct mount *parent)
{
    const char *place = below(m->point, parent->point), *part = below(m->root, parent->root);

    return m->major == parent->major && m->minor == parent->minor && place && part && strcmp(place, part) == 0;
}

bool mountinfo_shows_another(unsigned id)
{
    struct copy m = COPY_OF(id), parent = COPY_OF(0);
    bool same, stacked;
    int r = mountinfo_read(copy_wanted, &m);

    if (r == 1) {
        parent.wanted = m.mount.parent;
        r = mountinfo_read(copy_wanted, &parent);
    }
    // The root of all has no parent in sight.
    same = r == 1 && parent.wanted != id && shows_the_same(&m.mount, &parent.mount);
    stacked = same && strcmp(m.mount.point, parent.mount.point) == 0;
    copy_free(&m);
    copy_free(&parent);
    if (stacked)
        return mountinfo_shows_another(parent.wanted);
    return !same;
}
