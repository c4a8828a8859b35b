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

// The text was escaped, so it is well-formed UTF-8, and its only escapes are the colours of bars.
int table_width_of(const char *text)
{
    bool in_escape = false;
    int width = 0;

    for (; *text; text++) {
        in_escape |= *text == '\033';
        width += !in_escape && ((unsigned char)*text & 0xc0) != 0x80;
        in_escape = in_escape && *text != 'm';
    }
    return width;
}

static int column_width(const struct table *t, size_t column)
{
    int widest = 0;

    for (size_t i = column; i < t->n_cells; i += t->n_columns)
        if (table_width_of(t->cells[i]) > widest)
            widest = table_width_of(t->cells[i]);
    return widest;
}

enum { GAP = 2, CUT_LEAST = 8, LEFT_OUT = -1 }; // columns of the terminal; the width of a column that is not printed

static int sum_of(const int *widths, size_t n)
{
    int sum = -GAP;

    for (size_t i = 0; i < n; i++)
        sum += widths[i] > 0 ? widths[i] + GAP : 0;
    return sum;
}

// The column to leave out next; n: there is none.
static size_t to_drop(const struct table *t, const int *widths)
{
    size_t found = t->n_columns;

    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].drop > 0 && widths[i] != LEFT_OUT &&
            (found == t->n_columns || t->columns[i].drop > t->columns[found].drop))
            found = i;
    return found;
}

static void fit(const struct table *t, int *widths, int width)
{
    size_t n = t->n_columns, column;

    while (sum_of(widths, n) > width && (column = to_drop(t, widths)) < n)
        widths[column] = LEFT_OUT;
    for (size_t i = 0; i < n; i++) {
        int too_much = sum_of(widths, n) - width;

        if (t->columns[i].cut && too_much > 0)
            widths[i] = widths[i] - too_much > CUT_LEAST ? widths[i] - too_much
                        : widths[i] < CUT_LEAST          ? widths[i]
                                                         : CUT_LEAST;
    }
}

static void print_cut(const char *text, int width)
{
    for (int n = 0; *text && n < width - 1;) {
        putchar(*text++);
        while (((unsigned char)*text & 0xc0) == 0x80)
            putchar(*text++);
        n++;
    }
    putchar('~');
}

static void print_cell(const struct table *t, size_t column, const char *text, int width, bool is_last)
{
    int padding = width - table_width_of(text);

    if (padding < 0)
        print_cut(text, width);
    else if (t->columns[column].right)
        printf("%*s%s", padding, "", text);
    else
        printf("%s%*s", text, is_last ? 0 : padding, "");
}

static void print_row(const struct table *t, char *const *row, const int *widths)
{
    size_t n = t->n_columns;
    bool begun = false;

    while (n > 1 && (!*row[n - 1] || widths[n - 1] == LEFT_OUT))
        n--;
    for (size_t i = 0; i < n; i++) {
        if (widths[i] == LEFT_OUT)
            continue;
        if (begun)
            printf("%*s", GAP, "");
        print_cell(t, i, row[i], widths[i], i + 1 == n);
        begun = true;
    }
    putchar('\n');
}

int table_print(const struct table *t, int width)
{
    int *widths = calloc(t->n_columns, sizeof(int));

    if (!widths || t->failed) {
        free(widths);
        return -ENOMEM;
    }
    for (size_t i = 0; i < t->n_columns; i++)
        widths[i] = column_width(t, i);
    if (width > 0)
        fit(t, widths, width);
    for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
        print_row(t, t->cells + i, widths);
    free(widths);
    return 0;
}
