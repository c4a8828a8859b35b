// Text that grows while it is written: see output.h.
#include "daemon/metrics/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/text.h"

#define MOST ((size_t)4 << 20) // bytes: more than the bounded lists can fill

static bool make_room(struct output *o, size_t n)
{
    size_t wanted = o->allocated ? o->allocated : 16384;
    char *data;

    if (o->failed || n > MOST - o->n) {
        o->failed = true;
        return false;
    }
    if (o->n + n <= o->allocated)
        return true;
    while (wanted < o->n + n)
        wanted *= 2;
    data = realloc(o->data, wanted);
    if (!data) {
        o->failed = true;
        return false;
    }
    o->data = data;
    o->allocated = wanted;
    return true;
}

void output_bytes(struct output *o, const void *bytes, size_t n)
{
    if (n == 0 || !make_room(o, n))
        return;
    memcpy(o->data + o->n, bytes, n);
    o->n += n;
}

void output_add(struct output *o, const char *text)
{
    output_bytes(o, text, strlen(text));
}

void output_number(struct output *o, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    output_bytes(o, digits + at, sizeof digits - at);
}

void output_format(struct output *o, const char *format, ...)
{
    char text[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        o->failed = true;
    else
        output_bytes(o, text, (size_t)n);
}

// Calls PUT for each character; 0xFFFD stands for what is no text.
static void each_character(struct output *o, const uint8_t *bytes, size_t n,
                           void (*put)(struct output *o, const uint8_t *character, size_t length))
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};

    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t length = utf8_decode(bytes + i, n - i, &code);

        if (length == 0 || (code < 0x20 && code != '\n') || (code >= 0x7f && code < 0xa0))
            put(o, replacement, sizeof replacement);
        else
            put(o, bytes + i, length);
        i += length ? length : 1;
    }
}

static void put_label(struct output *o, const uint8_t *character, size_t length)
{
    if (*character == '\n')
        output_bytes(o, "\\n", 2);
    else if (*character == '"' || *character == '\\')
        output_bytes(o, (const char[]){'\\', (char)*character}, 2);
    else
        output_bytes(o, character, length);
}

void output_label_value(struct output *o, const char *text)
{
    output_add(o, "\"");
    each_character(o, (const uint8_t *)text, strlen(text), put_label);
    output_add(o, "\"");
}

static void put_json(struct output *o, const uint8_t *character, size_t length)
{
    if (strchr("\n\"\\<>&", *character))
        output_format(o, "\\u%04x", *character);
    else
        output_bytes(o, character, length);
}

void output_json(struct output *o, const void *bytes, size_t n)
{
    output_add(o, "\"");
    each_character(o, bytes, n, put_json);
    output_add(o, "\"");
}
