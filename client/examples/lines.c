// lines: the lines of a text, sorted.  The strings lie on disk, those of all lengths: no line is copied to the heap,
// and the text may be larger than memory.
//
//     lines [--address ADDRESS] [--name NAME] [FILE]
//
// With --name the lines stay there: the next call adds the lines of its FILE, without reading the old ones again.
#include <diskalloc/strvec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct arguments {
    const char *address, *name, *file;
};

static int fail(void)
{
    fprintf(stderr, "lines: %s\n", diskalloc_last_error());
    return 1;
}

static int parse(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--address") && i + 1 < argc)
            ret->address = argv[++i];
        else if (!strcmp(argv[i], "--name") && i + 1 < argc)
            ret->name = argv[++i];
        else if (argv[i][0] != '-' && !ret->file)
            ret->file = argv[i];
        else
            return -1;
    }
    return 0;
}

static int add_lines(struct diskalloc_strvec *v, FILE *f)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = getline(&line, &size, f)) >= 0)
        r = diskalloc_strvec_push(v, line, (size_t)n - (n > 0 && line[n - 1] == '\n'));
    free(line);
    return r;
}

static void print(const struct diskalloc_strvec *v)
{
    for (size_t i = 0; i < diskalloc_strvec_len(v); i++) {
        size_t n;
        const char *line = diskalloc_strvec_get(v, i, &n);

        if (line) {
            fwrite(line, 1, n, stdout);
            putchar('\n');
        }
    }
}

// The regions are given up by whoever calls: deinit accepts a vector that was not opened.
static int run(const struct arguments *a, struct diskalloc *da, struct diskalloc_strvec *v, FILE *f)
{
    int r = a->name ? diskalloc_strvec_open(v, da, a->name, DISKALLOC_REGION_CREATE) : diskalloc_strvec_init(v, da);

    if (r < 0 || add_lines(v, f) < 0 || diskalloc_strvec_sort(v) < 0)
        return fail();
    print(v);
    // What the program says now, a later call finds.
    return a->name && diskalloc_strvec_commit(v, DISKALLOC_DURABLE) < 0 ? fail() : 0;
}

int main(int argc, char **argv)
{
    struct diskalloc_strvec v = {0};
    struct arguments a = {0};
    struct diskalloc *da;
    FILE *f = stdin;
    int status;

    if (parse(argc, argv, &a) < 0) {
        fprintf(stderr, "usage: lines [--address ADDRESS] [--name NAME] [FILE]\n");
        return 2;
    }
    if (a.file && !(f = fopen(a.file, "re"))) {
        perror(a.file);
        return 1;
    }
    if (diskalloc_open(a.address, NULL, &da) < 0)
        return fail();
    status = run(&a, da, &v, f);
    diskalloc_strvec_deinit(&v);
    diskalloc_close(da);
    return status;
}
