// uthash FILE: how often each line of a text occurs, counted by a hash table of uthash.h whose memory is on disk.
//
// uthash.h (Troy Hanson's, package uthash-dev) links the program's own structs to a hash table, by pointers inside
// them.  So the structs must never move.  Elements of a diskalloc vector never do, however many are pushed: the vector
// grows in place.  Here the structs are a vector, the lines are another one, and uthash's own blocks (the table, and
// its buckets, which it allocates anew when they double) come from the realloc face.
//
//   - A vector of 64-byte structs costs nothing besides; a malloc for each struct would cost 16 bytes and scatter them.
//   - What is looked up in no order at all is read from the disk page by page: a table much larger than memory is as
//     fast as the disk's random reads.  diskalloc-performance(7) has the numbers.
//   - HASH_NONFATAL_OOM: a refusal does not end the program inside of uthash.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.  Prints the ten most frequent lines.
#include <diskalloc/vec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static struct diskalloc *client;

#define uthash_malloc(size) diskalloc_malloc(client, size)
#define uthash_free(block, size) diskalloc_free(block)
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct line {
    const char *bytes; // in the vector of bytes, with a NUL behind
    size_t count;
    UT_hash_handle hh;
};
DISKALLOC_VEC_DEFINE(lines, struct line)
DISKALLOC_VEC_DEFINE(bytes, char)

struct counts {
    struct lines lines;
    struct bytes bytes;
    struct line *table; // uthash's: the first line that was added
};

static int by_count(const struct line *a, const struct line *b)
{
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->bytes, b->bytes);
}

// N: bytes of TEXT, without its NUL.  0 or -errno.
static int add(struct counts *c, const char *text, unsigned n)
{
    struct line *found;
    int e;

    HASH_FIND(hh, c->table, text, n, found);
    if (found) {
        found->count++;
        return 0;
    }
    e = bytes_extend(&c->bytes, text, n + 1);
    if (e == 0)
        e = lines_push(&c->lines, (struct line){.bytes = c->bytes.data + c->bytes.len - n - 1, .count = 1});
    if (e < 0)
        return e;
    found = &c->lines.data[c->lines.len - 1];
    HASH_ADD_KEYPTR(hh, c->table, found->bytes, n, found);
    return found->hh.tbl ? 0 : -1; // no memory: uthash says so by no table
}

static int count(struct counts *c, FILE *f)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int e = 0;

    while (e == 0 && (n = getline(&line, &size, f)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        e = add(c, line, (unsigned)strlen(line));
    }
    free(line);
    return e;
}

static int fail(void)
{
    fprintf(stderr, "uthash: %s\n", diskalloc_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    struct counts c = {.table = NULL};
    const struct line *at;
    FILE *f;
    int n = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: uthash FILE\n");
        return 2;
    }
    f = fopen(argv[1], "re");
    if (!f) {
        perror(argv[1]);
        return 1;
    }
    if (diskalloc_open(NULL, NULL, &client) < 0 || lines_init(&c.lines, client) < 0 ||
        bytes_init(&c.bytes, client) < 0 || count(&c, f) < 0)
        return fail();
    HASH_SORT(c.table, by_count);
    for (at = c.table; at && n < 10; at = at->hh.next, n++)
        printf("%7zu %s\n", at->count, at->bytes);
    HASH_CLEAR(hh, c.table);
    lines_deinit(&c.lines);
    bytes_deinit(&c.bytes);
    fclose(f);
    diskalloc_close(client);
    return 0;
}
