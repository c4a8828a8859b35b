// A table of text, whose columns are as wide as their longest cell.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct table_column {
    const char *title; // NULL in the first column: the table has no line of titles
    bool right;        // align to the right, as numbers are
    // Where the terminal is too narrow: columns with a number are left out, the highest number first; then the cells of
    // a column with CUT are cut off.
    int drop;
    bool cut;
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
// Prints the table, on a terminal of WIDTH columns; WIDTH 0: as wide as it is.  0, or -ENOMEM and nothing was printed.
int table_print(const struct table *t, int width);
// The columns that TEXT takes on a terminal, one for each character.  Escapes that set a colour take none.
int table_width_of(const char *text);
