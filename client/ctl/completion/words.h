// The words of the command line, from the tables of commands and options, as the completions of all shells need them.
#pragma once
#include "client/ctl/ctl.h"

// Whether C is the first row of its command: `quota list`, `quota set` and `quota unset` are rows of one command.
bool completion_is_first(const struct ctl *ctl, const struct command *c);
// The words that fit in the place of an argument and are always the same; NULL: there are none.
const char *completion_fixed_words(enum word word);
// The argument of `diskallocctl completion` that prints the words; NULL: there is none.
const char *completion_asked_words(enum word word);
void completion_print_commands(const struct ctl *ctl); // with a space between two
// The options that every command takes if BITS is 0, else those of the bits: BEFORE stands before the first one.
void completion_print_options(unsigned bits, const char *before, const char *separator);
