// Rows of text in columns as wide as they need to be.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct table_column {
    const char *title; // NULL in the first column: no line of titles
    bool right;        // numbers
};

struct table {
    const struct table_column *columns;
    size_t n_columns;
    char **cells; // row by row
    size_t n_cells;
    bool failed; // out of memory
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns);
void table_deinit(struct table *t);
// The next cell, from left to right; copied.
void table_add(struct table *t, const char *text);
// 0, or -ENOMEM and nothing was printed.
int table_print(const struct table *t);
