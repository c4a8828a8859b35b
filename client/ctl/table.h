// A table of text, whose columns are as wide as their longest cell.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct table_column {
    const char *title; // NULL in the first column: the table has no line of titles
    bool right;        // align to the right, as numbers are
};

struct table {
    const struct table_column *columns;
    size_t n_columns;
    char **cells; // row by row, the line of titles first; strings that the table owns
    size_t n_cells;
    bool failed; // memory ran out, and cells are missing
};

void table_init(struct table *t, const struct table_column *columns, size_t n_columns);
void table_deinit(struct table *t);
// Adds a copy of TEXT as the next cell, from left to right.
void table_add(struct table *t, const char *text);
// Prints the table: 0, or -ENOMEM and nothing was printed.
int table_print(const struct table *t);
