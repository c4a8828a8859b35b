// Reading the command line: see options.h.
#include "client/ctl/options.h"

#include <getopt.h>
#include <string.h>

#include "proto/util/text.h"

enum {
    OPT_ARGUMENT = 1, // getopt_long returns this for a word that is no option
    OPT_FIRST = 256,  // and OPT_FIRST + the index of the row
};

enum row {
    ROW_ADDRESS,
    ROW_INSTANCE,
    ROW_JSON,
    ROW_HUMAN,
    ROW_TIMEOUT,
    ROW_HELP,
    ROW_VERSION,
    ROW_ALL,
    ROW_USER,
    ROW_FORCE,
    ROW_WARN,
    ROW_WARNING,
    ROW_CRIT,
    ROW_CRITICAL,
    ROW_SIZE,
    ROW_ONCE,
    ROW_DELAY,
    ROW_SORT,
    ROW_THRESHOLD,
    ROW_LIMIT,
    ROW_STRICT,
    ROW_REPORT,
    ROW_N,
};

const struct ctl_option ctl_options[] = {
    [ROW_ADDRESS] = {"address", 0, "ADDR", 0, WORD_NONE, "the daemon's socket, as unix:/PATH; of run also dir:/PATH"},
    [ROW_INSTANCE] = {"instance", 0, "NAME", 0, WORD_NONE, "the daemon diskallocd@NAME"},
    [ROW_JSON] = {"json", 0, NULL, 0, WORD_NONE, "print one JSON object, with sizes as integers in bytes"},
    [ROW_HUMAN] = {"human", 0, NULL, 0, WORD_NONE, "print rounded sizes and bars even if the output is no terminal"},
    [ROW_TIMEOUT] = {"timeout", 't', "SECONDS", 0, WORD_NONE,
                     "how long to wait for an answer; the default is 30, and 10 for check"},
    [ROW_HELP] = {"help", 'h', NULL, 0, WORD_NONE, "print this"},
    [ROW_VERSION] = {"version", 'V', NULL, 0, WORD_NONE, "print the version"},
    [ROW_ALL] = {"all", 0, NULL, OPTION_ALL, WORD_NONE,
                 "of usage and check: every subject; of run: small blocks on disk too"},
    [ROW_USER] = {"user", 0, "USER", OPTION_USER, WORD_USER,
                  "of regions, events and rm: only, or all, those of this user"},
    [ROW_FORCE] = {"force", 0, NULL, OPTION_FORCE, WORD_NONE, "of rm: also a region that programs have attached"},
    [ROW_WARN] = {"warn", 'w', "N%", OPTION_WARN, WORD_NONE, "of check: from when on it warns; the default is 80%"},
    [ROW_WARNING] = {"warning", 0, "N%", OPTION_WARN, WORD_NONE, NULL},
    [ROW_CRIT] = {"crit", 'c', "N%", OPTION_CRIT, WORD_NONE, "of check: from when on it is critical; 95%"},
    [ROW_CRITICAL] = {"critical", 0, "N%", OPTION_CRIT, WORD_NONE, NULL},
    [ROW_SIZE] = {"size", 0, "SIZE", OPTION_SIZE, WORD_NONE, "of selftest: how much is written; the default is 64M"},
    [ROW_ONCE] = {"once", 0, NULL, OPTION_TOP, WORD_NONE, "of top: print one frame as text"},
    [ROW_DELAY] = {"delay", 'd', "SECONDS", OPTION_TOP, WORD_NONE, "of top: between two frames; the default is 2"},
    [ROW_SORT] = {"sort", 0, "COLUMN", OPTION_TOP, WORD_COLUMN,
                  "of top: the column by which it sorts; the default is bytes"},
    [ROW_THRESHOLD] = {"threshold", 0, "SIZE", OPTION_RUN, WORD_NONE,
                       "of run: blocks of that size and more lie on disk; the default is 32M"},
    [ROW_LIMIT] = {"limit", 0, "SIZE", OPTION_RUN, WORD_NONE, "of run: what each process may have on disk"},
    [ROW_STRICT] = {"strict", 0, NULL, OPTION_RUN, WORD_NONE,
                    "of run: what is refused fails; without it, such a block is in memory"},
    [ROW_REPORT] = {"report", 0, NULL, OPTION_RUN, WORD_NONE, "of run: say at the end what was on disk"},
};
const size_t ctl_n_options = ROW_N;

// Reads whole seconds from 1 to MOST.
static void parse_seconds(struct parsed *p, const char *option, const char *text, unsigned most, int *ret)
{
    uint64_t seconds;

    if (number_parse(text, 10, most, &seconds) && seconds >= 1) {
        *ret = (int)seconds;
        return;
    }
    ctl_complain("%s takes seconds, from 1 to %u", option, most);
    p->wrong = true;
}

// No name at all would mean everybody to the daemon, as in rm --user "$VARIABLE" of a variable that is not set.
static void take_user(struct ctl *ctl, struct parsed *p, const char *name)
{
    ctl->user = name;
    if (*name)
        return;
    ctl_complain("--user takes the name of a user, or +UID");
    p->wrong = true;
}

// Where the text goes that is given with the option; NULL: elsewhere.
static const char **text_of(struct ctl *ctl, struct parsed *p, enum row row)
{
    switch (row) {
    case ROW_ADDRESS:
        return &p->address;
    case ROW_INSTANCE:
        return &p->instance;
    case ROW_WARN:
    case ROW_WARNING:
        return &ctl->warn;
    case ROW_CRIT:
    case ROW_CRITICAL:
        return &ctl->crit;
    case ROW_SIZE:
        return &ctl->size;
    case ROW_SORT:
        return &ctl->sort;
    case ROW_THRESHOLD:
        return &ctl->threshold;
    case ROW_LIMIT:
        return &ctl->limit;
    default:
        return NULL;
    }
}

// The flag that the option switches on; NULL: there is none.
static bool *flag_of(struct ctl *ctl, enum row row)
{
    switch (row) {
    case ROW_JSON:
        return &ctl->json;
    case ROW_HUMAN:
        return &ctl->human;
    case ROW_ALL:
        return &ctl->all;
    case ROW_FORCE:
        return &ctl->force;
    case ROW_ONCE:
        return &ctl->once;
    case ROW_STRICT:
        return &ctl->strict;
    case ROW_REPORT:
        return &ctl->report;
    default:
        return NULL;
    }
}

static void take_option(struct ctl *ctl, struct parsed *p, enum row row)
{
    const char **text = text_of(ctl, p, row);
    bool *flag = flag_of(ctl, row);

    p->options |= ctl_options[row].bit;
    if (text)
        *text = optarg;
    else if (flag)
        *flag = true;
    else if (row == ROW_TIMEOUT)
        parse_seconds(p, "--timeout", optarg, 3600, &ctl->timeout_seconds);
    else if (row == ROW_DELAY)
        parse_seconds(p, "--delay", optarg, 3600, &ctl->delay_seconds);
    else if (row == ROW_USER)
        take_user(ctl, p, optarg);
    else if (row == ROW_HELP || row == ROW_VERSION)
        p->instead = p->wrong ? INSTEAD_NOTHING : row == ROW_HELP ? INSTEAD_HELP : INSTEAD_VERSION;
}

// The words behind `run PROGRAM` are the program's.
static bool has_program(const struct parsed *p)
{
    return p->n_words == 2 && strcmp(p->words[0], "run") == 0;
}

static int row_of_letter(int letter)
{
    for (int i = 0; i < ROW_N; i++)
        if (ctl_options[i].letter == letter)
            return i;
    return -1;
}

// The same table as getopt_long wants it.
static void fill(struct option longs[static ROW_N + 1], char letters[static 2 * ROW_N + 2])
{
    char *at = letters;

    *at++ = '-';
    for (int i = 0; i < ROW_N; i++) {
        const struct ctl_option *o = &ctl_options[i];

        longs[i] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL, OPT_FIRST + i};
        if (!o->letter)
            continue;
        *at++ = o->letter;
        if (o->argument)
            *at++ = ':';
    }
    *at = '\0';
}

void options_parse(struct ctl *ctl, struct parsed *p, int argc, char **argv)
{
    struct option longs[ROW_N + 1] = {{0}};
    char letters[2 * ROW_N + 2];
    int option;

    fill(longs, letters);
    while (p->instead == INSTEAD_NOTHING && !has_program(p) &&
           (option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        int row = option >= OPT_FIRST ? option - OPT_FIRST : row_of_letter(option);

        if (option == OPT_ARGUMENT) {
            p->words[p->n_words++] = optarg;
        } else if (row >= 0 && option != '?') {
            take_option(ctl, p, (enum row)row);
        } else { // getopt_long has printed what is wrong
            p->wrong = true;
            opterr = 0;
        }
    }
    while (p->instead == INSTEAD_NOTHING && optind < argc)
        p->words[p->n_words++] = argv[optind++];
}
