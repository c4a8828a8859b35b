// How diskallocctl is used, from its tables: see help.h.
#include "client/ctl/help.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/options.h"
#include "client/ctl/text.h"
#include "proto/version.h"

enum { COLUMN = 34 }; // where the explanations begin

static void print_row(const char *left, const char *what)
{
    if (strlen(left) + 2 < COLUMN)
        printf("  %-*s%s\n", COLUMN - 2, left, what);
    else
        printf("  %s\n%*s%s\n", left, COLUMN, "", what);
}

static void print_option(const struct ctl_option *o)
{
    char left[128];

    if (!o->what)
        return;
    snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? ", " : "  ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    print_row(left, o->what);
}

static void print_words(void)
{
    puts("\nSUBJECT: total, default, unlisted, user:NAME, members:GROUP (the default of each member), group:GROUP (the "
         "sum of the members), cgroup:PATH (the sum of the programs below a control group).\n"
         "KEY: bytes, regions, connections, region_bytes, warn_at, soft_bytes, grace.\n"
         "VALUE: 50G, 80%, 1000, 7d, unlimited.");
}

static int print_all(const struct command *commands, size_t n)
{
    puts("Usage: diskallocctl [--address ADDR | --instance NAME] [--json] COMMAND\n\nCommands:");
    for (size_t i = 0; i < n; i++)
        print_row(commands[i].synopsis, commands[i].what);
    puts("\nOptions, before the command or behind it:");
    for (size_t i = 0; i < ctl_n_options; i++)
        print_option(&ctl_options[i]);
    print_words();
    puts("Without --address and --instance, the daemon is that of $DISKALLOC_ADDRESS, else unix:" DEFAULT_SOCKET ".\n"
         "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon answers;\n"
         "of check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; of doctor: 1 something is wrong.\n"
         "More: man diskallocctl");
    return EXIT_DONE;
}

static void print_command(const struct command *c)
{
    printf("Usage: diskallocctl %s\n%s\n", c->synopsis, c->what);
    for (size_t i = 0; i < ctl_n_options; i++)
        if (ctl_options[i].bit & c->options)
            print_option(&ctl_options[i]);
}

static bool is_meant(const struct command *c, const char *name, const char *verb)
{
    return strcmp(c->name, name) == 0 && (!verb || (c->verb && strcmp(c->verb, verb) == 0));
}

int help_print(const struct command *commands, size_t n, const char *command, const char *verb)
{
    char name[TEXT_MAX], second[TEXT_MAX];
    bool found = false;

    if (!command)
        return print_all(commands, n);
    for (size_t i = 0; i < n; i++) {
        if (!is_meant(&commands[i], command, verb))
            continue;
        print_command(&commands[i]);
        found = true;
    }
    if (found)
        return EXIT_DONE;
    ctl_complain("%s%s%s is not a command; see --help", text_escape(command, strlen(command), name), verb ? " " : "",
                 verb ? text_escape(verb, strlen(verb), second) : "");
    return EXIT_USAGE;
}

int help_print_version(void)
{
    puts("diskallocctl " DISKALLOC_VERSION);
    return EXIT_DONE;
}
