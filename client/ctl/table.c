// Tables of text: see table.h.
#include "client/ctl/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *t, const struct table_column *columns, size_t n_columns)
{
    *t = (struct table){.columns = columns, .n_columns = n_columns};
    for (size_t i = 0; columns[0].title && i < n_columns; i++)
        table_add(t, columns[i].title);
}

void table_deinit(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

void table_add(struct table *t, const char *text)
{
    char *copy = strdup(text);

    // The array is full whenever the number of cells is a power of two, or 0; then its room is doubled.
    if ((t->n_cells & (t->n_cells - 1)) == 0) {
        char **cells = reallocarray(t->cells, t->n_cells ? 2 * t->n_cells : 1, sizeof(char *));

        if (!cells) {
            free(copy);
            t->failed = true;
            return;
        }
        t->cells = cells;
    }
    t->failed |= !copy;
    t->cells[t->n_cells++] = copy;
}

// The columns that TEXT takes on a terminal, one for each character.  The text was escaped, so it is well-formed UTF-8.
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static int column_width(const struct table *t, size_t column)
{
    int widest = 0;

    for (size_t i = column; i < t->n_cells; i += t->n_columns)
        if (width_of(t->cells[i]) > widest)
            widest = width_of(t->cells[i]);
    return widest;
}

static void print_row(const struct table *t, char *const *row, const int *widths)
{
    size_t n = t->n_columns;

    while (n > 1 && !*row[n - 1])
        n--;
    for (size_t i = 0; i < n; i++) {
        int padding = widths[i] - width_of(row[i]);

        if (t->columns[i].right)
            printf("%*s%s", padding, "", row[i]);
        else
            printf("%s%*s", row[i], i + 1 < n ? padding : 0, "");
        fputs(i + 1 < n ? "  " : "\n", stdout);
    }
}

int table_print(const struct table *t)
{
    int *widths = calloc(t->n_columns, sizeof(int));

    if (!widths || t->failed) {
        free(widths);
        return -ENOMEM;
    }
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = column_width(t, i);
    for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
        print_row(t, t->cells + i, widths);
    free(widths);
    return 0;
}
