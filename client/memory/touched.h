// Which pages of its memory this process has touched, as its page table tells.  See the essay in touched.c.
#pragma once
#include <stdbool.h>

struct touched {
    int fd; // owned; -1: none
};

// False: the kernel does not tell this process.
bool touched_open(struct touched *t);
void touched_close(struct touched *t);
// True if the page at ADDRESS is in the page table.
bool touched_look(const struct touched *t, const void *address);
