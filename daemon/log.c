#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_LENGTH = 2048 };

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX_LENGTH];
    int at = 0, n;
    va_list args;

    if (getenv("JOURNAL_STREAM"))
        at = snprintf(line, sizeof line, "<%d>", (int)level);
    va_start(args, format);
    n = vsnprintf(line + at, sizeof line - (size_t)at - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    at += n;
    if (at > (int)sizeof line - 2)
        at = (int)sizeof line - 2;
    // What peers or files say may be in it: one line stays one line.
    for (int i = 0; i < at; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[at] = '\n';
    // One write, so that lines of several threads do not mix. There is nobody to tell when it fails.
    if (write(STDERR_FILENO, line, (size_t)at + 1) < 0)
        return;
}
