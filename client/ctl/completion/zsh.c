// Completions for zsh: see shells.h.
#include "client/ctl/completion/shells.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/completion/words.h"
#include "client/ctl/options.h"

// A text inside apostrophes and brackets.
static void print_zsh_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
}

static void print_zsh_action(enum word word)
{
    if (word == WORD_PROGRAM)
        fputs("program:_command_names -e", stdout);
    else if (word == WORD_COMMAND)
        fputs("command:($commands)", stdout);
    else if (completion_fixed_words(word))
        printf("word:(%s)", completion_fixed_words(word));
    else if (completion_asked_words(word))
        printf("%s:{ _diskallocctl_ask %s }", completion_asked_words(word), completion_asked_words(word));
    else
        fputs("value: ", stdout);
}

static void print_zsh_option(const struct ctl_option *o)
{
    if (!o->what)
        return;
    fputs(" \\\n            '", stdout);
    if (o->letter)
        printf("(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    else
        printf("--%s", o->name);
    putchar('[');
    print_zsh_text(o->what);
    putchar(']');
    if (o->argument) {
        putchar(':');
        print_zsh_action(o->word);
    }
    putchar('\'');
}

static void print_zsh_command(const struct ctl *ctl, const struct command *c)
{
    printf("    %s)\n        _arguments", c->name);
    for (size_t i = 0; i < ctl_n_options; i++)
        if (ctl_options[i].bit == 0 || ctl_options[i].bit & c->options)
            print_zsh_option(&ctl_options[i]);
    if (c->verb) {
        fputs(" \\\n            '1:verb:(", stdout);
        for (const struct command *v = c; v < ctl->commands + ctl->n_commands && strcmp(v->name, c->name) == 0; v++)
            printf("%s%s", v == c ? "" : " ", v->verb);
        fputs(")' \\\n            '*:subjects:{ _diskallocctl_ask subjects }'", stdout);
    } else if (c->max_args > 0) {
        printf(" \\\n            '%s", c->max_args > 1 ? "*:" : "1:");
        print_zsh_action(c->word);
        putchar('\'');
    }
    puts("\n        ;;");
}

void completion_zsh(const struct ctl *ctl)
{
    puts("#compdef diskallocctl\n"
         "# Completions of diskallocctl for zsh, made by: diskallocctl completion zsh\n\n"
         "_diskallocctl_ask() {\n"
         "    local -a found\n"
         "    found=(${(f)\"$(diskallocctl completion $1 2>/dev/null)\"})\n"
         "    compadd -a found\n"
         "}\n\n"
         "local command");
    puts("local -a commands");
    fputs("commands=(", stdout);
    completion_print_commands(ctl);
    puts(")\nlocal i\ncommand=\n"
         "for ((i = 2; i < CURRENT; i++)); do\n"
         "    if (( ${commands[(Ie)${words[i]}]} )); then\n"
         "        command=${words[i]}\n"
         "        words=(diskallocctl ${words[i+1,-1]})\n"
         "        (( CURRENT -= i - 1 ))\n"
         "        break\n"
         "    fi\n"
         "done\n"
         "case $command in\n"
         "    '')");
    fputs("        _arguments", stdout);
    for (size_t i = 0; i < ctl_n_options; i++)
        if (ctl_options[i].bit == 0)
            print_zsh_option(&ctl_options[i]);
    fputs(" \\\n            '1:command:((", stdout);
    for (size_t i = 0; i < ctl->n_commands; i++)
        if (completion_is_first(ctl, &ctl->commands[i])) {
            printf(" %s\\:\"", ctl->commands[i].name);
            print_zsh_text(ctl->commands[i].what);
            putchar('"');
        }
    puts("))'\n        ;;");
    for (size_t i = 0; i < ctl->n_commands; i++)
        if (completion_is_first(ctl, &ctl->commands[i]))
            print_zsh_command(ctl, &ctl->commands[i]);
    puts("esac");
}
