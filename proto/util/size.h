// Sizes as people write and read them, with K, M, G, T for powers of 1024.  Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SIZE_TEXT_MAX = 16 }; // bytes, with the NUL

// Reads a whole number with at most one letter of KMGT or kmgt behind it: "123", "4K".
// 0; -EINVAL: TEXT is not a size ("1.5", "4KB", "-1"); -ERANGE: more than 2^64 - 2 bytes.
int size_parse(const char *text, uint64_t *ret);

// Writes a size with its unit, rounded down: "0B", "1023B", "4.0K", "50G", "1.3T"; "unlimited" for UINT64_MAX.
// Returns BUFFER.
const char *size_format(uint64_t bytes, char buffer[static SIZE_TEXT_MAX]);
