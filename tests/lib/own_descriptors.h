// Descriptors of a program's own, which the library must leave as they are.  For children: failures end the process.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { NUMBERS = 60, OWN_BYTES = 10000 };

enum kind { NOTHING, FILES, OBJECTS, SAME_DIRECTORY };

struct own {
    enum kind kind;
    int fd[NUMBERS];
    struct stat st[NUMBERS];
    uint8_t bytes[NUMBERS][OWN_BYTES];
    size_t n;
};

// Closes all descriptors from 3 on, and opens those of KIND on these numbers.  DIR: for files.
void own_open(struct own *o, enum kind kind, const char *dir);
// They are all as they were.
void own_check(const struct own *o);
