// diskallocctl: shows what a daemon holds and for whom, and administers it.  This file reads the command line, finds
// the command and runs it.  Each command has a file of its own name.
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"
#include "proto/version.h"

static const struct command commands[] = {
    {"status", NULL, status_run, 0, 0, 0, "status", "the daemon, its disks, and the usage of all users together"},
    {"usage", NULL, usage_run, 0, 1, 0, "usage [SUBJECT]",
     "the usage of total, unlisted, user:NAME, group:NAME or cgroup:PATH; without SUBJECT, your own"},
    {"regions", NULL, regions_run, 0, 0, OPTION_USER, "regions [--user USER]", "the regions that you may see"},
    {"quota", "list", quota_list_run, 0, 0, 0, "quota list", "the limits, and where each comes from"},
    {"quota", "set", quota_set_run, 2, INT_MAX, 0, "quota set SUBJECT KEY=VALUE...", "set limits, from now on"},
    {"quota", "unset", quota_unset_run, 1, INT_MAX, 0, "quota unset SUBJECT [KEY...]", "take such limits back"},
    {"rm", NULL, rm_run, 1, 1, OPTION_FORCE, "rm [--force] NAME|HANDLE", "remove a region, USER/NAME another user's"},
    {"set-expiry", NULL, expiry_run, 2, 2, 0, "set-expiry NAME TIME|never",
     "remove the region when nobody has used it for that time, such as 30min, 12h, 7d"},
    {"move", NULL, move_run, 2, 2, 0, "move NAME|HANDLE DISK",
     "move a region that nobody uses to another spill directory of the daemon"},
    {"disconnect", NULL, disconnect_run, 1, 1, 0, "disconnect USER", "close all of a user's connections"},
    {"check", NULL, check_run, 0, INT_MAX, OPTION_WARN | OPTION_CRIT, "check [SUBJECT...] [--warn 80%] [--crit 95%]",
     "one line about your usage, or about that of the subjects, as a plugin of Nagios prints it"},
    {"run", NULL, run_run, 1, INT_MAX, OPTION_RUN, "run [OPTION...] PROGRAM [ARG...]",
     "run a program with its large blocks of memory on disk"},
};

enum {
    OPT_ARGUMENT = 1, // getopt_long returns this for a word that is no option
    OPT_ADDRESS = 256,
    OPT_INSTANCE,
    OPT_JSON,
    OPT_HUMAN,
    OPT_TIMEOUT,
    OPT_USER,
    OPT_FORCE,
    OPT_WARN,
    OPT_CRIT,
    OPT_THRESHOLD,
    OPT_LIMIT,
    OPT_ALL,
    OPT_STRICT,
    OPT_REPORT,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option options[] = {
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"instance", required_argument, NULL, OPT_INSTANCE},
    {"json", no_argument, NULL, OPT_JSON},
    {"human", no_argument, NULL, OPT_HUMAN},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"user", required_argument, NULL, OPT_USER},
    {"force", no_argument, NULL, OPT_FORCE},
    {"warn", required_argument, NULL, OPT_WARN},
    {"crit", required_argument, NULL, OPT_CRIT},
    {"threshold", required_argument, NULL, OPT_THRESHOLD},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"all", no_argument, NULL, OPT_ALL},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"report", no_argument, NULL, OPT_REPORT},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int print_help(void)
{
    puts("Usage: diskallocctl [--address ADDR | --instance NAME] [--json] COMMAND\n\nCommands:");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        printf("  %-32s %s\n", commands[i].synopsis, commands[i].what);
    puts("\nOptions:\n"
         "  --address ADDR                   the daemon's socket, as unix:/PATH\n"
         "  --instance NAME                  the daemon diskallocd@NAME\n"
         "  --json                           print one JSON object, with sizes as integers in bytes\n"
         "  --human                          print rounded sizes and bars even if the output is no terminal\n"
         "  --timeout SECONDS                how long to wait for an answer; the default is 30, and 10 for check\n"
         "  --help, --version\n\n"
         "Options of run, before PROGRAM:\n"
         "  --threshold SIZE                 blocks of that size and more lie on disk; the default is 32M\n"
         "  --all                            smaller ones too\n"
         "  --limit SIZE                     what each process may have on disk\n"
         "  --strict                         what is refused fails; without it, such a block is in memory\n"
         "  --report                         say at the end what was on disk\n"
         "  --address dir:/PATH              files in that directory, without a daemon\n\n"
         "SUBJECT of a quota: total, default, unlisted, user:NAME, members:GROUP (the default of each member), "
         "group:GROUP (the sum of the members), cgroup:PATH (the sum of the programs below a control group).\n"
         "KEY: bytes, regions, connections, region_bytes, warn_at, soft_bytes, grace.\n"
         "VALUE: 50G, 80%, 1000, 7d, unlimited.\n"
         "Without --address and --instance, the daemon is that of $DISKALLOC_ADDRESS, else unix:" DEFAULT_SOCKET ".\n"
         "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon answers;\n"
         "of check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.");
    return EXIT_DONE;
}

static int print_version(void)
{
    puts("diskallocctl " DISKALLOC_VERSION);
    return EXIT_DONE;
}

// The command line, before the command is known.
struct parsed {
    const char *address, *instance;
    unsigned options;     // enum command_option bits that were given
    int (*instead)(void); // --help or --version: runs in the place of a command
    char **words;         // the words that are no options: the command and its arguments
    int n_words;
    bool wrong; // an option is wrong; there was a complaint
};

static void parse_timeout(struct ctl *ctl, struct parsed *p, const char *text)
{
    uint64_t seconds;

    if (number_parse(text, 10, 3600, &seconds) && seconds >= 1) {
        ctl->timeout_seconds = (int)seconds;
        return;
    }
    ctl_complain("--timeout takes seconds, from 1 to 3600");
    p->wrong = true;
}

static void take_option(struct ctl *ctl, struct parsed *p, int option)
{
    switch (option) {
    case OPT_ARGUMENT:
        p->words[p->n_words++] = optarg;
        break;
    case OPT_ADDRESS:
        p->address = optarg;
        break;
    case OPT_INSTANCE:
        p->instance = optarg;
        break;
    case OPT_JSON:
        ctl->json = true;
        break;
    case OPT_HUMAN:
        ctl->human = true;
        break;
    case OPT_TIMEOUT:
        parse_timeout(ctl, p, optarg);
        break;
    case OPT_USER:
        ctl->user = optarg;
        p->options |= OPTION_USER;
        break;
    case OPT_FORCE:
        ctl->force = true;
        p->options |= OPTION_FORCE;
        break;
    case OPT_WARN:
        ctl->warn = optarg;
        p->options |= OPTION_WARN;
        break;
    case OPT_CRIT:
        ctl->crit = optarg;
        p->options |= OPTION_CRIT;
        break;
    case OPT_HELP:
        p->instead = p->wrong ? NULL : print_help;
        break;
    case OPT_VERSION:
        p->instead = p->wrong ? NULL : print_version;
        break;
    case OPT_THRESHOLD:
        ctl->threshold = optarg;
        p->options |= OPTION_RUN;
        break;
    case OPT_LIMIT:
        ctl->limit = optarg;
        p->options |= OPTION_RUN;
        break;
    case OPT_ALL:
        ctl->all = true;
        p->options |= OPTION_RUN;
        break;
    case OPT_STRICT:
        ctl->strict = true;
        p->options |= OPTION_RUN;
        break;
    case OPT_REPORT:
        ctl->report = true;
        p->options |= OPTION_RUN;
        break;
    default: // getopt_long has printed what is wrong
        p->wrong = true;
        opterr = 0;
    }
}

// The words behind `run PROGRAM` are the program's.
static bool has_program(const struct parsed *p)
{
    return p->n_words == 2 && strcmp(p->words[0], "run") == 0;
}

// Options may stand anywhere.  All words are read even if an option is wrong: if the command turns out to be `check`,
// the exit status is another.
static void parse(struct ctl *ctl, struct parsed *p, int argc, char **argv)
{
    for (int option; !p->instead && !has_program(p) && (option = getopt_long(argc, argv, "-", options, NULL)) != -1;)
        take_option(ctl, p, option);
    while (!p->instead && optind < argc)
        p->words[p->n_words++] = argv[optind++];
}

static const struct command *find_command(const struct parsed *p)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *c = &commands[i];

        if (strcmp(c->name, p->words[0]) == 0 && (!c->verb || (p->n_words > 1 && strcmp(c->verb, p->words[1]) == 0)))
            return c;
    }
    return NULL;
}

static void complain_of_command(const struct parsed *p)
{
    char name[TEXT_MAX];

    if (p->n_words == 0)
        ctl_complain("a command is missing; see --help");
    else if (strcmp(p->words[0], "quota") == 0)
        ctl_complain("quota is followed by list, set or unset; see --help");
    else
        ctl_complain("%s is not a command; see --help", text_escape(p->words[0], strlen(p->words[0]), name));
}

static bool is_used_rightly(struct ctl *ctl, const struct parsed *p, const struct command *c)
{
    int n = c->verb ? 2 : 1;

    if (p->wrong)
        return false;
    ctl->args = p->words + n;
    ctl->n_args = p->n_words - n;
    if (ctl->n_args < c->min_args || ctl->n_args > c->max_args || p->options & ~c->options) {
        ctl_complain("usage: diskallocctl %s", c->synopsis);
        return false;
    }
    if (p->address && p->instance) {
        ctl_complain("--address and --instance exclude each other");
        return false;
    }
    return true;
}

static int run(struct ctl *ctl, const struct parsed *p)
{
    const struct command *c = p->n_words > 0 ? find_command(p) : NULL;
    _cleanup_free_ char *address = NULL;
    int status = EXIT_USAGE;

    if (!c) {
        if (!p->wrong)
            complain_of_command(p);
        return status;
    }
    if (is_used_rightly(ctl, p, c))
        ctl->address = address = address_resolve(p->address, p->instance, c->options & OPTION_RUN);
    if (!address)
        return c->run == check_run ? check_unknown(ctl) : status;
    status = c->run(ctl);
    session_close(&ctl->session);
    return status;
}

static int flushed(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    ctl_complain("the output can't be written: %s", strerror(errno));
    return status == EXIT_DONE ? EXIT_REFUSED : status;
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.human = isatty(STDOUT_FILENO), .colour = wants_colour(), .session.fd = -1};
    struct parsed p = {0};
    _cleanup_free_ char **words = calloc((size_t)argc + 1, sizeof(char *));

    if (!words) {
        ctl_complain("out of memory");
        return EXIT_REFUSED;
    }
    p.words = words;
    parse(&ctl, &p, argc, argv);
    return flushed(p.instead ? p.instead() : run(&ctl, &p));
}
