// A description of the machine: the numbers depend on it.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/report.h"
#include "tests/lib/cgroup.h"

// The first line of FILE after PREFIX.
static json_t *line_of(const char *file, const char *prefix)
{
    FILE *f = fopen(file, "re");
    char line[1024];
    json_t *text = NULL;

    while (f && !text && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, prefix, strlen(prefix)))
            text = json_string(line + strlen(prefix) + strspn(line + strlen(prefix), " \t:"));
    }
    if (f)
        fclose(f);
    return text ? text : json_null();
}

// TEXT is a line of mountinfo; what is behind " - " begins with type and source.
static json_t *mount_of_line(const char *text)
{
    char root[256], at[256], options[256], type[64] = "", source[256] = "", more[512] = "";
    const char *rest = strstr(text, " - ");

    if (!rest || sscanf(text, "%*s %*s %*s %255s %255s %255s", root, at, options) != 3 ||
        sscanf(rest, " - %63s %255s %511s", type, source, more) < 2)
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "source", source, "at", at, "options", options,
                     "file_system_options", more);
}

// Whether DIR lies below the mount point that the line of mountinfo names; how long that name is.
static size_t mount_covers(const char *line, const char *dir)
{
    char at[256];
    size_t n;

    if (sscanf(line, "%*s %*s %*s %*s %255s", at) != 1)
        return 0;
    n = strlen(at);
    if (n == 1)
        return 1;
    return !strncmp(at, dir, n) && (dir[n] == '/' || !dir[n]) ? n : 0;
}

// By the path: btrfs has other device numbers in stat than in mountinfo.
static json_t *mount_of(const char *dir)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096], path[PATH_MAX];
    json_t *mount = json_null();
    size_t longest = 0;

    while (f && realpath(dir, path) && fgets(line, sizeof line, f)) {
        size_t n = mount_covers(line, path);

        if (n == 0 || n < longest)
            continue;
        longest = n;
        json_decref(mount);
        mount = mount_of_line(line);
    }
    if (f)
        fclose(f);
    return mount;
}

// Of the block device, or of the disk that it is a part of.
static json_t *disk_fact(dev_t device, const char *name)
{
    static const char *const bases[] = {"", "../"};
    json_t *fact = json_null();

    for (size_t i = 0; i < 2 && json_is_null(fact); i++) {
        char path[256];

        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s%s", major(device), minor(device), bases[i], name);
        json_decref(fact);
        fact = line_of(path, "");
    }
    return fact;
}

static json_t *disk_facts(const char *dir)
{
    struct stat st = {0};

    stat(dir, &st);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "mount", mount_of(dir), "model",
                     disk_fact(st.st_dev, "device/model"), "rotational", disk_fact(st.st_dev, "queue/rotational"),
                     "scheduler", disk_fact(st.st_dev, "queue/scheduler"), "read_ahead_kb",
                     disk_fact(st.st_dev, "queue/read_ahead_kb"), "sectors_of_512", disk_fact(st.st_dev, "size"));
}

static json_t *settings_of_kernel(void)
{
    static const char *const names[] = {
        "dirty_background_ratio", "dirty_ratio", "dirty_background_bytes", "dirty_bytes", "dirty_expire_centisecs",
        "overcommit_memory",      "swappiness"};
    json_t *all = json_object();

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];

        snprintf(path, sizeof path, "/proc/sys/vm/%s", names[i]);
        json_object_set_new(all, names[i], line_of(path, ""));
    }
    json_object_set_new(all, "transparent_hugepage", line_of("/sys/kernel/mm/transparent_hugepage/enabled", ""));
    json_object_set_new(all, "transparent_hugepage_defrag", line_of("/sys/kernel/mm/transparent_hugepage/defrag", ""));
    json_object_set_new(all, "swap", line_of("/proc/meminfo", "SwapTotal"));
    json_object_set_new(all, "cgroup_memory", json_string(cgroup_version()));
    return all;
}

json_t *machine_facts(const char *dir)
{
    struct utsname u = {0};
    time_t now = time(NULL);
    char when[32];

    uname(&u);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:s, s:o, s:o, s:s, s:s, s:s}", "time", when, "kernel",
                     u.release, "arch", u.machine, "system", line_of("/etc/os-release", "PRETTY_NAME="), "cpu",
                     line_of("/proc/cpuinfo", "model name"), "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
                     "memory_bytes", (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "directory", dir,
                     "disk", disk_facts(dir), "vm", settings_of_kernel(), "compiler", __VERSION__, "flags", BENCH_FLAGS,
                     "build_type", BENCH_BUILD_TYPE);
}
