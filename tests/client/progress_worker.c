// Work of which a test chooses how long each step takes: the clock is this program's own.
//
//     progress-worker TOTAL HOW MILLISECONDS:DONE...
//
// HOW: "ends"; "fails", with a complaint; "waits" for a signal behind the last step; or "ignores", the same with SIGINT
// ignored before.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/progress.h"
#include "proto/util/clock.h"

static uint64_t now_us = 1000000;

uint64_t clock_now_us(void)
{
    return now_us;
}

int main(int argc, char **argv)
{
    struct progress p;

    if (argc < 3)
        return 2;
    if (strcmp(argv[2], "ignores") == 0)
        signal(SIGINT, SIG_IGN);
    progress_begin(&p, "working", strtoull(argv[1], NULL, 10));
    for (int i = 3; i < argc; i++) {
        char *end;

        now_us += 1000 * strtoull(argv[i], &end, 10);
        progress_show(&p, strtoull(end + 1, NULL, 10));
    }
    if (strcmp(argv[2], "waits") == 0 || strcmp(argv[2], "ignores") == 0) {
        puts("waiting");
        fflush(stdout);
        getchar();
    }
    progress_end(&p);
    progress_end(&p);
    if (strcmp(argv[2], "fails") == 0)
        fputs("it failed\n", stderr);
    return 0;
}
