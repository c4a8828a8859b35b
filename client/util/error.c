// The sentence and the numbers of a thread's last error: see error.h.  Everything is thread-local.
#include "client/util/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/util/size.h"
#include "proto/util/text.h"

static _Thread_local struct {
    const char *call;
    char why[256];
    char sentence[512];
    struct diskalloc_error_info noted; // by the call that is going on; error_end makes it the last error
    struct diskalloc_error_info info;
} last;

void error_forget(void)
{
    last.why[0] = '\0';
    last.noted = (struct diskalloc_error_info){0};
}

void error_begin(const char *call)
{
    last.call = call;
    last.sentence[0] = '\0';
    error_forget();
}

int error_why(int r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last.why, sizeof last.why, format, args);
    va_end(args);
    return r;
}

void limit_name_fit(const char *limit_name, char *ret, size_t size)
{
    const char *resource = strrchr(limit_name, ' ');
    size_t n = resource ? strlen(resource) : 0;

    if (strlen(limit_name) < size || n >= size)
        snprintf(ret, size, "%.*s", (int)utf8_cut(limit_name, size - 1), limit_name);
    else
        snprintf(ret, size, "%.*s%s", (int)utf8_cut(limit_name, size - 1 - n), limit_name, resource ? resource : "");
}

const char *error_reason(void)
{
    return last.why;
}

int error_limit(int r, const char *limit_name, uint64_t limit, uint64_t used, uint64_t asked)
{
    limit_name_fit(limit_name, last.noted.limit_name, sizeof last.noted.limit_name);
    last.noted.limit = limit;
    last.noted.used = used;
    last.noted.asked = asked;
    return r;
}

void error_handle(const char *handle)
{
    snprintf(last.noted.handle, sizeof last.noted.handle, "%s", handle);
}

const struct diskalloc_error_info *error_noted(void)
{
    return &last.noted;
}

// Limits of regions, connections and the like are counts; all other limits are bytes.
static bool counts_bytes(const char *limit_name)
{
    if (strstr(limit_name, "inodes"))
        return false;
    return strstr(limit_name, "bytes") || strncmp(limit_name, "disk", 4) == 0 || strcmp(limit_name, "reserve") == 0 ||
           strcmp(limit_name, "file system quota") == 0;
}

static void format_number(const char *limit_name, uint64_t n, char ret[static 24])
{
    if (n == UINT64_MAX || counts_bytes(limit_name))
        size_format(n, ret);
    else
        snprintf(ret, 24, "%llu", (unsigned long long)n);
}

static void append(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void append(const char *format, ...)
{
    size_t n = strlen(last.sentence);
    va_list args;

    va_start(args, format);
    vsnprintf(last.sentence + n, sizeof last.sentence - n, format, args);
    va_end(args);
}

// The words of the C library, and our own where these speak of sockets and of files.
static const char *error_words(int r)
{
    switch (r) {
    case -EPROTOTYPE:
        return "The region holds something else";
    case -ESTALE:
        return "The region was unlinked, or changed by others";
    default:
        return strerrordesc_np(-r);
    }
}

int error_end(int r)
{
    const struct diskalloc_error_info *info = &last.info;

    last.sentence[0] = '\0';
    if (r >= 0)
        error_forget();
    last.info = last.noted;
    last.info.code = r < 0 ? r : 0;
    if (r >= 0)
        return r;
    append("%s: ", last.call);
    if (last.why[0])
        append("%s: ", last.why);
    if (info->limit_name[0] && info->limit == 0 && info->used == 0 && info->asked > 0 && r == -ENOSPC) {
        append("%s: ", info->limit_name); // the file system does not tell the numbers
    } else if (info->limit_name[0]) {
        char limit[24], used[24], asked[24];

        format_number(info->limit_name, info->limit, limit);
        format_number(info->limit_name, info->used, used);
        format_number(info->limit_name, info->asked, asked);
        append("%s: limit %s, used %s, asked %s: ", info->limit_name, limit, used, asked);
    }
    append("%s", error_words(r));
    return r;
}

const char *diskalloc_last_error(void)
{
    return last.sentence;
}

int diskalloc_last_error_info(struct diskalloc_error_info *ret, size_t size)
{
    size_t known = size < sizeof last.info ? size : sizeof last.info;

    if (!ret || size == 0)
        return -EINVAL;
    memset(ret, 0, size);
    memcpy(ret, &last.info, known);
    return 0;
}
