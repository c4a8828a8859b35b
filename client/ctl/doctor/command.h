// Other programs that know something: systemctl, journalctl, diskallocd.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Runs ARGV and keeps what it prints, on standard error too, cut off to N bytes.  The exit status; -1: it can't be run,
// or takes longer than five seconds.
int command_run(const char *const argv[], char *ret, size_t n);
