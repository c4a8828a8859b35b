// The texts that --help, --version and `diskallocctl help` print.
#pragma once
#include "client/ctl/ctl.h"

// The whole; or, with COMMAND, what concerns the commands of that name; with VERB, which may be NULL, only that one of
// them.  EXIT_USAGE if there is none.
int help_print(const struct command *commands, size_t n, const char *command, const char *verb);
int help_print_version(void);
