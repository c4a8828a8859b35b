// What diskalloc-bench makes of its options: wrong ones end the program with status 2, and are named.
#include <getopt.h>
#include <sys/wait.h>

#include "tests/bench/contenders.h"
#include "tests/bench/options.h"
#include "tests/bench/workload.h"
#include "tests/lib/harness.h"

enum { MOST_WORDS = 10 };

static const struct contender first = {.name = "first"}, second = {.name = "second"};
const struct contender *const contenders[] = {&first, &second};
const size_t n_contenders = 2;

const struct contender *contender_find(const char *name)
{
    for (size_t i = 0; i < n_contenders; i++)
        if (!strcmp(contenders[i]->name, name))
            return contenders[i];
    return NULL;
}

// The words are cut up by parsing.
static void parse(const char *const *words, struct options *ret)
{
    static char copies[MOST_WORDS][4096];
    char *argv[MOST_WORDS + 2] = {(char *)"diskalloc-bench"};
    int argc = 1;

    for (; words[argc - 1]; argc++) {
        snprintf(copies[argc - 1], sizeof copies[0], "%s", words[argc - 1]);
        argv[argc] = copies[argc - 1];
    }
    optind = 0;
    options_parse(argc, argv, ret);
}

// Returns the exit status; what was said on stderr is in TEXT.
static int refused(const char *const *words, char *text, size_t size)
{
    int ends[2], status;
    ssize_t n;
    size_t got = 0;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct options o;

        dup2(ends[1], STDERR_FILENO);
        parse(words, &o);
        _exit(0);
    }
    close(ends[1]);
    while (got < size - 1 && (n = read(ends[0], text + got, size - 1 - got)) > 0)
        got += (size_t)n;
    text[got] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_refused(const char *option, const char *value, const char *said)
{
    const char *const words[] = {option, value, NULL};
    char text[16384];

    assert_int_equal(refused(words, text, sizeof text), 2);
    assert_non_null(strstr(text, said));
    assert_non_null(strstr(text, "usage: diskalloc-bench"));
}

static void a_number_that_is_none_or_out_of_range_is_refused(void **state)
{
    static const char *const options[] = {"--runs", "--mib", "--sizes", "--limited-mib", "--limit-mib", "--threads"};
    static const char *const wrong[] = {"x", "0", "1x", "-1", "16777217", "1,2x"};

    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            assert_refused(options[i], wrong[k], "bad number");
}

static void names_that_nothing_has_are_refused(void **state)
{
    (void)state;
    assert_refused("--workloads", "W1,W9", "no workload W9");
    assert_refused("--contenders", "first,third", "no contender third");
    assert_refused("--on", "vfat", "no file system vfat");
    assert_refused("--thp", "sometimes", "no mode of large pages: sometimes");
    assert_refused("--what", "1", "--what");
}

static void more_than_there_is_room_for_is_refused(void **state)
{
    char many[4 * MOST_SIZES + 8] = "1";

    (void)state;
    for (int i = 0; i < MOST_SIZES; i++)
        strcat(many, ",1");
    assert_refused("--sizes", many, "too many numbers: 1");
    assert_refused("--threads", "1,65", "too many threads: 65");
}

static void words_without_an_option_are_refused(void **state)
{
    const char *const words[] = {"--runs", "1", "W1", NULL};
    char text[16384];

    (void)state;
    assert_int_equal(refused(words, text, sizeof text), 2);
    assert_non_null(strstr(text, "what is W1"));
}

static void without_options_everything_is_measured_once(void **state)
{
    const char *const words[] = {NULL};
    struct options o;

    (void)state;
    parse(words, &o);
    for (int w = 0; w < WORKLOAD_N; w++)
        assert_true(o.workloads[w]);
    assert_int_equal(o.parts, ~0u);
    assert_int_equal(o.n_sizes, 1);
    assert_int_equal(o.sizes[0], 1024);
    assert_int_equal(o.n_limited, 1);
    assert_int_equal(o.limited[0], 4096);
    assert_int_equal(o.limit_mib, 512);
    assert_int_equal(o.n_threads, 1);
    assert_int_equal(o.threads[0], 1);
    assert_int_equal(o.n_contenders, 2);
    assert_null(o.on);
    assert_false(o.cold);
    assert_null(o.thp);
}

static void the_parts_of_reading_can_be_chosen_by_themselves(void **state)
{
    const char *const words[] = {"--workloads", "R1,R4", "--threads", "1,4", "--limited-mib", "128,512", NULL};
    struct options o;

    (void)state;
    parse(words, &o);
    assert_true(o.workloads[READING]);
    assert_false(o.workloads[READING_BOTH]);
    assert_false(o.workloads[PUSH_AND_DROP]);
    assert_int_equal(o.parts, 1u << READ_RANDOM | 1u << READ_SCAN | 1u << READ_SCAN_AFTER);
    assert_int_equal(o.n_threads, 2);
    assert_int_equal(o.threads[1], 4);
    assert_int_equal(o.n_limited, 2);
    assert_int_equal(o.limited[1], 512);
}

static void a_sweep_over_sizes_is_of_w1(void **state)
{
    const char *const words[] = {"--sizes", "1,4", "--on", "btrfs", "--cold", "--thp", "never", NULL};
    struct options o;

    (void)state;
    parse(words, &o);
    for (int w = 0; w < WORKLOAD_N; w++)
        assert_int_equal(o.workloads[w], w == PUSH_AND_DROP);
    assert_int_equal(o.n_sizes, 2);
    assert_string_equal(o.on, "btrfs");
    assert_true(o.cold);
    assert_string_equal(o.thp, "never");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_number_that_is_none_or_out_of_range_is_refused),
        TEST(names_that_nothing_has_are_refused),
        TEST(more_than_there_is_room_for_is_refused),
        TEST(words_without_an_option_are_refused),
        TEST(without_options_everything_is_measured_once),
        TEST(the_parts_of_reading_can_be_chosen_by_themselves),
        TEST(a_sweep_over_sizes_is_of_w1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
