// sort: the lines of a text that is larger than memory, in the order of `LC_ALL=C sort`.
//
//     sort [--address ADDRESS] [--memory MIB] [FILE]
//
// This is an external merge sort, the usual way to sort what does not fit into memory:
//
//   1. MIB of the text are read, its lines are sorted, and appended to a run: a vector of bytes.
//   2. The runs are merged.  The first line of each run is in a heap of lines; the least of them is written, and the
//      next line of the same run takes its place.
//
// A run is written by appending to it, and then it is plain memory: there are no temporary files and no buffers.  What
// was merged goes back to the disk at once (discard_front), so the runs never need more disk than the text.  If the
// program is killed, nothing stays behind.
//
// The merge says what it will read (diskalloc_region_prefetch), 256 KiB of each run ahead, and nothing else is to be
// read for it (ADVICE_RANDOM).  By itself the kernel reads 2 MiB at each place: of a hundred runs that may be more than
// there is memory for, and then it goes before it is used.
//
// How to see it: give the program less memory than the text has.
//
//     systemd-run --user --scope -p MemoryMax=256M sort --memory 64 text >sorted
//
// lines.c sorts in fewer lines (<diskalloc/strvec.h>), and leaves the text where it is: it prints lines from scattered
// places, which takes longer once they do not fit into memory.
#include <diskalloc/vec.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/progress.h" // optional: for somebody who waits

// The index of the lines that are in memory.  It is on disk as well: if lines are short, it is larger than the text.
struct line {
    const char *text;
    size_t n; // bytes, with the newline
};
static inline int line_less(const struct line *a, const struct line *b)
{
    size_t n = (a->n < b->n ? a->n : b->n) - 1; // without the newline: a byte may be less than that
    int order = memcmp(a->text, b->text, n);

    return order ? order < 0 : a->n < b->n;
}
DISKALLOC_VEC_DEFINE(lines, struct line)
DISKALLOC_VEC_DEFINE_ORDER(lines, struct line, line_less)
DISKALLOC_VEC_DEFINE(bytes, char)

enum { AHEAD = 256 << 10 }; // bytes

struct run {
    struct bytes bytes;
    size_t at, given; // the line that is next; what was given back
    size_t announced; // what the disk was asked for
};

struct sorter {
    struct diskalloc *da;
    FILE *file;
    char *text; // SIZE bytes and one more, of which USED are filled
    size_t size, used;
    struct run *runs;
    size_t n_runs;
    uint64_t n_bytes; // of all runs
};

struct arguments {
    const char *address, *file;
    size_t memory;
};

static int parse(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--address") && i + 1 < argc)
            ret->address = argv[++i];
        else if (!strcmp(argv[i], "--memory") && i + 1 < argc)
            ret->memory = strtoul(argv[++i], NULL, 10) << 20;
        else if (argv[i][0] != '-' && !ret->file)
            ret->file = argv[i];
        else
            return -1;
    }
    return ret->memory > 0 ? 0 : -1;
}

// Reads whole lines into TEXT, and returns how many bytes they have; 0: the file has ended.  A negative errno.
static ssize_t read_lines(struct sorter *s)
{
    for (;;) {
        char *last, *larger;

        s->used += fread(s->text + s->used, 1, s->size - s->used, s->file);
        if (ferror(s->file))
            return -EIO;
        if (feof(s->file) && s->used > 0 && s->text[s->used - 1] != '\n')
            s->text[s->used++] = '\n'; // the last line gets one, as sort does it
        last = memrchr(s->text, '\n', s->used);
        if (last || s->used == 0)
            return last ? last + 1 - s->text : 0;
        larger = realloc(s->text, 2 * s->size + 1); // one line is longer than all of TEXT
        if (!larger)
            return -ENOMEM;
        s->text = larger;
        s->size *= 2;
    }
}

// The lines of the first N bytes, sorted.
static int sort_lines(struct lines *v, const char *text, size_t n)
{
    int r = 0;

    for (const char *end = text + n; r == 0 && text < end;) {
        const char *next = (const char *)memchr(text, '\n', (size_t)(end - text)) + 1;

        r = lines_push(v, (struct line){text, (size_t)(next - text)});
        text = next;
    }
    return r < 0 ? r : lines_sort(v);
}

// A run of the first N bytes.
static int add_run(struct sorter *s, size_t n)
{
    struct run *runs = realloc(s->runs, (s->n_runs + 1) * sizeof *runs), *run;
    struct lines lines;
    int r;

    if (!runs)
        return -ENOMEM;
    s->runs = runs;
    run = &runs[s->n_runs];
    *run = (struct run){0};
    r = lines_init(&lines, s->da);
    if (r == 0)
        r = bytes_init(&run->bytes, s->da);
    s->n_runs += r == 0;
    if (r == 0)
        r = sort_lines(&lines, s->text, n);
    if (r == 0)
        r = bytes_reserve(&run->bytes, n);
    for (size_t i = 0; r == 0 && i < lines.len; i++)
        r = bytes_extend(&run->bytes, lines.data[i].text, lines.data[i].n);
    lines_deinit(&lines);
    s->n_bytes += n;
    return r;
}

static int make_runs(struct sorter *s, struct progress *p)
{
    ssize_t n;

    while ((n = read_lines(s)) != 0) {
        int r = n < 0 ? (int)n : add_run(s, (size_t)n);

        if (r < 0)
            return r;
        s->used -= (size_t)n;
        memmove(s->text, s->text + n, s->used); // the beginning of a line
        progress_show(p, s->n_bytes);
    }
    return 0;
}

static struct line next_line(const struct run *run)
{
    const char *text = run->bytes.data + run->at;

    return (struct line){text, (size_t)((const char *)memchr(text, '\n', run->bytes.len - run->at) + 1 - text)};
}

struct waiting {
    struct line line;
    struct run *run;
};

// The heap's order: no line is less than the one at half its index.
static void sink(struct waiting *heap, size_t n, size_t i)
{
    struct waiting w = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && line_less(&heap[child + 1].line, &heap[child].line))
            child++;
        if (!line_less(&heap[child].line, &w.line))
            break;
        heap[i] = heap[child];
    }
    heap[i] = w;
}

// The disk begins to read the next part of the run: a hint, so what fails is read later.
static void announce(struct run *run)
{
    uint64_t next = run->announced, rest = run->bytes.len - run->announced;

    if (rest > 0)
        diskalloc_region_prefetch(run->bytes.region, &next, 1, rest < AHEAD ? rest : AHEAD);
    run->announced += rest < AHEAD ? rest : AHEAD;
}

// Gives back what was merged of the run.
static int give_back(struct run *run, uint64_t *done)
{
    int r = bytes_discard_front(&run->bytes, run->at);

    *done += run->at - run->given;
    run->given = run->at;
    return r;
}

static int merge(struct sorter *s, struct progress *p)
{
    struct waiting *heap = calloc(s->n_runs + 1, sizeof *heap);
    size_t n = s->n_runs;
    uint64_t done = 0;
    int r = heap ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = bytes_advise(&s->runs[i].bytes, DISKALLOC_ADVICE_RANDOM);
        announce(&s->runs[i]);
        announce(&s->runs[i]);
    }
    for (size_t i = 0; r == 0 && i < n; i++)
        heap[i] = (struct waiting){next_line(&s->runs[i]), &s->runs[i]};
    for (size_t i = n / 2; r == 0 && i-- > 0;)
        sink(heap, n, i);
    while (r == 0 && n > 0) {
        struct run *run = heap->run;

        fwrite(heap->line.text, 1, heap->line.n, stdout);
        run->at += heap->line.n;
        if (run->at - run->given >= AHEAD || run->at == run->bytes.len) {
            announce(run);
            r = give_back(run, &done);
            progress_show(p, done);
        }
        if (run->at < run->bytes.len)
            heap->line = next_line(run);
        else
            *heap = heap[--n];
        if (n > 0)
            sink(heap, n, 0);
    }
    free(heap);
    return r;
}

static int run(struct sorter *s)
{
    struct progress p;
    struct stat st;
    int r;

    progress_begin(&p, "sorting", fstat(fileno(s->file), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
    r = make_runs(s, &p);
    progress_end(&p);
    if (r < 0)
        return r;
    progress_begin(&p, "merging", s->n_bytes);
    r = merge(s, &p);
    progress_end(&p);
    return r == 0 && (fflush(stdout) < 0 || ferror(stdout)) ? -EIO : r;
}

// The library has said what went wrong, unless it was not the library's.
static int fail(int error)
{
    fprintf(stderr, "sort: %s\n", *diskalloc_last_error() ? diskalloc_last_error() : strerror(-error));
    return 1;
}

int main(int argc, char **argv)
{
    struct arguments a = {.memory = (size_t)64 << 20};
    struct sorter s = {.file = stdin};
    int r;

    if (parse(argc, argv, &a) < 0) {
        fprintf(stderr, "usage: sort [--address ADDRESS] [--memory MIB] [FILE]\n");
        return 2;
    }
    if (a.file && !(s.file = fopen(a.file, "re"))) {
        perror(a.file);
        return 1;
    }
    s.size = a.memory;
    s.text = malloc(s.size + 1);
    if (!s.text)
        return fail(-ENOMEM);
    r = diskalloc_open(a.address, NULL, &s.da);
    if (r < 0)
        return fail(r);
    r = run(&s);
    if (r < 0)
        fail(r);
    for (size_t i = 0; i < s.n_runs; i++)
        bytes_deinit(&s.runs[i].bytes);
    free(s.runs);
    free(s.text);
    diskalloc_close(s.da);
    return r < 0;
}
