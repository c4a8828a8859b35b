// wordsort FILE…: prints which words are the most frequent in the files.
//
// Every word becomes a record of 64 bytes in one vector on disk.  The vector is sorted in place, and equal words are
// counted.  At the end the program prints where the bytes of the vector really are: on disk, in its own memory, in the
// page cache.
//
// A word is a run of ASCII letters, in lower case and cut to 63 bytes.  The files are read as one stream.  The counts
// are those of
//   cat FILE… | tr -cs A-Za-z '\n' | tr A-Z a-z | grep . | cut -b1-63 | sort | uniq -c | sort -k1,1nr -k2 | head
#include <diskalloc/vec.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/progress.h" // optional: for somebody who waits
#include "wordsort.h"

struct reader {
    struct words *words;
    struct word word; // the word that is being read
    size_t length;    // its letters so far; may be more than fit into the record
};

static struct progress reading;

_Noreturn static void die(const char *what)
{
    progress_end(&reading);
    fprintf(stderr, "wordsort: %s: %s\n", what, *diskalloc_last_error() ? diskalloc_last_error() : strerror(errno));
    exit(1);
}

static void end_word(struct reader *r)
{
    if (r->length == 0)
        return;
    if (words_push(r->words, r->word) < 0)
        die("no place for another word");
    memset(&r->word, 0, sizeof r->word);
    r->length = 0;
}

static void read_bytes(struct reader *r, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i] | 0x20;

        if (c < 'a' || c > 'z')
            end_word(r);
        else if (r->length++ < sizeof r->word.text - 1)
            r->word.text[r->length - 1] = (char)c;
    }
}

static void read_file(struct reader *r, const char *path)
{
    static char buffer[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        progress_end(&reading);
        fprintf(stderr, "wordsort: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        read_bytes(r, buffer, (size_t)n);
        progress_show(&reading, r->words->len * sizeof(struct word));
    }
    if (n < 0)
        die(path);
    close(fd);
}

// Reads all files once, and again until there are MIN bytes of records.  Returns how often the files were read.
static unsigned read_files(struct words *words, char **paths, uint64_t min)
{
    struct reader r = {.words = words};
    unsigned passes = 0;

    progress_begin(&reading, "reading", min);
    do {
        for (char **path = paths; *path; path++)
            read_file(&r, *path);
        passes++;
    } while (words->len > 0 && words->len * sizeof(struct word) < min);
    end_word(&r);
    progress_end(&reading);
    return passes;
}

struct count {
    uint64_t n;
    const char *word;
};

// Inserts C into the list of the most frequent words, behind those with the same count: the words come in alphabetical
// order.
static void keep_top(struct count top[static N_TOP], struct count c)
{
    size_t i = N_TOP;

    while (i > 0 && top[i - 1].n < c.n)
        i--;
    if (i == N_TOP)
        return;
    memmove(&top[i + 1], &top[i], (N_TOP - 1 - i) * sizeof *top);
    top[i] = c;
}

static void print_top(const struct words *v)
{
    struct count top[N_TOP] = {0};

    for (size_t i = 0, next; i < v->len; i = next) {
        for (next = i + 1; next < v->len && !memcmp(&v->data[i], &v->data[next], sizeof *v->data);)
            next++;
        keep_top(top, (struct count){next - i, v->data[i].text});
    }
    for (size_t i = 0; i < N_TOP && top[i].n; i++)
        printf("%7" PRIu64 " %s\n", top[i].n, top[i].word);
}

static uint64_t parse_bytes(const char *text)
{
    char *end;
    uint64_t n;
    const char *unit;

    errno = 0;
    n = strtoull(text, &end, 10);
    unit = *end ? strchr("KMGT", *end) : NULL;
    if (errno || end == text || *text == '-' || (*end && (!unit || end[1]))) {
        fprintf(stderr, "wordsort: not a size: %s\n", text);
        exit(2);
    }
    return unit ? n << (10 * (unit - "KMGT" + 1)) : n;
}

static const char usage[] =
    "usage: wordsort [--address ADDRESS] [--records-bytes MIN] FILE...\n"
    "  --address        unix:/path of a daemon's socket, or dir:/path of a directory\n"
    "  --records-bytes  read the files again until there are that many bytes of records (K M G T)\n";

static char **parse_options(int argc, char **argv, const char **ret_address, uint64_t *ret_min)
{
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"records-bytes", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'a')
            *ret_address = optarg;
        else if (c == 'b')
            *ret_min = parse_bytes(optarg);
        else {
            fputs(usage, c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    }
    if (optind == argc) {
        fputs(usage, stderr);
        exit(2);
    }
    return argv + optind;
}

int main(int argc, char **argv)
{
    const char *address = NULL;
    uint64_t min = 0;
    char **paths = parse_options(argc, argv, &address, &min);
    struct diskalloc *da;
    struct words v;
    unsigned passes;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (diskalloc_open(address, NULL, &da) < 0)
        die("no client");
    if (words_init(&v, da) < 0)
        die("no vector");
    printf("reading at %s\n", diskalloc_address(da));
    passes = read_files(&v, paths, min);
    printf("sorting %zu words in place, read from %d files, passes: %u\n", v.len, argc - optind, passes);
    if (words_sort(&v) < 0)
        die("the words can't be sorted");
    printf("sorted; the most frequent are\n");
    print_top(&v);
    wordsort_where(&v, da);
    words_deinit(&v);
    diskalloc_close(da);
    return 0;
}
