// How regions are called: names that people choose, handles that programs choose.  Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NAME_MAX_LENGTH = 128,
    HANDLE_TEXT_LENGTH = 32,
};

struct handle {
    uint8_t bytes[16];
};

// 0, -EINVAL or -ENAMETOOLONG for N bytes that should be a region's name.
int name_check(const char *name, size_t n);

// 0, or -EINVAL unless TEXT is exactly 32 hexadecimal digits.
int handle_parse(const char *text, struct handle *ret);
void handle_format(const struct handle *h, char ret[static HANDLE_TEXT_LENGTH + 1]);
// 128 bits from getrandom(2); 0 or -errno.
int handle_random(struct handle *ret);
bool handle_equal(const struct handle *a, const struct handle *b);
