// diskallocctl: shows what a daemon holds and for whom, and administers it.  This file reads the command line, finds
// the command and runs it.  Each command has a file of its own name.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/help.h"
#include "client/ctl/options.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"

static const struct command commands[] = {
    {"status", NULL, status_run, 0, 0, 0, "status", "the daemon, its disks, and the usage of all users together",
     WORD_NONE},
    {"usage", NULL, usage_run, 0, 1, OPTION_ALL, "usage [SUBJECT | --all]",
     "the usage of total, unlisted, user:NAME, group:NAME or cgroup:PATH; without SUBJECT, your own", WORD_SUBJECT},
    {"regions", NULL, regions_run, 0, 0, OPTION_USER, "regions [--user USER]", "the regions that you may see",
     WORD_NONE},
    {"quota", "list", quota_list_run, 0, 0, 0, "quota list", "the limits, and where each comes from", WORD_NONE},
    {"quota", "set", quota_set_run, 2, INT_MAX, 0, "quota set SUBJECT KEY=VALUE...", "set limits, from now on",
     WORD_SUBJECT},
    {"quota", "unset", quota_unset_run, 1, INT_MAX, 0, "quota unset SUBJECT [KEY...]", "take such limits back",
     WORD_SUBJECT},
    {"rm", NULL, rm_run, 0, 1, OPTION_FORCE | OPTION_USER, "rm [--force] NAME|HANDLE | --user USER",
     "remove a region, USER/NAME another user's; or all regions of a user", WORD_REGION},
    {"set-expiry", NULL, expiry_run, 2, 2, 0, "set-expiry NAME TIME|never",
     "remove the region when nobody has used it for that time, such as 30min, 12h, 7d", WORD_REGION},
    {"move", NULL, move_run, 2, 2, 0, "move NAME|HANDLE DISK",
     "move a region that nobody uses to another spill directory of the daemon", WORD_REGION},
    {"disconnect", NULL, disconnect_run, 1, 1, 0, "disconnect USER", "close all of a user's connections", WORD_USER},
    {"check", NULL, check_run, 0, INT_MAX, OPTION_WARN | OPTION_CRIT | OPTION_ALL,
     "check [SUBJECT... | --all] [-w 80%] [-c 95%]",
     "one line about your usage, or about that of the subjects, as a plugin of Nagios prints it", WORD_SUBJECT},
    {"top", NULL, top_run, 0, 0, OPTION_TOP, "top [--once] [--sort COLUMN]",
     "users, groups and regions as they grow, on the whole screen", WORD_NONE},
    {"events", NULL, events_run, 0, 0, OPTION_USER, "events [--user USER]",
     "what happens from now on, a line each: regions, refusals, limits, the disk", WORD_NONE},
    {"selftest", NULL, selftest_run, 0, 0, OPTION_SIZE, "selftest [--size SIZE]",
     "try everything out: grow, write, read, share, shrink, drop; and how fast that is", WORD_NONE},
    {"doctor", NULL, doctor_run, 0, 0, NEEDS_NO_ADDRESS, "doctor",
     "look for whatever can be wrong, and say how to mend it", WORD_NONE},
    {"metrics", NULL, metrics_run, 0, 1, 0, "metrics [openmetrics|text]",
     "what Prometheus reads, see diskalloc-metrics(7)", WORD_NONE},
    {"run", NULL, run_run, 1, INT_MAX, OPTION_RUN | OPTION_ALL, "run [OPTION...] PROGRAM [ARG...]",
     "run a program with its large blocks of memory on disk", WORD_PROGRAM},
    {"completion", NULL, completion_run, 1, 1, NEEDS_NO_ADDRESS, "completion bash|zsh|fish",
     "print completions for that shell", WORD_SHELL},
    {"help", NULL, help_run, 0, 2, NEEDS_NO_ADDRESS, "help [COMMAND [VERB]]",
     "print how diskallocctl, or a command of it, is used", WORD_COMMAND},
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

int help_run(struct ctl *ctl)
{
    return help_print(ctl->commands, ctl->n_commands, ctl->n_args > 0 ? ctl->args[0] : NULL,
                      ctl->n_args > 1 ? ctl->args[1] : NULL);
}

static const struct command *find_command(const struct parsed *p)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
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
    if (!is_used_rightly(ctl, p, c))
        return c->run == check_run ? check_unknown(ctl) : status;
    ctl->given_address = p->address;
    ctl->given_instance = p->instance;
    if (!(c->options & NEEDS_NO_ADDRESS)) {
        ctl->address = address = address_resolve(p->address, p->instance, c->options & OPTION_RUN);
        if (!address)
            return c->run == check_run ? check_unknown(ctl) : status;
    }
    status = c->run(ctl);
    session_close(&ctl->session);
    return status;
}

// A failure with --json is an object too.
static int told(const struct ctl *ctl, int status)
{
    if (ctl->json && status != EXIT_DONE && !ctl_has_printed_json())
        ctl_print_json_error(status);
    return status;
}

// A monitor has not heard what `check` found, whatever that was.
static int flushed(int status, const struct parsed *p)
{
    const struct command *c = !p->instead && p->n_words > 0 ? find_command(p) : NULL;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    ctl_complain("the output can't be written: %s", strerror(errno));
    if (c && c->run == check_run)
        return EXIT_UNKNOWN;
    return status == EXIT_DONE ? EXIT_REFUSED : status;
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

static int terminal_width(void)
{
    struct winsize size;

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int run_or_print(struct ctl *ctl, const struct parsed *p)
{
    if (p->instead == INSTEAD_HELP)
        return help_print(commands, N_COMMANDS, p->n_words > 0 ? p->words[0] : NULL, NULL);
    return p->instead == INSTEAD_VERSION ? help_print_version() : told(ctl, run(ctl, p));
}

// The number of a standard descriptor that was closed must not become that of the connection, to which output would go
// then.  In its place is a directory, which can be neither read nor written so, and is closed in programs that are run.
static void fill_standard_descriptors(void)
{
    int fd = STDIN_FILENO;

    while (fd <= STDERR_FILENO) {
        fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.human = isatty(STDOUT_FILENO),
                      .colour = wants_colour(),
                      .width = terminal_width(),
                      .session.fd = -1,
                      .commands = commands,
                      .n_commands = N_COMMANDS};
    struct parsed p = {0};
    _cleanup_free_ char **words = calloc((size_t)argc + 1, sizeof(char *));

    fill_standard_descriptors();
    if (!words) {
        ctl_complain("out of memory");
        return EXIT_REFUSED;
    }
    p.words = words;
    options_parse(&ctl, &p, argc, argv);
    return flushed(run_or_print(&ctl, &p), &p);
}
