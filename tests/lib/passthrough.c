// See passthrough.h.
#include "tests/lib/passthrough.h"

#include <dirent.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/test_daemon.h"

void passthrough_need(void)
{
    if (geteuid() != 0 || !test_daemon_can_start(PASSTHROUGH_CONFIG))
        test_skip_all("this machine does not have the passthrough fence (root, Linux 6.9, /dev/fuse)");
}

static pid_t parent_of(const char *pid)
{
    char path[64], state;
    int parent = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
    f = fopen(path, "re");
    if (f && fscanf(f, "%*d (diskallocd-fuse) %c %d", &state, &parent) == 2 && state == 'Z')
        parent = 0;
    if (f)
        fclose(f);
    return parent;
}

struct search {
    pid_t daemon, found;
};

static bool is_found(void *data)
{
    _cleanup_closedir_ DIR *dir = opendir("/proc");
    struct search *s = data;
    struct dirent *entry;

    s->found = 0;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == s->daemon)
            s->found = atoi(entry->d_name);
    return s->found > 0;
}

pid_t passthrough_server(pid_t daemon)
{
    struct search s = {.daemon = daemon};

    test_wait_until(is_found, &s, 30, "the daemon has a server");
    return s.found;
}
