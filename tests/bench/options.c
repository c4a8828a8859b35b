#include "tests/bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/contenders.h"
#include "tests/bench/workload.h"

static const char usage[] =
    "usage: diskalloc-bench [OPTION…]\n"
    "  --runs N             of each contender and workload (7); three times that up to 64 MiB, fewer above 2 GiB\n"
    "  --mib N              size of the vectors (1024)\n"
    "  --sizes A,B,…        a sweep: the workloads at each of these sizes, in MiB\n"
    "  --workloads W1,W2,…  of W1 W2 W3 W4T W5 W6 R5M R5 (all; with --sizes: W1)\n"
    "  --contenders A,B,…   the first is what the others are compared with (all)\n"
    "  --limited-mib N      size of W6's vector (4096); R5's is half of it\n"
    "  --limit-mib N        memory W6 may use (512); R5 half of it\n"
    "  --json FILE          where all the numbers go (bench.json)\n"
    "  --svg DIR            where charts go (none)\n"
    "  --list               name the contenders and end\n"
    "Files go to $DISKALLOC_TEST_DIR or /var/tmp.\n";

__attribute__((noreturn)) static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "diskalloc-bench: %s %s\n%s", what, text, usage);
    exit(2);
}

static size_t parse_number(const char *text)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || *end || end == text || n < 1 || n > 1 << 24)
        refuse("bad number", text);
    return n;
}

static void parse_list(char *text, struct options *o, void (*take)(struct options *, const char *))
{
    char *rest = NULL;

    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        take(o, word);
}

static void take_size(struct options *o, const char *text)
{
    if (o->n_sizes == MOST_SIZES)
        refuse("too many sizes:", text);
    o->sizes[o->n_sizes++] = parse_number(text);
}

static void take_workload(struct options *o, const char *text)
{
    enum workload w;

    if (!workload_find(text, &w))
        refuse("no workload", text);
    o->workloads[w] = true;
}

static void take_contender(struct options *o, const char *text)
{
    const struct contender *c = contender_find(text);

    if (!c || o->n_contenders == sizeof o->contenders / sizeof *o->contenders)
        refuse("no contender", text);
    o->contenders[o->n_contenders++] = c;
}

__attribute__((noreturn)) static void list(void)
{
    for (size_t i = 0; i < n_contenders; i++)
        printf("%-18s %s\n", contenders[i]->name, contenders[i]->what);
    exit(0);
}

// Defaults of options that were not given.  A sweep is of W1.
static void complete(struct options *o, size_t mib)
{
    bool chosen = false;

    for (int w = 0; w < WORKLOAD_N; w++)
        chosen |= o->workloads[w];
    for (int w = 0; w < WORKLOAD_N && !chosen; w++)
        o->workloads[w] = o->n_sizes == 0 || w == PUSH_AND_DROP;
    if (o->n_sizes == 0)
        o->sizes[o->n_sizes++] = mib;
    if (o->n_contenders == 0)
        for (size_t i = 0; i < n_contenders; i++)
            take_contender(o, contenders[i]->name);
}

// The options that take a number, and where it goes.
static size_t *number_of(struct options *o, size_t *mib, int option)
{
    switch (option) {
    case 'r':
        return &o->n_runs;
    case 'm':
        return mib;
    case 'l':
        return &o->limit_mib;
    case 'L':
        return &o->limited_mib;
    default:
        return NULL;
    }
}

static bool take_other(struct options *o, int option, char *text)
{
    if (option == 's')
        parse_list(text, o, take_size);
    else if (option == 'w')
        parse_list(text, o, take_workload);
    else if (option == 'c')
        parse_list(text, o, take_contender);
    else if (option == 'j')
        o->json = text;
    else if (option == 'g')
        o->svg = text;
    else if (option == 'n')
        list();
    else
        return false;
    return true;
}

void options_parse(int argc, char **argv, struct options *ret)
{
    static const struct option options[] = {
        {"runs", 1, NULL, 'r'},
        {"mib", 1, NULL, 'm'},
        {"sizes", 1, NULL, 's'},
        {"workloads", 1, NULL, 'w'},
        {"contenders", 1, NULL, 'c'},
        {"limit-mib", 1, NULL, 'l'},
        {"limited-mib", 1, NULL, 'L'},
        {"json", 1, NULL, 'j'},
        {"svg", 1, NULL, 'g'},
        {"list", 0, NULL, 'n'},
        {0},
    };
    size_t mib = 1024;

    *ret = (struct options){.n_runs = 7, .limited_mib = 4096, .limit_mib = 512, .json = "bench.json"};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        size_t *number = number_of(ret, &mib, c);

        if (number)
            *number = parse_number(optarg);
        else if (!take_other(ret, c, optarg)) {
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc)
        refuse("what is", argv[optind]);
    complete(ret, mib);
}
