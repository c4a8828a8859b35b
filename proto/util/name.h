// How regions are called: a name that people choose, or a handle of 128 random bits that programs choose.  Pure, but
// for handle_random.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NAME_MAX_LENGTH = 128,   // bytes
    HANDLE_TEXT_LENGTH = 32, // hexadecimal digits
};

struct handle {
    uint8_t bytes[16];
};

// Checks the N bytes of a region's name: letters, digits, dot, underscore and dash of ASCII; no dot in front; and
// nothing that looks like a handle.  0, -EINVAL, or -ENAMETOOLONG.
int name_check(const char *name, size_t n);

// Reads a handle: 0, or -EINVAL unless TEXT is exactly 32 hexadecimal digits.
int handle_parse(const char *text, struct handle *ret);
// Writes 32 lower-case hexadecimal digits and a NUL.
void handle_format(const struct handle *h, char ret[static HANDLE_TEXT_LENGTH + 1]);
// A new handle from getrandom(2): 0 or -errno.
int handle_random(struct handle *ret);
bool handle_equal(const struct handle *a, const struct handle *b);
