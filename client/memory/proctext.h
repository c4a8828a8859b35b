// Numbers in the texts of /proc, /sys and control groups.  False, and nothing written: not there, unreadable, not a number.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { PROCTEXT_MAX = 8192 };

// The file of the path DIR NAME (NULL: only DIR), ended by a NUL; what is beyond PROCTEXT_MAX is cut off.
bool proctext_read(char text[static PROCTEXT_MAX], const char *dir, const char *name);
bool proctext_read_number(const char *dir, const char *name, uint64_t *ret);

// Of the line that begins with KEY, colon or blank included.  What is too large for RET is UINT64_MAX.
bool proctext_number(const char *text, const char *key, uint64_t *ret);
