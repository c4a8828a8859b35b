#include "tests/lib/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/memory"

static int write_file(const char *dir, const char *name, const char *text)
{
    char path[400];
    int fd, r = 0;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        r = -errno;
    close(fd);
    return r;
}

static bool v2_has_memory(void)
{
    char line[512] = "";
    FILE *f = fopen(V2 "/cgroup.controllers", "re");

    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    return strstr(line, "memory");
}

const char *cgroup_version(void)
{
    if (v2_has_memory())
        return "v2";
    return access(V1 "/cgroup.procs", F_OK) == 0 ? "v1" : "none";
}

int cgroup_make(struct cgroup *g, size_t limit, const char **ret_why)
{
    bool v2 = v2_has_memory();
    char text[32];
    int r;

    g->path[0] = 0;
    *ret_why = "no memory controller below /sys/fs/cgroup";
    if (!strcmp(cgroup_version(), "none"))
        return -ENOENT;
    *ret_why = "/sys/fs/cgroup may not be written (root may)";
    if (v2)
        write_file(V2, "cgroup.subtree_control", "+memory"); // there already where systemd runs
    snprintf(g->path, sizeof g->path, "%s/diskalloc-%ld", v2 ? V2 : V1, (long)getpid());
    if (mkdir(g->path, 0755) < 0) {
        g->path[0] = 0;
        return -errno;
    }
    snprintf(text, sizeof text, "%zu", limit);
    r = write_file(g->path, v2 ? "memory.max" : "memory.limit_in_bytes", text);
    if (r < 0)
        cgroup_remove(g);
    return r;
}

int cgroup_enter(const struct cgroup *g)
{
    char text[32];

    snprintf(text, sizeof text, "%ld", (long)getpid());
    return write_file(g->path, "cgroup.procs", text);
}

static const char *plain_top(void)
{
    static const char *const tops[] = {V2, V2 "/unified", V2 "/systemd"};

    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
        char path[64];

        snprintf(path, sizeof path, "%s/cgroup.procs", tops[i]);
        if (access(path, W_OK) == 0)
            return tops[i];
    }
    return NULL;
}

bool cgroup_make_plain(struct cgroup *g, const struct cgroup *parent, const char *name)
{
    const char *top = parent ? parent->path : plain_top();

    g->path[0] = 0;
    if (!top)
        return false;
    if ((size_t)snprintf(g->path, sizeof g->path, "%s/%s", top, name) < sizeof g->path && mkdir(g->path, 0755) == 0)
        return true;
    g->path[0] = 0;
    return false;
}

void cgroup_leave_plain(void)
{
    struct cgroup top;

    snprintf(top.path, sizeof top.path, "%s", plain_top());
    cgroup_enter(&top);
}

// A group is busy for a moment after its last process was reaped.
void cgroup_remove(struct cgroup *g)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (int i = 0; g->path[0] && i < 100; i++) {
        if (rmdir(g->path) == 0 || errno == ENOENT)
            g->path[0] = 0;
        else
            nanosleep(&pause, NULL);
    }
}
