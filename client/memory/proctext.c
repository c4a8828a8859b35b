// Reading numbers from the texts of the kernel: see proctext.h.
#include "client/memory/proctext.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "proto/util/cleanup.h"
#include "proto/util/text.h"

bool proctext_read(char text[PROCTEXT_MAX], const char *dir, const char *name)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s%s", dir, name ? name : "");
    _cleanup_close_ int fd = -1;
    ssize_t n;

    if (length < 0 || (size_t)length >= sizeof(path))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, PROCTEXT_MAX - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

// A number that does not fit is read as UINT64_MAX.  "max", which control groups write for no limit, is not a number.
static bool parse(const char *text, uint64_t *ret)
{
    const char *end;
    int r = digits_parse(text + strspn(text, " "), 10, ret, &end);

    if (r == -ERANGE)
        *ret = UINT64_MAX;
    return r != -EINVAL;
}

bool proctext_read_number(const char *dir, const char *name, uint64_t *ret)
{
    char text[PROCTEXT_MAX];

    return proctext_read(text, dir, name) && parse(text, ret);
}

bool proctext_number(const char *text, const char *key, uint64_t *ret)
{
    size_t n = strlen(key);

    while (strncmp(text, key, n) != 0) {
        text = strchr(text, '\n');
        if (!text)
            return false;
        text++;
    }
    return parse(text + n, ret);
}
