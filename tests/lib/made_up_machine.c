// Preloaded (LD_PRELOAD), what the kernel says of another machine: $TEST_SWAP_FREE percent of its swap space are free,
// and it is $TEST_TIME.  Under the name of the client library, one of another version.
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT const char *diskalloc_version(void);

EXPORT const char *diskalloc_version(void)
{
    return "9.9.9";
}

EXPORT int sysinfo(struct sysinfo *info)
{
    const char *percent = getenv("TEST_SWAP_FREE");
    int (*next)(struct sysinfo *);
    int r;

    *(void **)&next = dlsym(RTLD_NEXT, "sysinfo");
    r = next(info);
    if (r < 0 || !percent)
        return r;
    info->totalswap = 1000;
    info->freeswap = 10 * strtoul(percent, NULL, 10);
    return 0;
}

EXPORT time_t time(time_t *ret)
{
    const char *text = getenv("TEST_TIME");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (text)
        now.tv_sec = strtol(text, NULL, 10);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
