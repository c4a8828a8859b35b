// diskallocctl: asks a daemon.  One file a family of commands; this one has what they share.
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/cleanup.h"

static const struct command commands[] = {
    {"status", status_run, 0, 0, "status", "the daemon, its disk, and what is used in all"},
    {"usage", usage_run, 1, 0, "usage [SUBJECT]", "what total, user:NAME or group:NAME uses; without it, you"},
    {"regions", regions_run, 0, OPTION_USER, "regions [--user USER]", "the regions that you may see"},
};

enum { OPT_ADDRESS = 256, OPT_INSTANCE, OPT_JSON, OPT_HUMAN, OPT_USER, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"instance", required_argument, NULL, OPT_INSTANCE},
    {"json", no_argument, NULL, OPT_JSON},
    {"human", no_argument, NULL, OPT_HUMAN},
    {"user", required_argument, NULL, OPT_USER},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

void ctl_complain(const char *format, ...)
{
    va_list args;

    fputs("diskallocctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int ctl_print_json(json_t *object)
{
    int r = -1;

    if (object && json_object_set_new(object, "version", json_integer(1)) == 0)
        r = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    json_decref(object);
    putchar('\n');
    if (r == 0)
        return EXIT_DONE;
    ctl_complain("the answer can't be written as JSON");
    return EXIT_REFUSED;
}

static bool connect_once(struct ctl *ctl, int *ret_status)
{
    const char *what;
    char address[TEXT_MAX];
    int r;

    if (ctl->session.fd >= 0)
        return true;
    r = session_open(&ctl->session, address_path(ctl->address), &what);
    if (r == 0)
        return true;
    text_escape(ctl->address, strlen(ctl->address), address);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOTDIR) {
        ctl_complain("no daemon answers at %s: %s: %s", address, what, strerror(-r));
        *ret_status = EXIT_NO_DAEMON;
    } else {
        ctl_complain("%s at %s failed: %s", what, address, strerror(-r));
        *ret_status = EXIT_REFUSED;
    }
    return false;
}

static void complain_of_error(const Diskalloc__V1__Error *e)
{
    char message[TEXT_MAX], name[TEXT_MAX], limit[TEXT_MAX];

    text_escape(e->message, strlen(e->message), message);
    text_escape(e->limit_name, strlen(e->limit_name), name);
    if (*name)
        ctl_complain("%s: %s: limit %s, used %llu, asked %llu", message, name, text_count(e->limit, limit),
                     (unsigned long long)e->used, (unsigned long long)e->asked);
    else
        ctl_complain("%s", *message ? message : "the daemon refused without saying why");
}

Diskalloc__V1__Reply *ctl_call(struct ctl *ctl, Diskalloc__V1__Request *request, int *ret_status)
{
    Diskalloc__V1__Reply *reply = NULL;
    int r;

    if (!connect_once(ctl, ret_status))
        return NULL;
    *ret_status = EXIT_REFUSED;
    r = session_call(&ctl->session, request, &reply);
    if (r < 0) {
        ctl_complain("the daemon did not answer: %s", strerror(-r));
        return NULL;
    }
    if (reply->error) {
        complain_of_error(reply->error);
        session_free_reply(reply);
        return NULL;
    }
    return reply;
}

static int print_help(void)
{
    puts("Usage: diskallocctl [--address ADDR | --instance NAME] [--json] COMMAND\n\nCommands:");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        printf("  %-24s %s\n", commands[i].synopsis, commands[i].what);
    puts("\nOptions:\n"
         "  --address ADDR           the daemon's socket, as unix:/PATH\n"
         "  --instance NAME          the daemon diskallocd@NAME\n"
         "  --json                   one JSON object, bytes as integers\n"
         "  --human                  sizes for people even when this is no terminal\n"
         "  --help, --version\n\n"
         "Without --address and --instance: $DISKALLOC_ADDRESS, else unix:/run/diskalloc/diskallocd.sock.\n"
         "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon there.");
    return EXIT_DONE;
}

static int print_version(void)
{
    puts("diskallocctl " DISKALLOC_VERSION);
    return EXIT_DONE;
}

struct parsed {
    const char *address, *instance;
    unsigned options; // enum command_option bits that were given
    int (*instead)(void);
};

static bool parse_options(struct ctl *ctl, struct parsed *p, int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
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
        case OPT_USER:
            ctl->user = optarg;
            p->options |= OPTION_USER;
            break;
        case OPT_HELP:
            p->instead = print_help;
            return true;
        case OPT_VERSION:
            p->instead = print_version;
            return true;
        default:
            return false; // getopt_long has said why
        }
    }
    return true;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

// The command, or NULL and everything was said.
static const struct command *choose_command(struct ctl *ctl, const struct parsed *p, int argc, char **argv)
{
    const struct command *c = optind < argc ? find_command(argv[optind]) : NULL;
    char name[TEXT_MAX];

    if (!c) {
        if (optind < argc)
            ctl_complain("%s is no command; see --help", text_escape(argv[optind], strlen(argv[optind]), name));
        else
            ctl_complain("it needs a command; see --help");
        return NULL;
    }
    ctl->args = argv + optind + 1;
    ctl->n_args = argc - optind - 1;
    if (ctl->n_args > c->max_args || p->options & ~c->options) {
        ctl_complain("it is used as: diskallocctl %s", c->synopsis);
        return NULL;
    }
    if (p->address && p->instance) {
        ctl_complain("--address and --instance both say which daemon; give one");
        return NULL;
    }
    return c;
}

static int flushed(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    ctl_complain("the output can't be written: %s", strerror(errno));
    return status == EXIT_DONE ? EXIT_REFUSED : status;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.human = isatty(STDOUT_FILENO), .session.fd = -1};
    struct parsed p = {0};
    const struct command *c;
    _cleanup_free_ char *address = NULL;
    int status;

    if (!parse_options(&ctl, &p, argc, argv))
        return EXIT_USAGE;
    if (p.instead)
        return flushed(p.instead());
    c = choose_command(&ctl, &p, argc, argv);
    if (!c)
        return EXIT_USAGE;
    ctl.address = address = address_resolve(p.address, p.instance);
    if (!address)
        return EXIT_USAGE;
    status = c->run(&ctl);
    session_close(&ctl.session);
    return flushed(status);
}
