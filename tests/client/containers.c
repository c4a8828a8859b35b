// The examples of other people's containers, through a daemon and in a directory, run as a reader would run them.
#include "tests/lib/cgroup.h"
#include "tests/lib/test_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// A sanitizer needs more than the program.
#define LIMIT (SANITIZED ? 256 * MIB : 24 * MIB)
#define QUOTA "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 24M\n"

static char dir[128]; // where the commands run

// An example that could not be built is no failure.
static void need_example(const char *name, const char *package)
{
    char path[300];

    snprintf(path, sizeof path, "%s/example-%s", TEST_EXAMPLES, name);
    if (access(path, X_OK) == 0)
        return;
    print_message("example-%s was not built: %s was not there\n", name, package);
    skip();
}

// Runs it in DIR, which has what it prints as `output`, with $E the examples' directory; returns the exit status.
static int shell(const struct test_backend *b, const char *command)
{
    char line[4096];
    int status, n;

    n = snprintf(line, sizeof line,
                 "cd '%s' && export DISKALLOC_ADDRESS='%s' E='%s/example' LC_ALL=C && exec >output 2>&1 </dev/null || "
                 "exit 99; %s",
                 dir, b->address, TEST_EXAMPLES, command);
    assert_true(n > 0 && (size_t)n < sizeof line);
    status = system(line);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        print_message("exit status %d: %s\n", WEXITSTATUS(status), command);
        snprintf(line, sizeof line, "head -c 2000 '%s/output'", dir);
        if (system(line) != 0)
            print_message("and no output\n");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_text(const char *name, const char *text)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

// Lines with ties, with nothing in them, and with bytes that are no text.
static void write_lines(const char *name)
{
    char path[200];
    unsigned state = 1;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    for (int i = 0; i < 300000; i++) {
        state = state * 1103515245 + 12345;
        if (i % 3)
            fprintf(f, "%u\n", (state >> 16) % 1000 * ((state >> 8) % 40));
        else
            fprintf(f, i % 2 ? "%d \xff\xc3\n" : "\n", i);
    }
    assert_int_equal(fclose(f), 0);
}

static void expect_line_counts(const struct test_backend *b, const char *example)
{
    char command[256];

    write_lines("lines");
    assert_int_equal(
        shell(b, "sort lines | uniq -c | sort -k1,1nr -k1.8 | sed -n 1,10p >expected; [ $(wc -l <expected) = 10 ]"), 0);
    snprintf(command, sizeof command, "$E-%s lines >got && diff expected got", example);
    assert_int_equal(shell(b, command), 0);
    snprintf(command, sizeof command, ": >empty; $E-%s empty >got && [ ! -s got ]", example);
    assert_int_equal(shell(b, command), 0);
    snprintf(command, sizeof command, "$E-%s; [ $? = 2 ] && grep -q ^usage: output", example);
    assert_int_equal(shell(b, command), 0);
    snprintf(command, sizeof command, "$E-%s nowhere; [ $? = 1 ] && grep -q 'nowhere: No such' output", example);
    assert_int_equal(shell(b, command), 0);
}

// COMMAND fails, and says what the limit is.
static void expect_refusal(void (*prepare)(void), const char *command)
{
    struct test_backend b;

    backend_start(&b, true, QUOTA, NULL);
    prepare();
    assert_int_equal(shell(&b, command), 0);
    backend_stop(&b);
}

static void write_many_lines(void)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/many", dir);
    f = fopen(path, "we");
    assert_non_null(f);
    for (int i = 0; i < 600000; i++)
        fprintf(f, "a line with the number %d\n", i);
    assert_int_equal(fclose(f), 0);
}

static void stb_ds_counts_lines(struct test_backend *b)
{
    expect_line_counts(b, "stb_ds");
}
FOR_EACH_BACKEND_AFTER(stb_ds_counts_lines, need_example("stb_ds", "stb_ds.h (libstb-dev)"))

static void stb_ds_says_why_it_was_refused(void **state)
{
    (void)state;
    need_example("stb_ds", "stb_ds.h (libstb-dev)");
    expect_refusal(write_many_lines, "$E-stb_ds many; [ $? = 1 ] && grep -q 'stb_ds: .*limit 24M' output");
}

static void uthash_counts_lines(struct test_backend *b)
{
    expect_line_counts(b, "uthash");
}
FOR_EACH_BACKEND_AFTER(uthash_counts_lines, need_example("uthash", "uthash.h (uthash-dev)"))

static void uthash_says_why_it_was_refused(void **state)
{
    (void)state;
    need_example("uthash", "uthash.h (uthash-dev)");
    expect_refusal(write_many_lines, "$E-uthash many; [ $? = 1 ] && grep -q 'uthash: .*limit 24M' output");
}

// { "rows": [ {"id": 0, "name": "row 0", "tags": ["a", null, true, 1.5]}, ... ] }
static void write_json(void)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/json", dir);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs("{\"rows\": [", f);
    for (int i = 0; i < 100000; i++)
        fprintf(f, "%s{\"id\": %d, \"name\": \"row%d\", \"tags\": [\"a\", null, true, 1.5]}\n", i ? "," : "", i,
                i % 10);
    fputs("]}", f);
    assert_int_equal(fclose(f), 0);
}

static void jansson_reads_a_document(struct test_backend *b)
{
    write_json();
    assert_int_equal(
        shell(b, "$E-jansson json && grep -qx '100001 objects, 100001 arrays, 200000 strings of 500000 bytes, "
                 "200000 numbers, 200000 others; the integers. sum is 4999950000' output"),
        0);
    write_text("wrong", "[1, 2,\n}");
    assert_int_equal(shell(b, "$E-jansson wrong; [ $? = 1 ] && grep -q 'jansson: wrong, line 2: ' output"), 0);
    assert_int_equal(shell(b, "$E-jansson; [ $? = 2 ] && grep -q ^usage: output"), 0);
}
FOR_EACH_BACKEND(jansson_reads_a_document)

static void jansson_says_why_it_was_refused(void **state)
{
    (void)state;
    expect_refusal(write_json, "$E-jansson json; [ $? = 1 ] && grep -q 'jansson: .*limit 24M' output");
}

#define LUA_FILL                  \
    "local n = tonumber((...))\n" \
    "local t = {}\n"              \
    "for i = 1, n do t[i] = 'string ' .. i; t['k' .. i % 1000] = i end\n"

static void lua_runs_a_program(struct test_backend *b)
{
    write_text("script", LUA_FILL "local sum = 0\n"
                                  "for i = 1, n do sum = sum + tonumber(t[i]:sub(8)) end\n"
                                  "for i = 1, n, 2 do t[i] = nil end\n"
                                  "collectgarbage()\n"
                                  "for i = 2, n, 2 do assert(t[i] == 'string ' .. i) end\n"
                                  "print(n, sum, #table.concat({select(2, ...)}, ' '))\n");
    assert_int_equal(
        shell(b, "$E-lua script 300000 a bcd && grep -qxF \"$(printf '300000\\t45000150000\\t5')\" output"), 0);
    write_text("wrong", "local x = nil\nprint(x.y)\n");
    assert_int_equal(shell(b, "$E-lua wrong; [ $? = 1 ] && grep -q 'lua: .*wrong:2: attempt to index' output"), 0);
    assert_int_equal(shell(b, "$E-lua nowhere; [ $? = 1 ] && grep -q 'lua: cannot open nowhere' output"), 0);
    assert_int_equal(shell(b, "$E-lua; [ $? = 2 ] && grep -q ^usage: output"), 0);
}
FOR_EACH_BACKEND_AFTER(lua_runs_a_program, need_example("lua", "Lua (liblua5.4-dev)"))

static void write_greedy_script(void)
{
    write_text("script", "local function fill(...)\n" LUA_FILL "end\n"
                         "local fine, why = pcall(fill, 1e7)\n"
                         "collectgarbage()\n"
                         "print(fine, why)\n"
                         "print(pcall(fill, 1000))\n");
}

static void a_lua_program_can_catch_a_refusal(void **state)
{
    (void)state;
    need_example("lua", "Lua (liblua5.4-dev)");
    expect_refusal(write_greedy_script,
                   "$E-lua script && grep -q 'false.*not enough memory' output && grep -qx true output");
}

static void sqlite_keeps_its_pages_on_disk(struct test_backend *b)
{
    write_text("sql", "create table t(i integer primary key, x text);\n"
                      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)\n"
                      "  insert into t select i, 'text number ' || (i * 7919 % 100003) from n;\n"
                      "create index by_text on t(x);\n"
                      "delete from t where i % 10 = 0;\n"
                      "select count(*), sum(i) from t;\n"
                      "select i from t where x = 'text number 7919';\n"
                      "pragma integrity_check;\n");
    assert_int_equal(shell(b, "$E-sqlite <sql >got && printf '90000|4500000000\\n1\\nok\\n' | diff - got"), 0);
    assert_int_equal(
        shell(b, "rm -f file; $E-sqlite file <sql >got && printf '90000|4500000000\\n1\\nok\\n' | diff - got && "
                 "echo 'select max(i) from t' | $E-sqlite file >got && [ $(cat got) = 99999 ]"),
        0);
    assert_int_equal(
        shell(b, "echo 'select x from missing' | $E-sqlite; [ $? = 1 ] && grep -q 'sqlite: no such table' output"), 0);
    assert_int_equal(shell(b, "$E-sqlite a b; [ $? = 2 ] && grep -q ^usage: output"), 0);
}
FOR_EACH_BACKEND_AFTER(sqlite_keeps_its_pages_on_disk, need_example("sqlite", "SQLite (libsqlite3-dev)"))

static void write_large_sql(void)
{
    write_text("sql", "create table t(x blob);\n"
                      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)\n"
                      "  insert into t select zeroblob(1000) from n;\n");
}

static void sqlite_says_why_it_was_refused(void **state)
{
    (void)state;
    need_example("sqlite", "SQLite (libsqlite3-dev)");
    expect_refusal(write_large_sql, "$E-sqlite <sql; [ $? = 1 ] && grep -q 'sqlite: .*limit 24M' output");
}

static void a_graph_is_built_and_walked(struct test_backend *b)
{
    assert_int_equal(shell(b, "$E-csr 14 8 && grep -q '^16384 nodes, 131072 edges' output && "
                              "awk '/at depth/ { n += $1 } END { exit !(n > 4000 && n <= 16384) }' output && "
                              "[ \"$(sed -n 2p output)\" = '1 nodes at depth 0' ]"),
                     0);
    assert_int_equal(shell(b, "$E-csr 99; [ $? = 2 ] && grep -q ^usage: output"), 0);
}
FOR_EACH_BACKEND(a_graph_is_built_and_walked)

static struct cgroup group;

static void need_limit(void)
{
    const char *why = "";

    if (cgroup_make(&group, LIMIT, &why) == 0)
        return;
    print_message("no memory limit: %s\n", why);
    skip();
}

static const char *const sanitizers[] = {"ASAN_OPTIONS", "TSAN_OPTIONS"};

struct limited {
    const struct test_backend *b;
    const char *command;
};

static void run_limited(void *data)
{
    const struct limited *l = data;
    char options[256];

    // Huge pages of a sanitizer's own (tests/run) would fill the group.
    for (size_t i = 0; SANITIZED && i < sizeof sanitizers / sizeof *sanitizers; i++) {
        const char *given = getenv(sanitizers[i]);

        snprintf(options, sizeof options, "%s:no_huge_pages_for_shadow=1", given ? given : "");
        setenv(sanitizers[i], options, 1);
    }
    _exit(cgroup_enter(&group) < 0 ? 98 : shell(l->b, l->command));
}

// In a group with far less memory than the data: the results are the same.
static void the_same_beyond_memory(struct test_backend *b)
{
    static const char *const commands[] = {
        "$E-csr 18 16 >beyond && diff within beyond",
        "[ ! -x $E-sqlite ] || { $E-sqlite <sql >beyond && diff pages beyond; }",
    };
    write_text("sql", "create table t(i integer primary key, x blob);\n"
                      "with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)\n"
                      "  insert into t select i, randomblob(900) from n;\n"
                      "select count(*), sum(length(x)) from t;\n"
                      "select count(x) from t where i % 1000 = 3;\n");
    assert_int_equal(shell(b, "$E-csr 18 16 >within && grep -q '4194304 edges' within && "
                              "printf '40000|36000000\\n40\\n' >pages"),
                     0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct limited l = {b, commands[i]};
        int status = test_in_child(run_limited, &l, (uid_t)-1);

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    cgroup_remove(&group);
}
FOR_EACH_BACKEND_AFTER(the_same_beyond_memory, need_limit())

static int setup(void **state)
{
    (void)state;
    scratch_make_dir(dir, sizeof dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove_tree(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(stb_ds_counts_lines),
        TEST(stb_ds_says_why_it_was_refused),
        EACH_BACKEND(uthash_counts_lines),
        TEST(uthash_says_why_it_was_refused),
        EACH_BACKEND(jansson_reads_a_document),
        TEST(jansson_says_why_it_was_refused),
        EACH_BACKEND(lua_runs_a_program),
        TEST(a_lua_program_can_catch_a_refusal),
        EACH_BACKEND(sqlite_keeps_its_pages_on_disk),
        TEST(sqlite_says_why_it_was_refused),
        EACH_BACKEND(a_graph_is_built_and_walked),
        EACH_BACKEND(the_same_beyond_memory),
    };

    return cmocka_run_group_tests_name("containers", tests, setup, teardown);
}
