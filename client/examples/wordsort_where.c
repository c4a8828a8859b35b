// Where are the bytes of a vector?  Prints how many are on disk, how many the daemon charges to this user, how many
// this process has mapped (as htop shows them), and how many are in the page cache.
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wordsort.h"

enum { CACHESTAT_NR = 451, MIB_SHIFT = 20 };

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << MIB_SHIFT);
}

static void print_on_disk(int fd)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        printf("  file on disk           unknown: %s\n", strerror(fd < 0 ? -fd : errno));
    else
        printf("  file on disk           %.1f MiB long, %.1f MiB of blocks\n", mib((uint64_t)st.st_size),
               mib((uint64_t)st.st_blocks * 512));
}

static void print_charged(struct diskalloc *da)
{
    struct diskalloc_usage u;

    if (!strncmp(diskalloc_address(da), "dir:", 4))
        printf("  charged by the daemon  nothing: there is none\n");
    else if (diskalloc_get_usage(da, NULL, &u, sizeof u) < 0)
        printf("  charged by the daemon  unknown: %s\n", diskalloc_last_error());
    else if (u.bytes_limit == UINT64_MAX)
        printf("  charged by the daemon  %.1f MiB to this user, no limit\n", mib(u.bytes));
    else
        printf("  charged by the daemon  %.1f MiB to this user, of %.1f MiB\n", mib(u.bytes), mib(u.bytes_limit));
}

// A field of /proc/self/status, in bytes; 0 if there is no such line.
static uint64_t status_field(const char *name)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    uint64_t kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), ": %" SCNu64, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}

static void print_resident(void)
{
    printf("  in this process        %.1f MiB resident (htop's RES), of which %.1f MiB are pages of files (SHR)\n",
           mib(status_field("VmRSS")), mib(status_field("RssFile")));
    printf("                         that the kernel may take back, and %.1f MiB its own\n",
           mib(status_field("RssAnon")));
}

static void print_cached(int fd)
{
    struct {
        uint64_t offset, length;
    } range = {0, 0}; // length 0: to the end
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } pages;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    // cachestat(2) needs Linux 6.5.  mincore(2) is no substitute: it calls every page of another user's file resident.
    if (fd < 0 || syscall(CACHESTAT_NR, fd, &range, &pages, 0U) < 0)
        printf("  in the page cache      unknown: no cachestat(2) here\n");
    else
        printf("  in the page cache      %.1f MiB, of which %.1f MiB are not on the disk yet\n",
               mib(pages.cached * page), mib((pages.dirty + pages.writeback) * page));
}

void wordsort_where(const struct words *v, struct diskalloc *da)
{
    int fd = v->region ? diskalloc_region_fd(v->region) : -ENODATA;

    printf("where %.1f MiB of records are:\n", mib(v->len * sizeof *v->data));
    print_on_disk(fd);
    print_charged(da);
    print_resident();
    print_cached(fd);
}
