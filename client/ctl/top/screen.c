// `top` on a terminal: see screen.h.
//
// The screen is made anew for each frame: a header, a line of titles, the rows of one view, and at the bottom the keys
// or the filter that is being typed.  ncurses sends the terminal what has changed.  Between two samples the command
// waits for a key.  A sample that took long is followed by a longer pause, so that a daemon with very many regions is
// not asked all the time.
#include "client/ctl/top/screen.h"

#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "client/ctl/text.h"
#include "client/ctl/top/frame.h"
#include "client/ctl/top/keys.h"
#include "proto/util/clock.h"

enum { PAUSES = 4 }; // of the time between two samples, at most a fourth goes into asking

static const char *const help[] = {
    "Tab    accounts, regions",
    "b g n c w a   sort by bytes, growth, regions, connections, waiting, name",
    "r      reverse the order",
    "/      show only what has a text in its name or owner; Escape: all again",
    "arrows, Page Up, Page Down, Home, End   move",
    "space  look at once",
    "q      end",
    "",
    "GROWS is the change of BYTES a second since the frame before.  RESIDENT and DIRTY, how much of a",
    "region is in memory and not yet on the disk, are shown to root on Linux 6.5 and later.",
};

// The last page is full, if there are so many rows.
static void clamp(struct screen *s)
{
    size_t n = s->sample->views[s->view].n_shown, page = (size_t)keys_rows();

    if (s->first + page > n)
        s->first = n > page ? n - page : 0;
}

static void draw_line(int y, const char *text)
{
    if (y < LINES)
        mvaddnstr(y, 0, text, COLS);
}

// Columns of numbers stand at the right; the name has what is left of the width.
struct cells {
    const char *name;
    char texts[6][TEXT_MAX];
    int widths[6];
    int n;
};

static void add_cell(struct cells *c, int width, const char *text)
{
    snprintf(c->texts[c->n], TEXT_MAX, "%s", text);
    c->widths[c->n++] = width;
}

static void draw_cells(int y, const struct cells *c)
{
    int left = COLS, n = 0;

    // As many columns as leave the name sixteen; BYTES and GROWS come first.
    while (n < c->n && left - c->widths[n] >= 16)
        left -= c->widths[n++];
    mvaddnstr(y, 0, c->name, left - 1);
    for (int i = 0, x = left; i < n; x += c->widths[i++])
        mvprintw(y, x, "%*.*s", c->widths[i], c->widths[i] - 1, c->texts[i]);
}

static void fill_titles(const struct screen *s, struct cells *c)
{
    c->name = s->view == TOP_ACCOUNTS ? "SUBJECT" : "REGION";
    add_cell(c, 9, "BYTES");
    add_cell(c, 11, "GROWS");
    if (s->view == TOP_ACCOUNTS) {
        add_cell(c, 11, "LIMIT");
        add_cell(c, 9, "REGIONS");
        add_cell(c, 9, "WAITING");
        add_cell(c, 11, "CONNECTED");
    } else {
        add_cell(c, 14, "OWNER");
        add_cell(c, 10, "RESIDENT");
        add_cell(c, 9, "DIRTY");
        add_cell(c, 10, "STATE");
    }
}

static const char *known_size(uint64_t bytes, char ret[static TEXT_MAX])
{
    return bytes == UINT64_MAX ? strcpy(ret, "-") : text_size(bytes, true, ret);
}

static void fill_row(const struct screen *s, const struct top_row *row, struct cells *c)
{
    char text[TEXT_MAX];

    c->name = row->name;
    add_cell(c, 9, text_size(row->bytes, true, text));
    add_cell(c, 11, top_rate_text(row->rate, text));
    if (s->view == TOP_ACCOUNTS) {
        add_cell(c, 11, text_size(row->limit, true, text));
        add_cell(c, 9, text_count(row->regions, text));
        add_cell(c, 9, text_count(row->waiters, text));
        add_cell(c, 11, text_count(row->connections, text));
    } else {
        add_cell(c, 14, row->owner ? row->owner : "");
        add_cell(c, 10, known_size(row->resident, text));
        add_cell(c, 9, known_size(row->dirty, text));
        add_cell(c, 10, row->state);
    }
}

static void draw_rows(struct screen *s)
{
    const struct top_rows *rows = &s->sample->views[s->view];
    size_t page = (size_t)keys_rows();

    clamp(s);
    if (s->view == TOP_REGIONS)
        top_look(s->sample, s->first, page);
    for (size_t i = 0; i < page && s->first + i < rows->n_shown; i++) {
        struct cells c = {.n = 0};

        fill_row(s, &rows->rows[s->first + i], &c);
        draw_cells((int)i + TOP_HEADER_LINES + 1, &c);
    }
}

static void draw_titles(const struct screen *s)
{
    struct cells c = {.n = 0};

    if (LINES <= TOP_HEADER_LINES)
        return;
    attron(A_REVERSE);
    mvhline(TOP_HEADER_LINES, 0, ' ', COLS);
    fill_titles(s, &c);
    draw_cells(TOP_HEADER_LINES, &c);
    attroff(A_REVERSE);
}

static void draw_bottom(const struct screen *s)
{
    const struct top_rows *rows = &s->sample->views[s->view];
    char line[2 * TEXT_MAX];

    if (s->types)
        snprintf(line, sizeof(line), "show only: %s_", s->filter);
    else if (*s->trouble)
        snprintf(line, sizeof(line), "%s", s->trouble);
    else
        snprintf(line, sizeof(line), "%zu of %zu by %s%s%s  Tab view  / filter  h help  q quit", rows->n_shown, rows->n,
                 top_column_name(s->column), *s->filter ? ", with " : "", s->filter);
    draw_line(LINES - 1, line);
}

static void draw(struct screen *s)
{
    char header[TOP_HEADER_LINES][TOP_LINE_MAX];

    erase();
    top_header(s->ctl, s->sample, header);
    for (int i = 0; i < TOP_HEADER_LINES; i++)
        draw_line(i, header[i]);
    draw_titles(s);
    if (s->helps)
        for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i++)
            draw_line((int)i + TOP_HEADER_LINES + 1, help[i]);
    else
        draw_rows(s);
    draw_bottom(s);
    refresh();
}

// A daemon that is started anew is asked again: the screen goes on.
static void take_sample(struct screen *s)
{
    if (top_take(s->ctl, s->sample) == EXIT_DONE) {
        s->trouble[0] = '\0';
        keys_arrange(s);
        return;
    }
    snprintf(s->trouble, sizeof(s->trouble), "%.1000s", ctl_last_complaint());
    session_close(&s->ctl->session);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void loop(struct screen *s)
{
    bool goes_on = true;

    while (goes_on && !interrupted) {
        uint64_t pause = s->sample->took_ms * PAUSES;
        uint64_t due = clock_now() + (pause > s->delay_ms ? pause : s->delay_ms);
        bool look = false;

        while (goes_on && !look && !interrupted && clock_left(due) > 0) {
            draw(s);
            timeout((int)clock_left(due));
            goes_on = keys_take(s, getch(), &look);
        }
        if (goes_on && !interrupted)
            take_sample(s);
    }
}

// newterm would tell too, and leak memory if there is no such terminal.
static bool is_known_terminal(void)
{
    int found;

    if (setupterm(NULL, STDOUT_FILENO, &found) == ERR)
        return false;
    del_curterm(cur_term);
    return true;
}

static void leave_locale(locale_t locale)
{
    uselocale(LC_GLOBAL_LOCALE);
    if (locale)
        freelocale(locale);
}

int top_screen_run(struct ctl *ctl, struct top_sample *sample, enum top_column column, int delay_seconds)
{
    struct screen s = {.ctl = ctl, .sample = sample, .column = column, .delay_ms = (uint64_t)delay_seconds * 1000};
    struct sigaction action = {.sa_handler = on_signal};
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0); // names may have letters beyond ASCII
    SCREEN *screen;

    if (locale)
        uselocale(locale);
    screen = is_known_terminal() ? newterm(NULL, stdout, stdin) : NULL;
    if (!screen) {
        leave_locale(locale);
        return -1;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    ctl_complain_silently(true);
    keys_arrange(&s);
    loop(&s);
    ctl_complain_silently(false);
    endwin();
    delscreen(screen);
    leave_locale(locale);
    return EXIT_DONE;
}
