// Sizes as people write and read them: K M G T, powers of 1024.  Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SIZE_TEXT_MAX = 16 };

// "123", "4K", "1.5" is refused: a whole number and one optional letter of KMGT (either case).
// 0; -EINVAL: not a size; -ERANGE: more than 2^64 - 2 bytes.
int size_parse(const char *text, uint64_t *ret);

// "0B", "4.0K", "50G", "1.3T": three digits at most; UINT64_MAX is "unlimited".  Returns BUFFER.
const char *size_format(uint64_t bytes, char buffer[static SIZE_TEXT_MAX]);
