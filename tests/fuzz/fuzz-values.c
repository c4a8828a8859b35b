// Sizes, lengths of time, names, handles and subjects as people and programs write them.
#include "daemon/config/config.h"
#include "daemon/config/subjects.h"
#include "proto/util/duration.h"
#include "proto/util/name.h"
#include "proto/util/size.h"
#include "tests/fuzz/fuzz.h"

static void check_size(const char *text)
{
    char shown[SIZE_TEXT_MAX];
    uint64_t size, same;

    if (size_parse(text, &size) < 0)
        return;
    FUZZ_ASSERT(size != UINT64_MAX);
    FUZZ_ASSERT(size_format(size, shown) == shown && strlen(shown) < sizeof shown);
    snprintf(shown, sizeof shown, "%llu", (unsigned long long)(size % 1000000000));
    FUZZ_ASSERT(size_parse(shown, &same) == 0 && same == size % 1000000000);
}

static void check_duration(const char *text)
{
    char shown[DURATION_TEXT_MAX];
    uint64_t seconds, same;

    if (duration_parse(text, &seconds) < 0)
        return;
    FUZZ_ASSERT(duration_format(seconds, shown) == shown && strlen(shown) < sizeof shown);
    FUZZ_ASSERT(duration_parse(shown, &same) == 0 && same <= seconds);
}

static void check_handle(const char *text)
{
    char shown[HANDLE_TEXT_LENGTH + 1];
    struct handle handle, same;

    if (handle_parse(text, &handle) < 0)
        return;
    handle_format(&handle, shown);
    FUZZ_ASSERT(handle_parse(shown, &same) == 0 && handle_equal(&handle, &same));
    FUZZ_ASSERT(name_check(text, strlen(text)) < 0); // a handle is no name
}

static void check_name(const char *text, size_t n)
{
    if (name_check(text, n) < 0)
        return;
    FUZZ_ASSERT(n >= 1 && n <= NAME_MAX_LENGTH && text[0] != '.');
    FUZZ_ASSERT(!memchr(text, '/', n) && !memchr(text, 0, n));
}

static void check_subject(const char *text)
{
    enum config_subject_kind kind;
    const char *name = NULL;

    char path[CONFIG_SUBJECT_SIZE], same[CONFIG_SUBJECT_SIZE];

    if (config_parse_subject(text, &kind, &name) < 0)
        return;
    FUZZ_ASSERT((kind == CONFIG_TOTAL || kind == CONFIG_DEFAULT || kind == CONFIG_UNLISTED) == (name == NULL));
    if (kind != CONFIG_CGROUP)
        return;
    FUZZ_ASSERT(config_cgroup_path(name, path, sizeof path) == 0 && path[0] == '/' && !strstr(path, "//"));
    FUZZ_ASSERT(config_cgroup_path(path, same, sizeof same) == 0 && strcmp(path, same) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);

    FUZZ_ASSERT(text);
    memcpy(text, data, n);
    text[n] = 0;
    check_size(text);
    check_duration(text);
    check_handle(text);
    check_name((const char *)data, n);
    check_subject(text);
    free(text);
    return 0;
}
