// Any text as a configuration: it is understood, or refused with a sentence; its limits can be asked for.  The same
// text as the file of the quotas set at run time: what the daemon would write of it says the same.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/config/load.h"
#include "daemon/config/runtime.h"
#include "tests/fuzz/fuzz.h"

static void ignore(void *data, const char *sentence)
{
    (void)data;
    FUZZ_ASSERT(sentence && *sentence);
}

static void ask_subject(const struct config *c, const struct config_subject *s, uint64_t total)
{
    struct config_description d;
    struct quota_limits limits;

    for (int key = 0; key < CONFIG_QUOTA_KEY_N; key++)
        if (config_describe(c, s, (enum config_quota_key)key, total, &d))
            FUZZ_ASSERT(*d.key && *d.text && *d.origin);
    if (s->kind == CONFIG_CGROUP)
        config_cgroup_limits(s, total, &limits);
    FUZZ_ASSERT(!s->name || config_find_subject(c, s->kind, s->name) == s);
}

static void ask_disk(const struct config *c, const struct config_disk *d)
{
    FUZZ_ASSERT(d->path[0] == '/' && config_find_disk(c, d->path) == d);
    config_disk_names_user(d, 0, "root");
    config_disk_names_user(d, 1000, "alice");
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
        for (size_t s = 0; s < c->n_subjects; s++)
            ask_subject(c, c->subjects[s], totals[i]);
    }
    for (const struct config_disk *d = c->disks; d; d = d->next)
        ask_disk(c, d);
}

// Reads TEXT as the file of the quotas set at run time.  Returns the text that the daemon would write, to be freed;
// NULL: TEXT is refused.
static char *read_runtime(const char *empty, const void *text, size_t n)
{
    static int dir = -1;
    struct config *c = NULL;
    char *error = NULL, *rendered = NULL;
    int fd, r;

    if (dir < 0)
        dir = open(fuzz_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    fd = openat(dir, CONFIG_RUNTIME_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_ASSERT(fd >= 0 && write(fd, text, n) == (ssize_t)n && close(fd) == 0);
    FUZZ_ASSERT(config_load(empty, NULL, ignore, NULL, &c, &error) == 0);
    r = config_load_runtime(c, dir, "/spill", ignore, NULL, &error);
    FUZZ_ASSERT(r == 0 ? !error : r == -EINVAL && error && strstr(error, "/spill"));
    if (r == 0) {
        ask(c);
        rendered = config_render_runtime(c, NULL);
        FUZZ_ASSERT(rendered);
    }
    config_free(c);
    free(error);
    return rendered;
}

static void check_runtime(const uint8_t *data, size_t n)
{
    static char empty[64];
    char *rendered, *again;

    if (!*empty)
        snprintf(empty, sizeof empty, "/proc/%d/fd/%d", getpid(), memfd_create("empty.conf", MFD_CLOEXEC));
    rendered = read_runtime(empty, data, n);
    if (!rendered)
        return;
    again = read_runtime(empty, rendered, strlen(rendered));
    FUZZ_ASSERT(again && strcmp(rendered, again) == 0);
    free(rendered);
    free(again);
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
    check_runtime(data, n);
    return 0;
}
