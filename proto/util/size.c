// Sizes in text: see size.h.
#include "proto/util/size.h"

#include <errno.h>
#include <stdio.h>

#include "proto/util/checked.h"
#include "proto/util/text.h"

static int unit_shift(char unit)
{
    switch (unit) {
    case '\0':
        return 0;
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    case 'T':
    case 't':
        return 40;
    default:
        return -1;
    }
}

int size_parse(const char *text, uint64_t *ret)
{
    const char *unit;
    uint64_t value;
    int shift, r = digits_parse(text, 10, &value, &unit);

    if (r < 0)
        return r;
    shift = unit_shift(*unit);
    if (shift < 0 || (*unit && unit[1]))
        return -EINVAL;
    if (!checked_mul(value, (uint64_t)1 << shift, &value) || value == UINT64_MAX)
        return -ERANGE;
    *ret = value;
    return 0;
}

const char *size_format(uint64_t bytes, char buffer[static SIZE_TEXT_MAX])
{
    static const char units[] = "BKMGTPE";
    size_t unit = 0;
    uint64_t whole = bytes, rest = 0;

    if (bytes == UINT64_MAX) {
        snprintf(buffer, SIZE_TEXT_MAX, "unlimited");
        return buffer;
    }
    for (; whole >= 1024; unit++) {
        rest = whole % 1024;
        whole /= 1024;
    }
    if (unit > 0 && whole < 10)
        snprintf(buffer, SIZE_TEXT_MAX, "%u.%u%c", (unsigned)whole, (unsigned)(rest * 10 / 1024), units[unit]);
    else
        snprintf(buffer, SIZE_TEXT_MAX, "%u%c", (unsigned)whole, units[unit]);
    return buffer;
}
