// The header Accept: see accept.h.
#include "daemon/http/accept.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// The weight of an entry, in thousandths: that of its parameter q, or 1000.
static unsigned weight_of(const char *entry, size_t n)
{
    for (const char *at = entry; (at = memchr(at, ';', n - (size_t)(at - entry)));) {
        const char *end = entry + n;
        unsigned weight, unit = 1000;

        for (at++; at < end && is_blank(*at); at++)
            continue;
        if (end - at < 3 || (at[0] != 'q' && at[0] != 'Q') || at[1] != '=' || !isdigit((unsigned char)at[2]))
            continue;
        weight = at[2] == '0' ? 0 : 1000;
        for (at += at + 3 < end && at[3] == '.' ? 4 : 3; at < end && isdigit((unsigned char)*at) && unit > 1; at++)
            weight += (unsigned)(*at - '0') * (unit /= 10);
        return weight < 1000 ? weight : 1000;
    }
    return 1000;
}

static bool is_of_type(const char *entry, size_t n, const char *type)
{
    size_t length = strlen(type);

    return n >= length && strncasecmp(entry, type, length) == 0 &&
           (n == length || entry[length] == ';' || is_blank(entry[length]));
}

bool accept_wants_openmetrics(const char *header)
{
    unsigned openmetrics = 0, plain = 0;

    while (header && *header) {
        size_t n = strcspn(header, ",");
        const char *entry = header;
        unsigned weight;

        header += n + (header[n] == ',');
        for (; n > 0 && is_blank(*entry); n--)
            entry++;
        weight = weight_of(entry, n);
        if (is_of_type(entry, n, "application/openmetrics-text") && weight > openmetrics)
            openmetrics = weight;
        if (is_of_type(entry, n, "text/plain") && weight > plain)
            plain = weight;
    }
    return openmetrics > 0 && openmetrics >= plain;
}
