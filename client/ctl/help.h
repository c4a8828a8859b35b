// The texts that --help, --version and `diskallocctl help` print.
#pragma once
#include "client/ctl/ctl.h"

// The whole; or, with COMMAND, what concerns that command: EXIT_USAGE if there is none of that name.
int help_print(const struct command *commands, size_t n, const char *command);
int help_print_version(void);
