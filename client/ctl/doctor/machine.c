// `doctor`: this machine and this process, as programs that are started from here would meet them.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/doctor/parts.h"
#include "client/ctl/text.h"
#include "proto/util/idmap.h"
#include "proto/util/text.h"

enum {
    USUAL_MAPPINGS = 65530,
    FEW_FILES = 256,
    YEAR_2024 = 1704067200, // seconds since 1970
};

// The first line of PATH, without its end; "" if it can't be read.
static const char *read_line(const char *path, char *ret, size_t n)
{
    FILE *file = fopen(path, "re");

    ret[0] = '\0';
    if (file && !fgets(ret, (int)n, file))
        ret[0] = '\0';
    if (file)
        fclose(file);
    ret[strcspn(ret, "\n")] = '\0';
    return ret;
}

static bool read_number(const char *path, uint64_t *ret)
{
    char line[64];
    const char *end;

    return digits_parse(read_line(path, line, sizeof(line)), 10, ret, &end) == 0;
}

static void look_at_address_space(struct findings *f)
{
    static const struct advice advice = {"Regions reserve address space, 512 GiB each if there is enough.",
                                         "ulimit -v unlimited, or let regions reserve less: DISKALLOC_RESERVE=4G"};
    struct rlimit limit;
    char text[TEXT_MAX];

    if (getrlimit(RLIMIT_AS, &limit) < 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        finding_well(f, "address-space", "unlimited");
    else
        finding(f, FINDING_NOTE, "address-space", advice, "ulimit -v is set, to %s",
                text_size(limit.rlim_cur, true, text));
}

static void look_at_files(struct findings *f)
{
    static const struct advice advice = {"A program with several connections and files needs more.", "ulimit -n 1024"};
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FEW_FILES)
        finding(f, FINDING_NOTE, "open-files-here", advice, "programs started from here may open %llu files",
                (unsigned long long)limit.rlim_cur);
}

static void look_at_memory_settings(struct findings *f)
{
    static const struct advice strict = {
        "Memory that programs only reserve counts, too; regions do not, other memory does.",
        "sysctl vm.overcommit_memory=0 is what most machines have"};
    static const struct advice mappings = {"Each region takes two mappings of the process.",
                                           "sysctl vm.max_map_count=65530, or more"};
    static const struct advice pages = {"Memory of regions is mapped in small pages, which costs time.",
                                        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"};
    char line[128];
    uint64_t n;

    if (read_number("/proc/sys/vm/overcommit_memory", &n) && n == 2)
        finding(f, FINDING_NOTE, "overcommit", strict, "vm.overcommit_memory is 2");
    if (read_number("/proc/sys/vm/max_map_count", &n) && n < USUAL_MAPPINGS)
        finding(f, FINDING_NOTE, "mappings", mappings, "vm.max_map_count is %" PRIu64, n);
    else
        finding_well(f, "mappings", "vm.max_map_count is large enough");
    if (strstr(read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)), "[never]"))
        finding(f, FINDING_NOTE, "large-pages", pages, "transparent huge pages are off");
    else
        finding_well(f, "large-pages", "transparent huge pages may be used");
}

static void look_at_swap(struct findings *f)
{
    static const struct advice advice = {"The machine is short of memory for what is not on disk by diskalloc.",
                                         "find the program that needs it: diskallocctl run can put its memory on disk"};
    struct sysinfo info;

    if (sysinfo(&info) < 0 || info.totalswap == 0)
        return;
    if (info.freeswap < info.totalswap / 2)
        finding(f, FINDING_NOTE, "swap", advice, "more than half of the swap space is in use");
    else
        finding_well(f, "swap", "more than half of it is free");
}

static void look_at_leases(struct findings *f)
{
    static const struct advice advice = {"The daemon can't find out who still uses a file, and does not start.",
                                         "sysctl fs.leases-enable=1"};
    uint64_t enabled;

    if (read_number("/proc/sys/fs/leases-enable", &enabled) && enabled == 0)
        finding(f, FINDING_WRONG, "leases", advice, "fs.leases-enable is 0");
}

// ---- Control groups ----

// The lowest limit from the own group, PATH below MOUNT, upwards.
static uint64_t least_limit(const char *mount, char *path, const char *name)
{
    char file[TEXT_MAX];
    uint64_t least = UINT64_MAX, max;

    for (char *slash; *path; *slash = '\0') {
        snprintf(file, sizeof(file), "%s%.900s/%s", mount, path, name);
        if (read_number(file, &max) && max < least)
            least = max;
        slash = strrchr(path, '/');
        if (!slash)
            break;
    }
    return least;
}

static void look_at_memory_limit(uint64_t least, struct findings *f)
{
    static const struct advice advice = {
        "Pages of regions that are in memory count in it; the kernel writes them out when it is full, and the library "
        "begins before.",
        "for data that is used all the time, give the group more: MemoryMax="};
    char text[TEXT_MAX];
    struct sysinfo info;

    if (sysinfo(&info) == 0 && least < (uint64_t)info.totalram * info.mem_unit)
        finding(f, FINDING_NOTE, "memory-limit", advice, "the control group of this process may have %s of memory",
                text_size(least, true, text));
    else
        finding_well(f, "memory-limit", "no control group limits memory here");
}

// The lines of /proc/self/cgroup are ID:CONTROLLERS:PATH; that of version 2 is 0::PATH.
static void look_at_cgroups(struct findings *f)
{
    static const struct advice old = {
        "Limits by control group, [quota cgroup:PATH], need it: the daemon can't tell in which group a program is.",
        "boot with systemd.unified_cgroup_hierarchy=1; users and groups are limited all the same"};
    FILE *file = fopen("/proc/self/cgroup", "re");
    uint64_t least = UINT64_MAX, found;
    bool has_version_2 = false;
    char line[TEXT_MAX], *path;

    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        found = UINT64_MAX;
        if (strncmp(line, "0::", 3) == 0) {
            has_version_2 = true;
            found = least_limit("/sys/fs/cgroup", line + 3, "memory.max");
        } else if ((path = strstr(line, ":memory:"))) {
            found = least_limit("/sys/fs/cgroup/memory", path + strlen(":memory:"), "memory.limit_in_bytes");
        }
        least = found < least ? found : least;
    }
    if (!file)
        return;
    fclose(file);
    look_at_memory_limit(least, f);
    if (has_version_2)
        finding_well(f, "cgroups", "version 2 is there");
    else
        finding(f, FINDING_NOTE, "cgroups", old, "there are no control groups of version 2 here");
}

// ---- Who this is ----

static void look_at_uid(struct findings *f)
{
    static const struct advice advice = {
        "The daemon refuses users whom it can't tell apart.",
        "map the uid in the user namespace (podman run --userns=keep-id, PrivateUsers=no)"};
    uint64_t overflow;

    if (!idmap_has_all_uids() && read_number("/proc/sys/kernel/overflowuid", &overflow) && getuid() == overflow)
        finding(f, FINDING_WRONG, "uid", advice,
                "this process has the uid %u, which stands for users without a number here", (unsigned)getuid());
}

static void look_at_clock(struct findings *f)
{
    static const struct advice advice = {"Expiry, grace periods and the times of regions go by it.",
                                         "set the clock: timedatectl"};
    char text[TEXT_MAX];
    time_t now = time(NULL);

    if (now < YEAR_2024)
        finding(f, FINDING_WRONG, "clock", advice, "the clock says %s", text_time((uint64_t)now, text));
}

void doctor_machine(struct findings *f)
{
    look_at_address_space(f);
    look_at_files(f);
    look_at_memory_settings(f);
    look_at_swap(f);
    look_at_leases(f);
    look_at_cgroups(f);
    look_at_uid(f);
    look_at_clock(f);
}
