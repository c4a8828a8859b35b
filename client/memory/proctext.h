// Numbers in the texts of /proc, /sys and control groups.  All functions return false, and write nothing, if there is
// no file, no such line or no number.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { PROCTEXT_MAX = 8192 };

// Reads the file whose path is DIR followed by NAME (NULL: DIR alone).  The text ends in a NUL; bytes beyond
// PROCTEXT_MAX are cut off.
bool proctext_read(char text[static PROCTEXT_MAX], const char *dir, const char *name);
bool proctext_read_number(const char *dir, const char *name, uint64_t *ret);

// The number of the line that begins with KEY, which includes the colon or blank.  A number that does not fit is
// UINT64_MAX.
bool proctext_number(const char *text, const char *key, uint64_t *ret);
