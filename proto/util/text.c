// Numbers and characters in text: see text.h.
#include "proto/util/text.h"

#include <errno.h>
#include <string.h>

#include "proto/util/checked.h"

int digits_parse(const char *text, unsigned base, uint64_t *ret, const char **ret_end)
{
    const char *c = text;
    uint64_t value = 0;

    for (; *c >= '0' && (unsigned)(*c - '0') < base; c++)
        if (!checked_mul(value, base, &value) || !checked_add(value, (uint64_t)(*c - '0'), &value))
            return -ERANGE;
    if (c == text)
        return -EINVAL;
    *ret = value;
    *ret_end = c;
    return 0;
}

bool number_parse(const char *text, unsigned base, uint64_t max, uint64_t *ret)
{
    const char *end;
    uint64_t value;

    if (digits_parse(text, base, &value, &end) < 0 || *end || value > max)
        return false;
    *ret = value;
    return true;
}

bool id_parse(const char *text, uint32_t *ret)
{
    uint64_t id;

    if (*text != '+' || !number_parse(text + 1, 10, UINT32_MAX - 1, &id))
        return false;
    *ret = (uint32_t)id;
    return true;
}

size_t utf8_cut(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);

    if (n <= max)
        return n;
    for (n = max; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
        n--;
    return n;
}

size_t utf8_decode(const void *bytes, size_t n, uint32_t *ret)
{
    // The lowest code point that needs as many bytes: a lower one written so long is not UTF-8.
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = bytes;
    size_t length;
    uint32_t code;

    if (n == 0)
        return 0;
    length = *c < 0x80 ? 1 : *c < 0xc0 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : *c < 0xf8 ? 4 : 0;
    if (length == 0 || length > n)
        return 0;
    code = length == 1 ? *c : *c & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    if (code < lowest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    *ret = code;
    return length;
}
