// What the preload library says, on the program's standard error.  Nothing here allocates.
#pragma once

// "diskalloc: PROGRAM[PID]: " and the text, in one write.  errno is kept.
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);
__attribute__((format(printf, 1, 2), noreturn)) void log_and_abort(const char *format, ...);
// Keeps a descriptor of standard error for log_at_end: some programs close it before they end.
void log_keep(void);
// As log_line, to that descriptor if it is still there.
__attribute__((format(printf, 1, 2))) void log_at_end(const char *format, ...);
