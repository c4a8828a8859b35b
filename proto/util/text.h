// Numbers and characters in text: the parts that every parser of daemon and client needs.  Pure, and independent of the
// locale.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Reads the digits that TEXT begins with, as a number in BASE (2 to 10).  No sign and no blank is taken.
// 0, and *RET_END is the first byte behind the digits; -EINVAL: TEXT begins with no digit; -ERANGE: more than 64 bits.
int digits_parse(const char *text, unsigned base, uint64_t *ret, const char **ret_end);

// True if the whole of TEXT is a number in BASE (2 to 10) of at most MAX.
bool number_parse(const char *text, unsigned base, uint64_t max, uint64_t *ret);

// True if TEXT is the number of a user or group as "+1000".  The highest number is refused: to the kernel it means
// "none".
bool id_parse(const char *text, uint32_t *ret);

// How many of the bytes of TEXT are kept if at most MAX may be, and no UTF-8 character is cut in two.
size_t utf8_cut(const char *text, size_t max);

// The length in bytes of the UTF-8 character that the N bytes begin with, and its code point in *RET.
// 0: there is no character, because N is 0 or because the bytes are not UTF-8 (Unicode 15, table 3-7).
size_t utf8_decode(const void *bytes, size_t n, uint32_t *ret);
