// The examples, run as a reader would run them.
#include "tests/lib/harness.h"
#include "tests/lib/test_daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

// As the comment in wordsort.c says.
#define PIPELINE \
    "tr -cs A-Za-z '\\n' | tr A-Z a-z | grep . | cut -b1-63 | sort | uniq -c | sort -k1,1nr -k2 | sed -n 1,10p"

static struct test_daemon diskallocd;

// Runs it in the daemon's directory with $A the daemon's address, and returns the exit status; what it prints is in
// DIR/output.
static int shell(const char *command)
{
    char line[4096];
    int status, n = snprintf(line, sizeof line,
                             "cd '%s' && export A='%s' E='%s' LC_ALL=C && exec >output 2>&1 </dev/null || exit 99; %s",
                             diskallocd.dir, diskallocd.address, TEST_EXAMPLES, command);

    assert_true(n > 0 && (size_t)n < sizeof line);
    status = system(line);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        print_message("exit status %d: %s\n", WEXITSTATUS(status), command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void start(void)
{
    test_daemon_start(&diskallocd, NULL, NULL);
}

// Words of all lengths, ties, upper and lower case, words as long as and longer than a record, bytes that are no
// text, and no newline at the end: the file after it continues the last word.
static void write_text(const char *name, unsigned seed)
{
    char path[256];
    unsigned state = seed;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", diskallocd.dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    for (int i = 0; i < 200000; i++) {
        state = state * 1103515245 + 12345;
        fputc("etaonrishdlETAetaonrishdETA etaon\nets'.\xc3\xa4\0-9@[`{xq"[(state >> 16) % 50], f);
    }
    for (int i = 60; i < 70; i++)
        for (int times = 0; times < 3000; times++)
            fprintf(f, "%.*s ", i, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    fputs("end", f);
    assert_int_equal(fclose(f), 0);
}

static void wordsort_counts_as_the_pipeline_does(void **state)
{
    (void)state;
    start();
    write_text("a", 1);
    write_text("b", 2);
    assert_int_equal(shell("cat a b | " PIPELINE " >expected; [ $(wc -l <expected) = 10 ]"), 0);
    assert_int_equal(
        shell("$E/wordsort --address $A a b >full && grep -E '^ *[0-9]+ [a-z]+$' full >got; diff expected got"), 0);
    assert_int_equal(shell("grep -q 'charged by the daemon  [1-9]' full && grep -q 'file on disk' full"), 0);
    assert_int_equal(shell("$E/wordsort --address dir:. a b; [ $? = 1 ]"), 0);
    assert_int_equal(shell("$E/wordsort --address dir:$PWD a b | grep -E '^ *[0-9]+ [a-z]+$' >got; diff expected got"),
                     0);
    assert_int_equal(shell("DISKALLOC_ADDRESS=$A $E/wordsort a b | grep -q '^reading at unix:'"), 0);
    test_daemon_stop_and_remove(&diskallocd);
}

static void wordsort_reads_again_until_there_is_enough(void **state)
{
    (void)state;
    start();
    write_text("a", 3);
    assert_int_equal(shell("$E/wordsort --address $A --records-bytes 16M a >full && "
                           "passes=$(sed -n 's/^sorting.*passes: //p' full) && [ $passes -gt 1 ] && "
                           "for i in $(seq $passes); do cat a; done | " PIPELINE " >expected && "
                           "grep -E '^ *[0-9]+ [a-z]+$' full >got; diff expected got"),
                     0);
    test_daemon_stop_and_remove(&diskallocd);
}

static void wordsort_says_what_is_wrong(void **state)
{
    (void)state;
    start();
    assert_int_equal(shell("$E/wordsort --address $A; [ $? = 2 ] && grep -q ^usage: output"), 0);
    assert_int_equal(shell("$E/wordsort --records-bytes 1X a; [ $? = 2 ]"), 0);
    assert_int_equal(shell("$E/wordsort --address $A nowhere; [ $? = 1 ] && grep -q 'nowhere: No such' output"), 0);
    assert_int_equal(shell(": >empty; $E/wordsort --address $A --records-bytes 1M empty"), 0);
    test_daemon_stop_and_remove(&diskallocd);
}

static void the_short_examples_run(void **state)
{
    (void)state;
    start();
    assert_int_equal(shell("DISKALLOC_ADDRESS=$A $E/example-simple && grep -qx '100 numbers, the last is 99' output"),
                     0);
    assert_int_equal(
        shell("$E/example-on_file f few && $E/example-on_file f few && grep -q '^16384 records were there' output && "
              "[ $(stat -c %s f) = 2097152 ] && [ $(tr -d '\\0' <f | head -c 32) = ABCDEFGH12345678ABCDEFGH12345678 ]"),
        0);
    assert_int_equal(shell("$E/example-graph; [ $? = 2 ]"), 0);
    assert_int_equal(
        shell("export DISKALLOC_ADDRESS=$A; $E/example-graph tree few >first && ! grep -q 'not found' first && "
              "grep -c 'at depth' first | grep -qx 4 && $E/example-graph tree few >second && "
              "head -n 1 second | grep -qx 'the tree was there' && tail -n +2 second | diff first -"),
        0);
    test_daemon_stop_and_remove(&diskallocd);
}

// The writer and the reader end when their standard inputs do.
static void shared_shows_a_reader_what_a_writer_commits(void **state)
{
    (void)state;
    start();
    assert_int_equal(shell("$E/example-shared; [ $? = 2 ] && grep -q ^usage: output"), 0);
    assert_int_equal(shell("DISKALLOC_ADDRESS=$A $E/example-shared read nothing; [ $? = 1 ]"), 0);
    assert_int_equal(
        shell("export DISKALLOC_ADDRESS=$A; await() { until grep -qx \"$2\" $1; do sleep 0.01; done; }; "
              "mkfifo in stop && { $E/example-shared write sums <in >written & } && exec 3>in && "
              "await written '0 numbers are there' && "
              "{ $E/example-shared read sums <stop >read & } && exec 4>stop && await read '0 numbers, the sum is 0' && "
              "printf '40\\n2\\n-5\\n' >&3 && await read '3 numbers, the sum is 37' && "
              "echo cut 2 >&3 && await read '2 numbers, the sum is 42' && "
              "echo 1 >&3 && await read '3 numbers, the sum is 43' && exec 4>&- 3>&- && wait && "
              "! grep -q shared: output"),
        0);
    test_daemon_stop_and_remove(&diskallocd);
}

static void lines_sorts_as_sort_does(void **state)
{
    (void)state;
    start();
    write_text("a", 5);
    assert_int_equal(shell("tr '\\0' ' ' <a | tr ' ' '\\n' >text; sort text >expected; "
                           "$E/example-lines --address $A text >got && cmp expected got && "
                           "$E/example-lines --address dir:$PWD <text >got && cmp expected got"),
                     0);
    assert_int_equal(
        shell("echo b | $E/example-lines --address $A --name kept && "
              "echo a | $E/example-lines --address $A --name kept >got && [ \"$(paste -sd, got)\" = a,b ]"),
        0);
    assert_int_equal(shell("$E/example-lines --name; [ $? = 2 ] && grep -q ^usage: output"), 0);
    assert_int_equal(shell("$E/example-lines --address $A nowhere; [ $? = 1 ]"), 0);
    assert_int_equal(
        shell("$E/example-lines --address $A --name a/b/c </dev/null; [ $? = 1 ] && grep -q strvec_open output"), 0);
    test_daemon_stop_and_remove(&diskallocd);
}

static void batches_takes_out_what_it_has_pushed(void **state)
{
    (void)state;
    start();
    assert_int_equal(
        shell("$E/example-batches --address $A 3 && grep -q '^3000000 numbers, sum 8999995500000500000$' output"), 0);
    assert_int_equal(shell("$E/example-batches --address dir:$PWD --batch 1000 1 && grep -q '^1000000 numbers' output"),
                     0);
    assert_int_equal(shell("$E/example-batches --batch 0; [ $? = 2 ] && grep -q ^usage: output"), 0);
    assert_int_equal(shell("$E/example-batches --address unix:$PWD/nowhere; [ $? = 1 ]"), 0);
    test_daemon_stop_and_remove(&diskallocd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wordsort_counts_as_the_pipeline_does),
        TEST(wordsort_reads_again_until_there_is_enough),
        TEST(wordsort_says_what_is_wrong),
        TEST(the_short_examples_run),
        TEST(shared_shows_a_reader_what_a_writer_commits),
        TEST(lines_sorts_as_sort_does),
        TEST(batches_takes_out_what_it_has_pushed),
    };

    return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
