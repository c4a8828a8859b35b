// Completions for fish: see shells.h.
#include "client/ctl/completion/shells.h"

#include <stdio.h>

#include "client/ctl/completion/words.h"
#include "client/ctl/options.h"

static void print_fish_text(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void print_fish_words(const struct ctl *ctl, enum word word)
{
    if (word == WORD_PROGRAM)
        fputs(" -a '(__fish_complete_command)'", stdout);
    else if (word == WORD_COMMAND) {
        fputs(" -a '", stdout);
        completion_print_commands(ctl);
        putchar('\'');
    } else if (completion_fixed_words(word))
        printf(" -a '%s'", completion_fixed_words(word));
    else if (completion_asked_words(word))
        printf(" -a '(diskallocctl completion %s 2>/dev/null)'", completion_asked_words(word));
}

static void print_fish_option(const struct ctl *ctl, const struct ctl_option *o)
{
    const char *separator = "";

    if (!o->what)
        return;
    fputs("complete -c diskallocctl", stdout);
    if (o->bit) {
        fputs(" -n '__fish_seen_subcommand_from ", stdout);
        for (size_t i = 0; i < ctl->n_commands; i++)
            if (ctl->commands[i].options & o->bit) {
                printf("%s%s", separator, ctl->commands[i].name);
                separator = " ";
            }
        putchar('\'');
    }
    printf(" -l %s", o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (o->argument)
        fputs(" -x", stdout);
    print_fish_words(ctl, o->word);
    fputs(" -d ", stdout);
    print_fish_text(o->what);
    putchar('\n');
}

void completion_fish(const struct ctl *ctl)
{
    puts("# Completions of diskallocctl for fish, made by: diskallocctl completion fish\n"
         "complete -c diskallocctl -f");
    for (size_t i = 0; i < ctl->n_commands; i++) {
        const struct command *c = &ctl->commands[i];

        if (completion_is_first(ctl, c)) {
            fputs("complete -c diskallocctl -n __fish_use_subcommand -a ", stdout);
            printf("%s -d ", c->name);
            print_fish_text(c->what);
            putchar('\n');
        }
        if (c->verb)
            printf("complete -c diskallocctl -n '__fish_seen_subcommand_from %s' -a %s\n", c->name, c->verb);
        if (c->word != WORD_NONE) {
            printf("complete -c diskallocctl -n '__fish_seen_subcommand_from %s'", c->verb ? c->verb : c->name);
            print_fish_words(ctl, c->word);
            putchar('\n');
        }
    }
    for (size_t i = 0; i < ctl_n_options; i++)
        print_fish_option(ctl, &ctl_options[i]);
}
