// Names and handles of regions: see name.h.
#include "proto/util/name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static bool all_hex(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

int name_check(const char *name, size_t n)
{
    if (n == 0 || name[0] == '.')
        return -EINVAL;
    if (n > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        // Not isalnum(): the set must not depend on the locale.
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return -EINVAL;
    }
    if (n == HANDLE_TEXT_LENGTH && all_hex(name, n))
        return -EINVAL;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 0x20) - 'a' + 10;
}

int handle_parse(const char *text, struct handle *ret)
{
    struct handle h;

    if (strlen(text) != HANDLE_TEXT_LENGTH || !all_hex(text, HANDLE_TEXT_LENGTH))
        return -EINVAL;
    for (size_t i = 0; i < sizeof h.bytes; i++)
        h.bytes[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    *ret = h;
    return 0;
}

void handle_format(const struct handle *h, char ret[static HANDLE_TEXT_LENGTH + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof h->bytes; i++) {
        ret[2 * i] = digits[h->bytes[i] >> 4];
        ret[2 * i + 1] = digits[h->bytes[i] & 15];
    }
    ret[HANDLE_TEXT_LENGTH] = '\0';
}

int handle_random(struct handle *ret)
{
    ssize_t n = getrandom(ret->bytes, sizeof ret->bytes, 0);

    if (n < 0)
        return -errno;
    return n == (ssize_t)sizeof ret->bytes ? 0 : -EIO;
}

bool handle_equal(const struct handle *a, const struct handle *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
