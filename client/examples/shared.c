// shared write NAME | shared read [USER/]NAME: two users share a vector of numbers, one writes and the others follow.
//
// The writer makes the region NAME with the mode 0640: members of its group may read it, and everybody else nothing.
// It reads numbers from its standard input, one a line, and commits after each; "cut N" keeps the first N and gives the
// space of the rest back, if all readers agree.  A reader prints how many numbers there are, and their sum, as often as
// that changes, until a line comes on its standard input, or its end.  The address is $DISKALLOC_ADDRESS, or the
// daemon's.
#include <diskalloc/vec.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DISKALLOC_VEC_DEFINE(numbers, int64_t)

static int fail(void)
{
    fprintf(stderr, "shared: %s\n", diskalloc_last_error());
    return 1;
}

// 0 or a negative errno.
static int take_line(struct numbers *v, const char *line)
{
    size_t n;
    int r;

    if (sscanf(line, "cut %zu", &n) == 1) {
        r = numbers_truncate(v, n < v->len ? n : v->len);
        if (r == 0)
            r = numbers_commit(v, 0);
        if (r == 0)
            r = numbers_shrink_to_fit(v); // asks the readers, and waits for a second
        if (r < 0)
            fprintf(stderr, "shared: %s\n", diskalloc_last_error());
        return 0;
    }
    r = numbers_push(v, strtoll(line, NULL, 10));
    return r < 0 ? r : numbers_commit(v, 0);
}

static int write_numbers(struct diskalloc *da, const char *name)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct numbers v;
    char line[64];
    int r;

    o.mode = 0640;
    o.flags = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_SOLE_WRITER;
    if (numbers_open(&v, da, name, &o) < 0)
        return fail();
    printf("%zu numbers are there\n", v.len);
    fflush(stdout);
    for (r = 0; r == 0 && fgets(line, sizeof line, stdin);)
        r = take_line(&v, line);
    if (r < 0)
        fail();
    numbers_deinit(&v);
    return r < 0;
}

static void print(const struct numbers *v)
{
    int64_t sum = 0;

    for (size_t i = 0; i < v->len; i++)
        sum += v->data[i];
    printf("%zu numbers, the sum is %lld\n", v->len, (long long)sum);
    fflush(stdout);
}

// Takes all events that have come.  This program needs no number that the writer wants to cut: refreshing agrees.
static int follow(struct diskalloc *da, struct numbers *v)
{
    struct diskalloc_event e;
    int r;

    do
        r = diskalloc_next_event(da, &e, sizeof e);
    while (r == 1);
    if (r == 0)
        r = numbers_refresh(v);
    if (r == 1)
        print(v);
    return r;
}

static int read_numbers(struct diskalloc *da, const char *name)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct pollfd p[2] = {{.events = POLLIN}, {.events = POLLIN}};
    struct numbers v;
    int r = 0;

    o.flags = DISKALLOC_REGION_READ_ONLY;
    if (numbers_open(&v, da, name, &o) < 0)
        return fail();
    print(&v);
    p[1].fd = diskalloc_event_fd(da);
    // A resize is an event, and so is the question whether the region may be cut.  A commit is none: this program looks
    // for commits ten times a second, which costs nothing while there are none.
    while (r >= 0 && p[1].fd >= 0 && poll(p, 2, 100) >= 0 && p[0].revents == 0)
        r = follow(da, &v);
    if (p[1].fd < 0 || r < 0)
        fail();
    numbers_deinit(&v);
    return p[1].fd < 0 || r < 0;
}

int main(int argc, char **argv)
{
    struct diskalloc *da;
    int status;

    if (argc != 3 || (strcmp(argv[1], "write") != 0 && strcmp(argv[1], "read") != 0)) {
        fprintf(stderr, "usage: shared write NAME | shared read [USER/]NAME\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0)
        return fail();
    status = strcmp(argv[1], "write") == 0 ? write_numbers(da, argv[2]) : read_numbers(da, argv[2]);
    diskalloc_close(da);
    return status;
}
