// Text that grows while it is written: the metrics and the state for the page.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
    char *data; // N bytes, without a NUL; the caller frees it
    size_t n, allocated;
    bool failed; // there was no memory, or too much text: what follows is left out
};

void output_add(struct output *o, const char *text);
void output_bytes(struct output *o, const void *bytes, size_t n);
void output_number(struct output *o, uint64_t number);
__attribute__((format(printf, 2, 3))) void output_format(struct output *o, const char *format, ...);

// Text that others chose goes out as UTF-8 without control characters: bytes that are no UTF-8, and control characters,
// become U+FFFD.

// A label's value: in quotation marks.
void output_label_value(struct output *o, const char *text);
// A string of JSON.  It is harmless inside of HTML too: < > and & are written as escapes.
void output_json(struct output *o, const void *bytes, size_t n);
