// Any text as a configuration: it is understood, or refused with a sentence; its limits can be asked for.
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/config/load.h"
#include "tests/fuzz/fuzz.h"

static void ignore(void *data, const char *sentence)
{
    (void)data;
    FUZZ_ASSERT(sentence && *sentence);
}

static void ask(const struct config *c)
{
    static const gid_t groups[] = {0, 4, 1000};
    static const uint64_t totals[] = {0, 1, (uint64_t)1 << 40, UINT64_MAX};
    struct quota_limits limits;

    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        config_total_limits(c, totals[i], &limits);
        config_user_limits(c, 0, groups, 3, totals[i], &limits);
        config_user_limits(c, 1000, groups, 3, totals[i], &limits);
        config_group_limits(c, 4, totals[i], &limits);
        config_value_bytes(&c->keep_free, totals[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char path[64];
    static int fd = -1;
    struct config *c = NULL;
    char *error = NULL;
    int r;

    if (fd < 0) {
        fd = memfd_create("diskallocd.conf", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), fd);
    }
    FUZZ_ASSERT(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
    r = config_load(path, NULL, ignore, NULL, &c, &error);
    FUZZ_ASSERT((r == 0) == (c != NULL) && (r != 0) == (error != NULL));
    if (r == 0)
        ask(c);
    else
        FUZZ_ASSERT(r == -EINVAL && strstr(error, path));
    config_free(c);
    free(error);
    return 0;
}
