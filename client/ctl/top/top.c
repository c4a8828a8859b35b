// `diskallocctl top`: users, groups and regions by what they use and how fast they grow.  On the whole screen; as one
// frame of text with --once, and where there is no terminal that could be drawn on.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/text.h"
#include "client/ctl/top/frame.h"
#include "client/ctl/top/screen.h"

enum { DELAY_SECONDS = 2 };

static int print_once(struct ctl *ctl, struct top_sample *sample, enum top_column column)
{
    const struct timespec pause = {.tv_sec = ctl->delay_seconds};
    int status = EXIT_DONE;

    // How fast something grows is known after a second sample only, which --delay asks for.
    if (ctl->delay_seconds > 0) {
        nanosleep(&pause, NULL);
        status = top_take(ctl, sample);
    }
    if (status != EXIT_DONE)
        return status;
    top_arrange(sample, column, false, NULL);
    return ctl->json ? top_print_json(sample) : top_print(ctl, sample);
}

static bool is_dumb(const char *term)
{
    return !term || !*term || strcmp(term, "dumb") == 0;
}

static int show(struct ctl *ctl, struct top_sample *sample, enum top_column column)
{
    const char *term = getenv("TERM");
    char text[TEXT_MAX];
    int status = -1;

    if (ctl->once || ctl->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return print_once(ctl, sample, column);
    if (!is_dumb(term))
        status = top_screen_run(ctl, sample, column, ctl->delay_seconds ? ctl->delay_seconds : DELAY_SECONDS);
    if (status >= 0)
        return status;
    ctl_complain("this terminal can't be drawn on (TERM is %s), so one frame is printed, as with --once",
                 term && *term ? text_escape(term, strlen(term), text) : "not set");
    return print_once(ctl, sample, column);
}

int top_run(struct ctl *ctl)
{
    enum top_column column = ctl->sort ? top_find_column(ctl->sort) : TOP_BYTES;
    struct top_sample sample = {0};
    char text[TEXT_MAX];
    int status;

    if (column == TOP_COLUMN_N) {
        ctl_complain("--sort is %s; it takes bytes, rate, regions, connections, waiting or name",
                     text_escape(ctl->sort, strlen(ctl->sort), text));
        return EXIT_USAGE;
    }
    status = top_take(ctl, &sample);
    if (status == EXIT_DONE)
        status = show(ctl, &sample, column);
    top_sample_deinit(&sample);
    return status;
}
