// Values in text and in JSON: see text.h.
#include "client/ctl/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/util/name.h"
#include "proto/util/size.h"
#include "proto/util/text.h"

// False for control characters, invisible characters, and those that turn the direction of writing.
static bool is_harmless(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return false;
    return !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2028 && code <= 0x202e) &&
           !(code >= 0x2066 && code <= 0x2069) && code != 0xfeff;
}

const char *text_escape(const void *bytes, size_t n, char ret[static TEXT_MAX])
{
    enum { WIDEST = 4 * 4 + 1 }; // bytes of a character of four bytes, each escaped, and a NUL
    const unsigned char *c = bytes;
    char *at = ret;

    for (size_t length; n > 0 && at + WIDEST <= ret + TEXT_MAX; c += length, n -= length) {
        uint32_t code;

        length = utf8_decode(c, n, &code);
        if (length > 0 && is_harmless(code)) {
            memcpy(at, c, length);
            at += length;
            continue;
        }
        length = length ? length : 1;
        for (size_t i = 0; i < length; i++)
            at += sprintf(at, "\\x%02x", c[i]);
    }
    *at = '\0';
    return ret;
}

const char *text_size(uint64_t bytes, bool human, char ret[static TEXT_MAX])
{
    return human ? size_format(bytes, ret) : text_count(bytes, ret);
}

const char *text_count(uint64_t count, char ret[static TEXT_MAX])
{
    if (count == UINT64_MAX)
        strcpy(ret, "unlimited");
    else
        snprintf(ret, TEXT_MAX, "%llu", (unsigned long long)count);
    return ret;
}

const char *text_time(uint64_t seconds, char ret[static TEXT_MAX])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (seconds > INT64_MAX || !gmtime_r(&t, &tm) || strftime(ret, TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        strcpy(ret, "-");
    return ret;
}

const char *text_handle(const uint8_t *bytes, size_t n, char ret[static TEXT_MAX])
{
    struct handle h;

    ret[0] = '\0';
    if (n != sizeof h.bytes)
        return ret;
    memcpy(h.bytes, bytes, n);
    handle_format(&h, ret);
    return ret;
}

const char *text_region_state(const Diskalloc__V1__Region *r)
{
    if (r->mapped)
        return "mapped";
    if (r->orphaned)
        return "orphaned";
    if (r->unlinked)
        return "unlinked";
    return r->attachments > 0 ? "attached" : "idle";
}

const char *text_bar(uint64_t used, uint64_t limit, bool colour, char ret[static TEXT_MAX])
{
    enum { WIDTH = 20 };
    double part = limit > 0 ? (double)used / (double)limit : 1;
    int n = part >= 1 ? WIDTH : (int)(part * WIDTH);
    const char *begin = !colour ? "" : part >= 0.95 ? "\033[31m" : part >= 0.8 ? "\033[33m" : "\033[32m";

    ret[0] = '\0';
    if (limit != UINT64_MAX)
        snprintf(ret, TEXT_MAX, "%s[%.*s%.*s]%s %3.0f%%", begin, n, "####################", WIDTH - n,
                 "--------------------", colour ? "\033[0m" : "", part * 100);
    return ret;
}

json_t *text_json_bytes(const void *bytes, size_t n)
{
    const unsigned char *c = bytes ? bytes : (const unsigned char *)"";
    json_t *string = json_stringn((const char *)c, n);
    char *mended, *at;

    if (string)
        return string;
    mended = at = malloc(3 * n + 1);
    if (!mended)
        return NULL;
    while (n > 0) {
        uint32_t code;
        size_t length = utf8_decode(c, n, &code);

        memcpy(at, length ? (const char *)c : "\xef\xbf\xbd", length ? length : 3);
        at += length ? length : 3;
        c += length ? length : 1;
        n -= length ? length : 1;
    }
    string = json_stringn(mended, (size_t)(at - mended));
    free(mended);
    return string;
}

json_t *text_json_limit(uint64_t limit)
{
    return limit == UINT64_MAX ? json_null() : text_json_number(limit);
}

json_t *text_json_number(uint64_t number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *text_json_time(uint64_t seconds)
{
    char text[TEXT_MAX];

    return json_string(text_time(seconds, text));
}

json_t *text_json_holders(const Diskalloc__V1__Region *r)
{
    json_t *array = json_array();

    for (size_t i = 0; i < r->n_holders; i++) {
        const Diskalloc__V1__Holder *h = r->holders[i];

        json_array_append_new(array, json_pack("{so, so, so}", "uid", text_json_number(h->uid), "pid",
                                               text_json_number(h->pid), "client_name",
                                               text_json_bytes(h->client_name.data, h->client_name.len)));
    }
    return array;
}
