// See settings.h.  Calls nothing that needs the C library to be ready: the first settings are read before that.
#include "client/preload/settings.h"

#include <stdio.h>
#include <string.h>

void settings_default(struct settings *s)
{
    *s = (struct settings){.threshold = SETTINGS_THRESHOLD, .limit = UINT64_MAX};
}

// A number that ends with the word.
static bool parse_number(const char *text, size_t n, uint64_t *ret)
{
    uint64_t number = 0;

    if (n == 0 || n > 20)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return false;
    *ret = number;
    return true;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && strncmp(text, word, n) == 0;
}

static bool parse_word(struct settings *s, const char *text, size_t n)
{
    if (begins(text, "threshold="))
        return parse_number(text + 10, n - 10, &s->threshold) && s->threshold >= SETTINGS_THRESHOLD_MIN;
    if (begins(text, "limit="))
        return parse_number(text + 6, n - 6, &s->limit);
    if (is_word(text, n, "all"))
        s->all = true;
    else if (is_word(text, n, "strict"))
        s->strict = true;
    else if (is_word(text, n, "report"))
        s->report = true;
    else
        return false;
    return true;
}

bool settings_parse(struct settings *s, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, " ");

        if (begins(text, "address=")) {
            n = strlen(text + 8);
            if (n >= sizeof s->address)
                return false;
            memcpy(s->address, text + 8, n + 1);
            return true;
        }
        if (n > 0 && !parse_word(s, text, n))
            return false;
        text += n + (text[n] == ' ');
    }
    return true;
}

void settings_format(const struct settings *s, char text[static SETTINGS_TEXT_MAX])
{
    snprintf(text, SETTINGS_TEXT_MAX, "threshold=%llu limit=%llu%s%s%s%s%s", (unsigned long long)s->threshold,
             (unsigned long long)s->limit, s->all ? " all" : "", s->strict ? " strict" : "", s->report ? " report" : "",
             s->address[0] ? " address=" : "", s->address);
}
