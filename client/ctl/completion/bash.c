// Completions for bash: see shells.h.
#include "client/ctl/completion/shells.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/completion/words.h"
#include "client/ctl/options.h"

static void print_bash_words(enum word word)
{
    if (word == WORD_PROGRAM)
        fputs("[[ $current == -* ]] || ! declare -F _command_offset >/dev/null || { _command_offset \"$at\"; return; }",
              stdout);
    else if (word == WORD_COMMAND)
        fputs("words=$commands", stdout);
    else if (completion_fixed_words(word))
        printf("words=\"%s\"", completion_fixed_words(word));
    else if (completion_asked_words(word))
        printf("words=$(_diskallocctl_ask %s)", completion_asked_words(word));
    else
        fputs(":", stdout);
}

static void print_bash_command(const struct ctl *ctl, const struct command *c)
{
    printf("    %s)\n        ", c->name);
    if (c->verb) {
        fputs("if [ $n -eq 1 ]; then words=\"", stdout);
        for (const struct command *v = c; v < ctl->commands + ctl->n_commands && strcmp(v->name, c->name) == 0; v++)
            printf("%s%s", v == c ? "" : " ", v->verb);
        fputs("\"; else words=$(_diskallocctl_ask subjects); fi", stdout);
    } else {
        print_bash_words(c->word);
    }
    if (c->options & ~(unsigned)NEEDS_NO_ADDRESS) {
        fputs("\n        options+=\"", stdout);
        completion_print_options(c->options & ~(unsigned)NEEDS_NO_ADDRESS, " ", " ");
        putchar('"');
    }
    puts("\n        ;;");
}

// The options whose argument stands in the next word, and is completed in its own way or not at all.
static void print_bash_arguments(void)
{
    puts("    case $previous in");
    for (size_t i = 0; i < ctl_n_options; i++) {
        const struct ctl_option *o = &ctl_options[i];

        if (!o->argument)
            continue;
        printf("    --%s", o->name);
        if (o->letter)
            printf(" | -%c", o->letter);
        fputs(")\n        ", stdout);
        print_bash_words(o->word);
        puts("\n        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n        return\n        ;;");
    }
    puts("    esac");
}

// The words behind the options that take an argument are not the command.
static void print_takers(void)
{
    const char *separator = "";

    for (size_t i = 0; i < ctl_n_options; i++) {
        const struct ctl_option *o = &ctl_options[i];

        if (!o->argument || strcmp(o->name, "address") == 0 || strcmp(o->name, "instance") == 0)
            continue;
        printf("%s--%s", separator, o->name);
        separator = " | ";
        if (o->letter)
            printf("%s-%c", separator, o->letter);
    }
}

void completion_bash(const struct ctl *ctl)
{
    puts("# Completions of diskallocctl for bash, made by: diskallocctl completion bash\n"
         "# shellcheck shell=bash disable=SC2207\n\n"
         "# Asks the daemon that the command line names.\n"
         "_diskallocctl_ask() {\n"
         "    diskallocctl \"${daemon[@]}\" completion \"$1\" 2>/dev/null\n"
         "}\n\n"
         "_diskallocctl() {\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command='' n=0 i at=1 words='' options daemon=()");
    fputs("    local commands=\"", stdout);
    completion_print_commands(ctl);
    fputs("\"\n    options=\"", stdout);
    completion_print_options(0, "", " ");
    puts("\"\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case ${COMP_WORDS[i]} in\n"
         "        --address | --instance)\n"
         "            # bash takes unix:/PATH for three words\n"
         "            daemon=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i + 1]}\")\n"
         "            if [ \"${COMP_WORDS[i + 2]}\" = : ]; then\n"
         "                daemon=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i + 1]}:${COMP_WORDS[i + 3]}\")\n"
         "                ((i += 2))\n"
         "            fi\n"
         "            ((i++))\n"
         "            ;;");
    fputs("        ", stdout);
    print_takers();
    puts(") ((i++)) ;;\n"
         "        -*) ;;\n"
         "        *)\n"
         "            [ $n -gt 0 ] || command=${COMP_WORDS[i]}\n"
         "            [ $n -ne 1 ] || at=$i\n"
         "            ((n++))\n"
         "            ;;\n"
         "        esac\n"
         "    done\n"
         "    [ $n -gt 1 ] || at=$COMP_CWORD");
    print_bash_arguments();
    puts("    case $command in\n    '')\n        words=$commands\n        ;;");
    for (size_t i = 0; i < ctl->n_commands; i++)
        if (completion_is_first(ctl, &ctl->commands[i]))
            print_bash_command(ctl, &ctl->commands[i]);
    puts("    esac\n"
         "    if [[ $current == -* ]]; then\n"
         "        words=$options\n"
         "    fi\n"
         "    # The colon of user:NAME ends a word for bash: what is before it is there already.\n"
         "    if [ \"$current\" = : ]; then\n"
         "        current=$previous:\n"
         "    elif [ \"$previous\" = : ]; then\n"
         "        current=${COMP_WORDS[COMP_CWORD - 2]}:$current\n"
         "    fi\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
         "        COMPREPLY=(\"${COMPREPLY[@]#\"${current%:*}:\"}\")\n"
         "    fi\n"
         "}\n"
         "complete -F _diskallocctl diskallocctl");
}
