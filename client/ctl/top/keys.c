// Keys: see keys.h.
#include "client/ctl/top/keys.h"

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/top/frame.h"

enum { KEY_ESCAPE = 27, KEY_CONTROL_L = 12 };

int keys_rows(void)
{
    int n = LINES - TOP_HEADER_LINES - 2; // the titles, and the last line

    return n > 0 ? n : 0;
}

void keys_arrange(struct screen *s)
{
    top_arrange(s->sample, s->column, s->reverse, s->filter);
}

static void sort_by(struct screen *s, enum top_column column)
{
    s->column = column;
    s->first = 0;
    keys_arrange(s);
}

static void type(struct screen *s, int key)
{
    size_t n = strlen(s->filter);

    if (key == '\n' || key == KEY_ENTER)
        s->types = false;
    else if (key == KEY_ESCAPE) {
        s->types = false;
        s->filter[0] = '\0';
    } else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && n > 0)
        s->filter[n - 1] = '\0';
    else if (key >= ' ' && key < 127 && n + 1 < FILTER_MAX)
        s->filter[n] = (char)key, s->filter[n + 1] = '\0';
    s->first = 0;
    keys_arrange(s);
}

static void move_by(struct screen *s, long rows)
{
    if (rows < 0 && s->first < (size_t)-rows)
        s->first = 0;
    else
        s->first += (size_t)rows;
}

static void scroll_by_key(struct screen *s, int key)
{
    switch (key) {
    case KEY_DOWN:
        move_by(s, 1);
        break;
    case KEY_UP:
        move_by(s, -1);
        break;
    case KEY_NPAGE:
        move_by(s, keys_rows());
        break;
    case KEY_PPAGE:
        move_by(s, -keys_rows());
        break;
    case KEY_HOME:
        s->first = 0;
        break;
    case KEY_END:
        s->first = s->sample->views[s->view].n_shown;
        break;
    default:
        break;
    }
}

bool keys_take(struct screen *s, int key, bool *ret_look)
{
    static const char sort_keys[] = "bgncwa"; // in the order of enum top_column
    const char *at;

    if (s->types && key != KEY_RESIZE && key != ERR) {
        type(s, key);
        return true;
    }
    at = key > 0 && key < 127 ? strchr(sort_keys, key) : NULL;
    if (at)
        sort_by(s, (enum top_column)(at - sort_keys));
    switch (key) {
    case 'q':
        return false;
    case 'h':
    case '?':
        s->helps = !s->helps;
        break;
    case '\t':
        s->view = s->view == TOP_ACCOUNTS ? TOP_REGIONS : TOP_ACCOUNTS;
        s->first = 0;
        break;
    case 'r':
        s->reverse = !s->reverse;
        keys_arrange(s);
        break;
    case '/':
        s->types = true;
        break;
    case KEY_ESCAPE:
        s->filter[0] = '\0';
        s->helps = false;
        keys_arrange(s);
        break;
    case ' ':
        *ret_look = true;
        break;
    case KEY_CONTROL_L:
        clearok(stdscr, TRUE);
        break;
    default: // KEY_RESIZE: ncurses knows the new size already
        scroll_by_key(s, key);
        break;
    }
    return true;
}
