// Lengths of time: see duration.h.
#include "proto/util/duration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/util/checked.h"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WEEK = 7 * DAY };

static const struct {
    const char *name;
    uint64_t seconds;
} units[] = {
    {"s", 1},           {"sec", 1},          {"second", 1}, {"seconds", 1}, {"m", MINUTE},  {"min", MINUTE},
    {"minute", MINUTE}, {"minutes", MINUTE}, {"h", HOUR},   {"hr", HOUR},   {"hour", HOUR}, {"hours", HOUR},
    {"d", DAY},         {"day", DAY},        {"days", DAY}, {"w", WEEK},    {"week", WEEK}, {"weeks", WEEK},
};

static int take_number(const char **text, uint64_t *ret)
{
    const char *at = *text;

    for (*ret = 0; *at >= '0' && *at <= '9'; at++)
        if (!checked_mul(*ret, 10, ret) || !checked_add(*ret, (uint64_t)(*at - '0'), ret))
            return -ERANGE;
    if (at == *text)
        return -EINVAL;
    *text = at;
    return 0;
}

// A number without a unit is the last one.
static int take_unit(const char **text, uint64_t *ret)
{
    size_t n = strspn(*text, "abcdefghijklmnopqrstuvwxyz");

    *ret = 1;
    if (n == 0)
        return **text ? -EINVAL : 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == n && strncmp(units[i].name, *text, n) == 0) {
            *ret = units[i].seconds;
            *text += n;
            return 0;
        }
    return -EINVAL;
}

int duration_parse(const char *text, uint64_t *ret_seconds)
{
    uint64_t sum = 0, number, unit;
    int r;

    do {
        text += strspn(text, " ");
        r = take_number(&text, &number);
        text += strspn(text, " ");
        if (r == 0)
            r = take_unit(&text, &unit);
        if (r == 0 && (!checked_mul(number, unit, &number) || !checked_add(sum, number, &sum)))
            r = -ERANGE;
        if (r < 0)
            return r;
        text += strspn(text, " ");
    } while (*text);
    *ret_seconds = sum;
    return 0;
}

const char *duration_format(uint64_t seconds, char buffer[static DURATION_TEXT_MAX])
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } shown[] = {{"d", DAY}, {"h", HOUR}, {"min", MINUTE}, {"s", 1}};
    size_t n = 0;
    int parts = 0;

    for (size_t i = 0; i < sizeof shown / sizeof *shown && parts < 3; i++) {
        uint64_t count = seconds / shown[i].seconds;

        if (count == 0 && !(parts == 0 && shown[i].seconds == 1))
            continue;
        n += (size_t)snprintf(buffer + n, DURATION_TEXT_MAX - n, "%s%llu%s", parts ? " " : "",
                              (unsigned long long)count, shown[i].name);
        seconds %= shown[i].seconds;
        parts++;
    }
    return buffer;
}
