// table NAME FILE [WORD...]: a table that many processes read, and that the first of them builds.
//
// FILE has a word and a number in each line.  The program prints the numbers of the WORDs.  All processes that are
// given the same NAME look into the same memory: however many there are, the table is in memory and on disk once.
//
// Nobody has to start first, and nobody has to clean up.  That the table is built once follows from two things:
//
//   - SOLE_WRITER: one process at a time can open the region for writing.  The others get -EBUSY, and wait.
//   - The commit: until then, readers find a table of length 0, and know that it is not there yet.  If the builder is
//     killed before, the region is empty and free, and the next process that looks builds the table.
//
// From the commit on nobody writes, so readers need no locks.  They open the region READ_ONLY: a store to it would be
// SIGSEGV, and the daemon gives them a descriptor that can't write.  With the mode 0640 other users of the same group
// may read the table too, and nobody else.
//
// To replace the table, build another one under a new name, and unlink the old name: processes that still read the old
// table keep it, and its space comes back with the last of them.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/vec.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// No pointers: the table lies at another address in each process.
struct entry {
    char word[24];
    uint64_t number;
};
static inline int entry_less(const struct entry *a, const struct entry *b)
{
    return strncmp(a->word, b->word, sizeof a->word) < 0;
}
DISKALLOC_VEC_DEFINE(table, struct entry)
DISKALLOC_VEC_DEFINE_ORDER(table, struct entry, entry_less)

enum { LOOK_AGAIN_MS = 20 };

static int fill(struct table *t, FILE *f)
{
    struct entry e = {0};
    int n, r = 0;

    // 23 letters and a NUL, as large as `word` is.
    while (r == 0 && (n = fscanf(f, "%23s %" SCNu64, e.word, &e.number)) == 2) {
        r = table_push(t, e);
        memset(&e, 0, sizeof e);
    }
    if (r < 0)
        return r;
    if (n == EOF && t->len > 0)
        return table_sort(t);
    fprintf(stderr, "table: entry %zu of the file is no word of at most 23 letters and a number\n", t->len + 1);
    return -EINVAL;
}

// This process is the only one that can write to the region now.
static int build(struct table *t, const char *path)
{
    FILE *f = fopen(path, "re");
    int r;

    if (!f) {
        r = -errno;
        perror(path);
        return r;
    }
    r = table_truncate(t, 0); // nothing is there, unless the region had another purpose before
    if (r == 0)
        r = fill(t, f);
    if (r == 0)
        table_shrink_to_fit(t); // if a process that looks has it open at this moment, some space is kept
    if (r == 0)
        r = table_commit(t, DISKALLOC_DURABLE); // from here on the table is there
    fclose(f);
    return r;
}

// 0: the table is there now; -EBUSY: another process builds it; another negative errno.
static int try_to_build(struct diskalloc *da, const char *name, const char *path, bool *ret_built)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct table t;
    int r;

    o.mode = 0640;
    o.flags = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_SOLE_WRITER;
    r = table_open(&t, da, name, &o);
    if (r < 0)
        return r;
    if (t.len == 0) { // else another process has built it since we looked
        r = build(&t, path);
        *ret_built = r == 0;
        if (r < 0)
            table_truncate(&t, 0); // deinit commits
    }
    table_deinit(&t);
    return r;
}

// 1: the table is open; 0: it is not there.
static int look(struct diskalloc *da, const char *name, struct table *ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    int r;

    o.flags = DISKALLOC_REGION_READ_ONLY;
    r = table_open(ret, da, name, &o);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (ret->len > 0)
        return 1;
    table_deinit(ret);
    return 0;
}

static int open_table(struct diskalloc *da, const char *name, const char *path, struct table *ret, bool *ret_built)
{
    int r;

    *ret_built = false;
    while ((r = look(da, name, ret)) == 0) {
        r = try_to_build(da, name, path, ret_built);
        if (r == -EBUSY)
            poll(NULL, 0, LOOK_AGAIN_MS);
        else if (r < 0)
            return r;
    }
    return r;
}

static void print_number(const struct table *t, const char *word)
{
    struct entry key = {0};
    size_t i;

    strncpy(key.word, word, sizeof key.word - 1);
    i = table_lower_bound(t, &key);
    if (strlen(word) < sizeof key.word && i < t->len && strcmp(t->data[i].word, word) == 0)
        printf("%s %" PRIu64 "\n", word, t->data[i].number);
    else
        printf("%s is not in the table\n", word);
}

int main(int argc, char **argv)
{
    struct diskalloc *da = NULL;
    struct table t;
    bool built;

    if (argc < 3) {
        fprintf(stderr, "usage: table NAME FILE [WORD...]\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0 || open_table(da, argv[1], argv[2], &t, &built) < 0) {
        if (*diskalloc_last_error())
            fprintf(stderr, "table: %s\n", diskalloc_last_error());
        diskalloc_close(da);
        return 1;
    }
    printf("%zu entries, %s\n", t.len, built ? "built by this process" : "built by another one");
    for (int i = 3; i < argc; i++)
        print_number(&t, argv[i]);
    table_deinit(&t);
    diskalloc_close(da);
    return 0;
}
