#include "tests/bench/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/contenders.h"
#include "tests/bench/where.h"
#include "tests/bench/workload.h"

static const char usage[] =
    "usage: diskalloc-bench [OPTION…]\n"
    "  --runs N             of each contender and workload (7); three times that up to 64 MiB, fewer above 2 GiB\n"
    "  --mib N              size of the vectors (1024)\n"
    "  --sizes A,B,…        a sweep: the workloads at each of these sizes, in MiB\n"
    "  --workloads W1,W2,…  of W1 W2 W3 W4T W5 W6 R5M R5 R1 R2 R3 R4 R4B W7 W7C (all; with --sizes: W1)\n"
    "  --contenders A,B,…   the first is what the others are compared with (all)\n"
    "  --limited-mib N,…    size of the vectors of W6 and R1 to R4B (4096); R5's, W7's and W7C's is half of it\n"
    "  --limit-mib N        memory they may use (512); R5, W7 and W7C half of it\n"
    "  --read-ms N          each measurement of reading lasts (1500), after a warm-up of two thirds of that\n"
    "  --threads A,B,…      that read at random, in R1 to R3 (1)\n"
    "  --on TYPE            a file system made for the series: ext4, xfs, btrfs (in an image), tmpfs (the one there "
    "is)\n"
    "  --cold               no memory is touched before the runs: where no host takes it away, as under emulation\n"
    "  --thp MODE           large pages, for the time of the series: never, madvise, always (as the machine has it)\n"
    "  --json FILE          where all the numbers go (bench.json)\n"
    "  --svg DIR            where charts go (none)\n"
    "  --list               name the contenders and end\n"
    "  --help               print this and end\n"
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

static void add_number(size_t *numbers, size_t *n, const char *text)
{
    if (*n == MOST_SIZES)
        refuse("too many numbers:", text);
    numbers[(*n)++] = parse_number(text);
}

static void take_size(struct options *o, const char *text)
{
    add_number(o->sizes, &o->n_sizes, text);
}

static void take_limited(struct options *o, const char *text)
{
    add_number(o->limited, &o->n_limited, text);
}

static void take_threads(struct options *o, const char *text)
{
    add_number(o->threads, &o->n_threads, text);
    if (o->threads[o->n_threads - 1] > MOST_READERS)
        refuse("too many threads:", text);
}

static void take_workload(struct options *o, const char *text)
{
    enum workload w;
    unsigned parts;

    if (!workload_find(text, &w, &parts))
        refuse("no workload", text);
    o->workloads[w] = true;
    o->parts |= parts;
}

static const char *take_file_system(const char *text)
{
    if (!where_knows(text))
        refuse("no file system", text);
    return text;
}

static const char *take_mode(const char *text)
{
    if (strcmp(text, "never") && strcmp(text, "madvise") && strcmp(text, "always"))
        refuse("no mode of large pages:", text);
    return text;
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

__attribute__((noreturn)) static void help(void)
{
    fputs(usage, stdout);
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
    if (!o->parts)
        o->parts = ~0u;
    if (o->n_sizes == 0)
        o->sizes[o->n_sizes++] = mib;
    if (o->n_limited == 0)
        o->limited[o->n_limited++] = 4096;
    if (o->n_threads == 0)
        o->threads[o->n_threads++] = 1;
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
    case 'R':
        return &o->read_ms;
    case 'l':
        return &o->limit_mib;
    default:
        return NULL;
    }
}

static bool take_other(struct options *o, int option, char *text)
{
    if (option == 's')
        parse_list(text, o, take_size);
    else if (option == 'L')
        parse_list(text, o, take_limited);
    else if (option == 't')
        parse_list(text, o, take_threads);
    else if (option == 'o')
        o->on = take_file_system(text);
    else if (option == 'p')
        o->thp = take_mode(text);
    else if (option == 'w')
        parse_list(text, o, take_workload);
    else if (option == 'c')
        parse_list(text, o, take_contender);
    else if (option == 'j')
        o->json = text;
    else if (option == 'g')
        o->svg = text;
    else if (option == 'C')
        o->cold = true;
    else if (option == 'n')
        list();
    else if (option == 'h')
        help();
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
        {"read-ms", 1, NULL, 'R'},
        {"threads", 1, NULL, 't'},
        {"cold", 0, NULL, 'C'},
        {"on", 1, NULL, 'o'},
        {"thp", 1, NULL, 'p'},
        {"json", 1, NULL, 'j'},
        {"svg", 1, NULL, 'g'},
        {"list", 0, NULL, 'n'},
        {"help", 0, NULL, 'h'},
        {0},
    };
    size_t mib = 1024;

    *ret = (struct options){.n_runs = 7, .limit_mib = 512, .read_ms = 1500, .json = "bench.json"};
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
