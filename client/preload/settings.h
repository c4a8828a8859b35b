// What `diskallocctl run` asks for, as it comes to the program: in one variable of the environment.  Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_VARIABLE "DISKALLOC_PRELOAD"

enum {
    SETTINGS_ADDRESS_MAX = 512, // bytes, with the NUL
    SETTINGS_TEXT_MAX = SETTINGS_ADDRESS_MAX + 160,
};
#define SETTINGS_THRESHOLD ((uint64_t)32 << 20) // the default
#define SETTINGS_THRESHOLD_MIN ((uint64_t)64 << 10)

struct settings {
    uint64_t threshold;                 // bytes: blocks of that size and more go to the disk
    uint64_t limit;                     // bytes that a process may have on disk; UINT64_MAX: no limit
    bool all;                           // small blocks too
    bool strict;                        // a refusal is the program's
    bool report;                        // at the end
    char address[SETTINGS_ADDRESS_MAX]; // "": the library's default
};

void settings_default(struct settings *s);
// "threshold=N limit=N all strict report address=ADDRESS": each of them may be missing, and the address is the rest of
// the text.  False: TEXT is not like that; S is then as far as it was read.
bool settings_parse(struct settings *s, const char *text);
// Writes TEXT so that settings_parse reads it.
void settings_format(const struct settings *s, char text[static SETTINGS_TEXT_MAX]);
