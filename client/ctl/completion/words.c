// The words of the command line: see words.h.
#include "client/ctl/completion/words.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/options.h"

bool completion_is_first(const struct ctl *ctl, const struct command *c)
{
    return c == ctl->commands || strcmp(c[-1].name, c->name) != 0;
}

const char *completion_fixed_words(enum word word)
{
    switch (word) {
    case WORD_SHELL:
        return "bash zsh fish";
    case WORD_COLUMN:
        return "bytes rate regions connections waiting name";
    default:
        return NULL;
    }
}

const char *completion_asked_words(enum word word)
{
    switch (word) {
    case WORD_REGION:
        return "regions";
    case WORD_SUBJECT:
        return "subjects";
    case WORD_USER:
        return "users";
    default:
        return NULL;
    }
}

void completion_print_commands(const struct ctl *ctl)
{
    const char *separator = "";

    for (size_t i = 0; i < ctl->n_commands; i++)
        if (completion_is_first(ctl, &ctl->commands[i])) {
            printf("%s%s", separator, ctl->commands[i].name);
            separator = " ";
        }
}

void completion_print_options(unsigned bits, const char *before, const char *separator)
{
    for (size_t i = 0; i < ctl_n_options; i++) {
        const struct ctl_option *o = &ctl_options[i];

        if (o->what && (bits ? (o->bit & bits) != 0 : o->bit == 0)) {
            printf("%s--%s", before, o->name);
            before = separator;
        }
    }
}
