// The options of diskallocctl, in one table: the command line is read by it, and --help and the completions of shells
// are made from it.
#pragma once
#include <stddef.h>

#include "client/ctl/ctl.h"

// The command line, before the command is known.
struct parsed {
    const char *address, *instance;
    unsigned options;                                                // enum command_option bits that were given
    enum { INSTEAD_NOTHING, INSTEAD_HELP, INSTEAD_VERSION } instead; // of a command
    char **words; // the words that are no options: the command and its arguments
    int n_words;
    bool wrong; // an option is wrong; there was a complaint
};

struct ctl_option {
    const char *name;
    char letter;          // '\0': it has none
    const char *argument; // "SIZE"; NULL: it takes none
    unsigned bit;         // the enum command_option that it is; 0: every command takes it
    enum word word;       // what its argument is
    const char *what;     // NULL: another spelling of the option before it, which is not shown
};

extern const struct ctl_option ctl_options[];
extern const size_t ctl_n_options;

// Options may stand anywhere.  All words are read even if an option is wrong: if the command turns out to be `check`,
// the exit status is another.  PARSED->words has room for all words.
void options_parse(struct ctl *ctl, struct parsed *p, int argc, char **argv);
