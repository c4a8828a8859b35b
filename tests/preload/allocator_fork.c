// Scenes with forks: see allocator.h.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/preload/allocator.h"

enum { SIZE_MIB = 48, THREADS = 4, FORKS = 30 };
#define SIZE (SIZE_MIB * MIB)

// The two ends of a conversation: each side tells the other that it may go on.
struct talk {
    int to_child[2], to_parent[2];
};

static void talk_begin(struct talk *t)
{
    CHECK(pipe(t->to_child) == 0 && pipe(t->to_parent) == 0);
}

static void tell(const int *ends)
{
    CHECK(write(ends[1], "x", 1) == 1);
}

static void hear(const int *ends)
{
    char c;

    CHECK(read(ends[0], &c, 1) == 1);
}

// A child that does not outlive a parent that has failed.
static pid_t fork_one(void)
{
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static void wait_for_child(void)
{
    int status;

    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static char *map(void)
{
    char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(m != MAP_FAILED && is_on_disk(m));
    return m;
}

// A block that has grown elsewhere, and so is several pieces.
static char *grown(void)
{
    char *a = malloc(SIZE), *in_the_way = malloc(SIZE);

    fill(a, SIZE, 1);
    a = realloc(a, 2 * SIZE);
    CHECK(is_filled(a, SIZE, 1) && in_the_way);
    free(in_the_way);
    return a;
}

void play_fork(void)
{
    char *a = malloc(SIZE), *m = map(), *g = grown();
    struct talk t;

    talk_begin(&t);
    fill(a, SIZE, 1);
    fill(m, SIZE, 2);
    fill(g, 2 * SIZE, 3);
    CHECK(mprotect(m, 4096, PROT_READ) == 0);
    if (fork_one() == 0) {
        CHECK(is_filled(a, SIZE, 1) && is_filled(m, SIZE, 2) && is_filled(g, 2 * SIZE, 3));
        CHECK(mprotect(m, 4096, PROT_READ | PROT_WRITE) == 0);
        fill(a, SIZE, 11);
        fill(m, SIZE, 12);
        fill(g, 2 * SIZE, 13);
        tell(t.to_parent);
        hear(t.to_child); // the parent has written, too
        CHECK(is_filled(a, SIZE, 11) && is_filled(m, SIZE, 12) && is_filled(g, 2 * SIZE, 13));
        free(a);
        CHECK(munmap(m, SIZE) == 0);
        g = realloc(g, 3 * SIZE);
        CHECK(is_filled(g, 2 * SIZE, 13));
        free(g);
        a = malloc(SIZE);
        CHECK(is_on_disk(a));
        fill(a, SIZE, 14);
        tell(t.to_parent);
        hear(t.to_child);
        CHECK(is_filled(a, SIZE, 14));
        _exit(0);
    }
    hear(t.to_parent);
    CHECK(is_filled(a, SIZE, 1) && is_filled(m, SIZE, 2) && is_filled(g, 2 * SIZE, 3));
    fill(a, SIZE, 21);
    CHECK(mprotect(m, 4096, PROT_READ | PROT_WRITE) == 0);
    fill(m, SIZE, 22);
    fill(g, 2 * SIZE, 23);
    tell(t.to_child);
    hear(t.to_parent); // the child has freed all of it
    CHECK(is_filled(a, SIZE, 21) && is_filled(m, SIZE, 22) && is_filled(g, 2 * SIZE, 23));
    tell(t.to_child);
    wait_for_child();
    CHECK(is_filled(a, SIZE, 21) && is_filled(m, SIZE, 22) && is_filled(g, 2 * SIZE, 23));
    free(a);
    free(g);
    CHECK(munmap(m, SIZE) == 0);
}

// As daemons do with descriptors that they do not know.
static void close_all_but(const struct talk *t)
{
    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
        if (fd != t->to_child[0] && fd != t->to_parent[1])
            close(fd);
}

static void free_beside_child(bool closes_all)
{
    char *a = malloc(SIZE), *m = map(), *b;
    struct talk t;

    talk_begin(&t);
    fill(a, SIZE, 1);
    fill(m, SIZE, 2);
    if (fork_one() == 0) {
        if (closes_all)
            close_all_but(&t);
        tell(t.to_parent);
        hear(t.to_child); // the parent has freed both, and filled others
        CHECK(is_filled(a, SIZE, 1) && is_filled(m, SIZE, 2));
        _exit(0);
    }
    hear(t.to_parent);
    free(a);
    // The parent sees zeros, and what it writes then.
    for (size_t i = 0; i < 2; i++) {
        CHECK(madvise(m + 4096, 8192, MADV_DONTNEED) == 0 && is_zero(m + 4096, 8192) && is_filled(m, 4096, 2));
        CHECK(madvise(m + 8 * MIB, 16 * MIB, MADV_DONTNEED) == 0 && is_zero(m + 8 * MIB, 16 * MIB));
        CHECK(is_on_disk(m + 4096) && is_on_disk(m + 8 * MIB));
        fill(m + 4096, 8192, 3);
        fill(m + 8 * MIB, 16 * MIB, 3);
    }
    CHECK(munmap(m, SIZE) == 0);
    for (unsigned i = 0; i < 8; i++) {
        b = malloc(SIZE);
        fill(b, SIZE, i);
        free(b);
        b = calloc(1, SIZE);
        CHECK(is_zero(b, SIZE));
        fill(b, SIZE, i);
        free(b);
    }
    tell(t.to_child);
    wait_for_child();
}

void play_fork_freed(void)
{
    free_beside_child(false);
    free_beside_child(true);
}

static _Atomic bool stop;

static void *allocate(void *data)
{
    unsigned seed = (unsigned)(size_t)data;

    while (!stop) {
        char *a = malloc(33 * MIB),
             *m = mmap(NULL, 33 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(a && m != MAP_FAILED);
        fill(a, 4096, seed);
        fill(m, 4096, seed + 1);
        a = realloc(a, 35 * MIB);
        CHECK(is_filled(a, 4096, seed) && is_filled(m, 4096, seed + 1));
        free(a);
        CHECK(munmap(m, 33 * MIB) == 0);
    }
    return NULL;
}

void play_fork_threads(void)
{
    pthread_t threads[THREADS];
    char *a = malloc(SIZE);

    fill(a, SIZE, 5);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate, (void *)i) == 0);
    for (int i = 0; i < FORKS; i++) {
        if (fork_one() == 0) {
            char *b = malloc(40 * MIB);

            CHECK(b && is_filled(a, SIZE, 5));
            fill(b, MIB, 9);
            fill(a, MIB, 6);
            CHECK(is_filled(b, MIB, 9));
            free(a);
            free(b);
            _exit(0);
        }
        wait_for_child();
        CHECK(is_filled(a, SIZE, 5));
    }
    stop = true;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    free(a);
}

void play_fork_again(void)
{
    char *a = malloc(SIZE), *b;

    fill(a, SIZE, 1);
    if (fork_one() == 0) {
        b = malloc(SIZE);
        fill(b, SIZE, 2);
        fill(a, SIZE / 2, 3);
        if (fork_one() == 0) {
            CHECK(is_filled(b, SIZE, 2) && is_filled(a, SIZE / 2, 3));
            fill(b, SIZE, 4);
            fill(a, SIZE, 5);
            exit(0); // with all that is to be done at the end
        }
        wait_for_child();
        CHECK(is_filled(b, SIZE, 2) && is_filled(a, SIZE / 2, 3));
        free(b);
        exit(0);
    }
    wait_for_child();
    CHECK(is_filled(a, SIZE, 1));
    for (int i = 0; i < 3; i++) {
        if (fork_one() == 0) {
            execl("/bin/sh", "sh", "-c", "exec cat /dev/null", (char *)NULL);
            _exit(127);
        }
        wait_for_child();
    }
    if (vfork() == 0)
        execl("/bin/true", "true", (char *)NULL);
    wait_for_child();
    free(a);
}

// A list whose nodes are small blocks.
struct node {
    struct node *next;
    size_t number;
};

static struct node *make_list(size_t n)
{
    struct node *first = NULL;

    while (n-- > 0) {
        struct node *x = malloc(sizeof *x);

        CHECK(x && (n % 1000 || is_on_disk(x)));
        *x = (struct node){first, n};
        first = x;
    }
    return first;
}

static void check_list(const struct node *x, size_t n)
{
    for (size_t i = 0; i < n; i++, x = x->next)
        CHECK(x && x->number == i);
    CHECK(!x);
}

static void free_list(struct node *x)
{
    while (x) {
        struct node *next = x->next;

        x->number = 0;
        free(x);
        x = next;
    }
}

void play_fork_small(void)
{
    struct node *list = make_list(100000), *own;
    struct talk t;

    talk_begin(&t);
    if (fork_one() == 0) {
        hear(t.to_child); // the parent has freed the list, and made another of its nodes
        check_list(list, 100000);
        own = make_list(5000);
        list->number = 77;
        list = realloc(list, 64); // a block of the parent's
        CHECK(list->number == 77);
        free_list(list);
        check_list(own, 5000);
        free_list(own);
        exit(0);
    }
    free_list(list);
    list = make_list(50000);
    tell(t.to_child);
    wait_for_child();
    check_list(list, 50000);
    free_list(list);
}
