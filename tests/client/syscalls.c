// How many system calls common operations cost with a daemon, once the client is warm: strace counts them between
// marks.
#include "tests/lib/actor.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static const char *const counted[] = {"sendto",   "recvmsg", "poll",  "mmap",       "munmap",
                                      "mprotect", "madvise", "close", "getsockopt", "futex"};
enum { N_COUNTED = sizeof(counted) / sizeof(*counted), ROUNDS = 4 };

// ---- The program that is traced ----

static void mark(const char *text)
{
    NEED(write(-1, text, strlen(text)) < 0); // to nobody but strace
}

static void make_a_vector(struct diskalloc *da)
{
    struct u64s v;

    NEED(u64s_init(&v, da) == 0);
    NEED(u64s_push(&v, 1) == 0);
    u64s_deinit(&v);
}

static void push_one_mib(struct diskalloc *da)
{
    struct u64s v;

    NEED(u64s_init(&v, da) == 0);
    while (v.len < MIB / 8)
        NEED(u64s_push(&v, v.len) == 0);
    u64s_deinit(&v);
}

static void make_a_region(struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;

    o.size = 64 * KIB;
    NEED(diskalloc_region_create(da, &o, &r) == 0);
    diskalloc_region_close(r);
}

static const struct {
    const char *name;
    void (*run)(struct diskalloc *da);
    unsigned most[N_COUNTED]; // of a round, as COUNTED
} cases[] = {
    // a round trip, and the detach, whose answer is found by the next round
    {"vector", make_a_vector, {2, 3, 0, 2, 2, 1, 2, 1, 5, 0}},
    {"region", make_a_region, {2, 3, 0, 2, 2, 1, 1, 1, 5, 0}},
    // two growths more, asked for early; each window looks for the answer; a thread unmaps, which may go on after the
    // end: so this is the last case
    {"mib", push_one_mib, {4, 16, 0, 3, 3, 3, 15, 1, 20, 12}},
};
enum { N_CASES = sizeof(cases) / sizeof(*cases) };

static int run_traced(const char *address)
{
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(address, NULL, &da) == 0);
    for (size_t i = 0; i < N_CASES; i++) {
        cases[i].run(da);
        cases[i].run(da);
        mark(cases[i].name);
        for (int n = 0; n < ROUNDS; n++)
            cases[i].run(da);
        mark("end");
    }
    diskalloc_close(da);
    return 0;
}

// ---- The test ----

static char trace[200];

static void trace_self(void *address)
{
    char self[256] = "";

    NEED(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    execlp("strace", "strace", "-f", "-qq", "-o", trace, self, "traced", address, (char *)NULL);
    _exit(126);
}

static bool has_strace(void)
{
    return system("strace -o /dev/null true >/dev/null 2>&1") == 0;
}

// Lines are "PID NAME(...".
static void count_line(const char *line, unsigned *counts)
{
    const char *name = strchr(line, ' ');

    name = name ? name + strspn(name, " ") : line;
    for (size_t i = 0; i < N_COUNTED; i++)
        if (strncmp(name, counted[i], strlen(counted[i])) == 0 && name[strlen(counted[i])] == '(')
            counts[i]++;
}

// The last that was sent was the detach.
static bool waits_for_no_answer(const char *at, const char *end)
{
    const char *sent = NULL;

    for (; at && at < end; at = strstr(at + 1, "sendto("))
        sent = at;
    at = sent ? strstr(sent, "recvmsg(") : NULL;
    return sent && (!at || at > end);
}

static void count_case(const char *text, const char *name, unsigned *counts)
{
    char begin[64];
    const char *at, *end;

    snprintf(begin, sizeof(begin), "write(-1, \"%s\"", name);
    at = strstr(text, begin);
    assert_non_null(at);
    end = strstr(at, "write(-1, \"end\"");
    assert_non_null(end);
    assert_true(waits_for_no_answer(at, end));
    while ((at = strchr(at, '\n')) && ++at < end)
        count_line(at, counts);
}

static bool is_within(size_t n, const unsigned *counts)
{
    bool within = true;

    print_message("%s:", cases[n].name);
    for (size_t i = 0; i < N_COUNTED; i++) {
        bool above = counts[i] > cases[n].most[i] * ROUNDS;

        if (counts[i] > 0)
            print_message(" %s %g%s", counted[i], (double)counts[i] / ROUNDS, above ? " (too many)" : "");
        within &= !above;
    }
    print_message("\n");
    return within;
}

static void the_common_things_take_few_system_calls(void **state)
{
    struct test_backend b;
    bool within = true;
    char *text;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    snprintf(trace, sizeof(trace), "%s/trace", b.daemon.dir);
    assert_int_equal(test_in_child(trace_self, b.address, (uid_t)-1), 0);
    text = scratch_read_file(trace);
    assert_non_null(text);
    for (size_t i = 0; i < N_CASES; i++) {
        unsigned counts[N_COUNTED] = {0};

        count_case(text, cases[i].name, counts);
        within &= is_within(i, counts);
    }
    free(text);
    assert_true(within);
    backend_stop(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_common_things_take_few_system_calls),
    };

    if (argc == 3 && strcmp(argv[1], "traced") == 0)
        return run_traced(argv[2]);
    if (SANITIZED)
        test_skip_all("a sanitizer makes system calls of its own");
    if (!has_strace())
        test_skip_all("there is no strace, or it may not trace");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
