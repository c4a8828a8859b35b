// stb_ds FILE: how often each line of a text occurs, counted by a hash table of stb_ds.h whose memory is on disk.
//
// stb_ds.h (Sean Barrett's, package libstb-dev) has dynamic arrays and hash tables in one header.  They ask for few and
// large blocks and make them larger by realloc, so the realloc face of <diskalloc/client.h> is what they need: two
// macros, and each array and table of the program is on disk.  A table's entries lie in one block; when it has grown
// to some hundred million of them, only those that are looked up take memory.
//
//   - Blocks grow in place, so a table that doubles copies no entries.
//   - stb_ds does not expect a refusal: it would go on with NULL.  `resize` ends the program with the library's
//     sentence instead ("user:alice bytes: 50 GiB are the limit ...").
//   - Keys that are strings: sh_new_arena puts them into blocks of up to 1 MiB.  sh_new_strdup would make a block for
//     each key, and a block is a file of 4 KiB at least.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.  Prints the ten most frequent lines.
#include <diskalloc/client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static struct diskalloc *da;

static void *resize(void *block, size_t size)
{
    void *resized = diskalloc_realloc(da, block, size);

    if (!resized) {
        fprintf(stderr, "stb_ds: %s\n", diskalloc_last_error());
        exit(1);
    }
    return resized;
}

#define STBDS_REALLOC(context, block, size) resize(block, size)
#define STBDS_FREE(context, block) diskalloc_free(block)
#define STB_DS_IMPLEMENTATION
#include <stb_ds.h>

struct count {
    char *key; // the line
    size_t value;
};

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return strcmp(x->key, y->key);
}

static struct count *count_lines(FILE *f)
{
    struct count *counts = NULL;
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    sh_new_arena(counts);
    shdefault(counts, 0);
    while ((n = getline(&line, &size, f)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        shput(counts, line, shget(counts, line) + 1);
    }
    free(line);
    return counts;
}

int main(int argc, char **argv)
{
    struct count *counts;
    FILE *f;
    size_t n;

    if (argc != 2) {
        fprintf(stderr, "usage: stb_ds FILE\n");
        return 2;
    }
    f = fopen(argv[1], "re");
    if (!f) {
        perror(argv[1]);
        return 1;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0) {
        fprintf(stderr, "stb_ds: %s\n", diskalloc_last_error());
        return 1;
    }
    counts = count_lines(f);
    n = shlenu(counts);
    qsort(counts, n, sizeof *counts, by_count); // the last use of the table: now it is an array
    for (size_t i = 0; i < n && i < 10; i++)
        printf("%7zu %s\n", counts[i].value, counts[i].key);
    shfree(counts);
    fclose(f);
    diskalloc_close(da);
    return 0;
}
