// See progress.h.
#include "client/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/util/clock.h"
#include "proto/util/size.h"

#define SECOND_US UINT64_C(1000000)

enum {
    INTERVAL_US = 100 * 1000,
    PLAIN_INTERVAL_US = 5 * 1000 * 1000,
    RATE_US = 3 * 1000 * 1000, // the rate is that of about so long
    TEXT_MAX = 256,
    DEFAULT_WIDTH = 80,
};

static const int ending_signals[] = {SIGINT, SIGQUIT, SIGTERM};
static volatile sig_atomic_t line_is_open; // the cursor stands behind a line that has no end yet

// The action is the default one again by then (SA_RESETHAND), and the signal arrives when this function returns.
static void end_line_and_program(int signal)
{
    if (line_is_open && write(STDERR_FILENO, "\n", 1) < 0)
        line_is_open = 0;
    raise(signal);
}

// Sets the action TO where it is FROM: an action that the program has chosen stays.
static void change_actions(void (*from)(int), void (*to)(int))
{
    struct sigaction action = {.sa_handler = to, .sa_flags = (int)SA_RESETHAND}, now;

    for (size_t i = 0; i < sizeof(ending_signals) / sizeof(ending_signals[0]); i++)
        if (sigaction(ending_signals[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == from)
            sigaction(ending_signals[i], &action, NULL);
}

static bool is_plain(void)
{
    const char *term = getenv("TERM");

    return !term || !*term || strcmp(term, "dumb") == 0;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
    *p = (struct progress){.what = what, .total = total, .next_us = UINT64_MAX};
    if (!isatty(STDERR_FILENO))
        return;
    p->plain = is_plain();
    p->begun_us = p->last_us = clock_now_us();
    p->next_us = p->begun_us + (p->plain ? PLAIN_INTERVAL_US : INTERVAL_US);
    change_actions(SIG_DFL, end_line_and_program);
}

static void format_duration(double seconds, char ret[static TEXT_MAX])
{
    if (seconds < 10)
        snprintf(ret, TEXT_MAX, "%.1f s", seconds);
    else if (seconds < 100)
        snprintf(ret, TEXT_MAX, "%.0f s", seconds);
    else if (seconds < 100 * 60)
        snprintf(ret, TEXT_MAX, "%.0f min", seconds / 60);
    else
        snprintf(ret, TEXT_MAX, "%.0f h", seconds / 3600);
}

// "sorting: 4.0G of 9.1G, 43%"; without a total, "sorting: 4.0G".
static int format_done(const struct progress *p, char ret[static TEXT_MAX])
{
    double percent = p->done < p->total ? 100.0 * (double)p->done / (double)p->total : 100;
    char done[SIZE_TEXT_MAX], total[SIZE_TEXT_MAX];

    size_format(p->done, done);
    if (p->total == 0)
        return snprintf(ret, TEXT_MAX, "%s: %s", p->what, done);
    return snprintf(ret, TEXT_MAX, "%s: %s of %s, %.0f%%", p->what, done, size_format(p->total, total), percent);
}

// The text of a line while the work goes on.
static void format_line(const struct progress *p, char ret[static TEXT_MAX])
{
    char rate[SIZE_TEXT_MAX], left[TEXT_MAX];
    int n = format_done(p, ret);

    if (p->rate < 1 || n >= TEXT_MAX)
        return;
    n += snprintf(ret + n, (size_t)(TEXT_MAX - n), ", %s/s", size_format((uint64_t)p->rate, rate));
    if (p->total == 0 || n >= TEXT_MAX)
        return;
    format_duration((double)(p->total > p->done ? p->total - p->done : 0) / p->rate, left);
    snprintf(ret + n, (size_t)(TEXT_MAX - n), ", %s left", left);
}

// The last column stays free: there, some terminals begin a new line.
static int width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return DEFAULT_WIDTH - 1;
    return size.ws_col - 1;
}

// In the place of the line before.  The program's errno stays.
static void print(struct progress *p, const char *text, bool last)
{
    int e = errno;

    line_is_open = !p->plain; // from before it is written: a signal may come meanwhile
    if (p->plain)
        dprintf(STDERR_FILENO, "%s\n", text);
    else
        dprintf(STDERR_FILENO, "\r%.*s\033[K%s", width(), text, last ? "\n" : "");
    if (last)
        line_is_open = 0;
    p->shown = true;
    errno = e;
}

// The rate follows the work: what is long past counts less and less.
static void measure(struct progress *p, uint64_t now)
{
    double passed = (double)(now - p->last_us), weight = passed / (passed + RATE_US);
    double rate = p->done > p->measured ? (double)(p->done - p->measured) * (double)SECOND_US / passed : 0;

    p->rate = p->shown ? p->rate + (rate - p->rate) * weight : rate;
    p->measured = p->done;
    p->last_us = now;
}

void progress_show(struct progress *p, uint64_t done)
{
    char text[TEXT_MAX];
    uint64_t now;

    p->done = done;
    if (p->next_us == UINT64_MAX)
        return;
    now = clock_now_us();
    if (now < p->next_us)
        return;
    measure(p, now);
    format_line(p, text);
    print(p, text, false);
    p->next_us = now + (p->plain ? PLAIN_INTERVAL_US : INTERVAL_US);
}

void progress_end(struct progress *p)
{
    char text[TEXT_MAX], took[TEXT_MAX];
    int n;

    if (p->next_us == UINT64_MAX)
        return;
    p->next_us = UINT64_MAX;
    if (p->shown) {
        n = format_done(p, text);
        format_duration((double)(clock_now_us() - p->begun_us) / (double)SECOND_US, took);
        if (n < TEXT_MAX)
            snprintf(text + n, (size_t)(TEXT_MAX - n), ", in %s", took);
        print(p, text, true);
    }
    change_actions(end_line_and_program, SIG_DFL);
}
