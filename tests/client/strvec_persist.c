// Vectors of strings that persist: what a later open finds, after an end, a kill at any step, and other people's
// regions of the same names.
#include "client/region/region.h"
#include "client/strvec/strvec.h"
#include "tests/lib/strings.h"
#include "tests/lib/u64vec.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct crash {
    struct test_backend *b;
    const char *name;
    void (*change)(struct diskalloc_strvec *v);
};

static void change_and_die(void *data)
{
    struct crash *c = data;
    struct diskalloc_strvec v;

    open_strings(c->b, &v, c->name);
    c->change(&v);
    raise(SIGKILL);
}

static void crash(struct test_backend *b, const char *name, void (*change)(struct diskalloc_strvec *v))
{
    struct crash c = {b, name, change};

    assert_true(WIFSIGNALED(test_in_child(change_and_die, &c, (uid_t)-1)));
}

static void make_three(struct test_backend *b, const char *name)
{
    struct diskalloc_strvec v;

    open_strings(b, &v, name);
    push_text(&v, "cc");
    push_text(&v, "b");
    push_text(&v, "aaa");
    diskalloc_strvec_deinit(&v);
}

static void expect_three(struct test_backend *b, const char *name, uint32_t flags, const char *first,
                         const char *second, const char *third)
{
    struct diskalloc_strvec v;

    assert_int_equal(diskalloc_strvec_open(&v, b->da, name, flags), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 3);
    expect_text(&v, 0, first);
    expect_text(&v, 1, second);
    expect_text(&v, 2, third);
    if (!(flags & DISKALLOC_REGION_READ_ONLY)) {
        push_text(&v, "one more");
        expect_text(&v, 2, third);
        assert_int_equal(diskalloc_strvec_pop(&v), 0);
    }
    diskalloc_strvec_deinit(&v);
}

static void what_was_there_at_the_end_is_found(struct test_backend *b)
{
    struct diskalloc_strvec v;

    make_three(b, "kept");
    expect_three(b, "kept", 0, "cc", "b", "aaa");
    open_strings(b, &v, "kept");
    push_numbered(&v, 0, 100000);
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    diskalloc_strvec_deinit(&v);
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "kept", DISKALLOC_REGION_READ_ONLY), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 100003);
    expect_text(&v, 100002, "cc");
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "kept");
}

static void push_more(struct diskalloc_strvec *v)
{
    push_numbered(v, 0, 50000);
}

static void set_one(struct diskalloc_strvec *v)
{
    push_numbered(v, 0, 50000);
    assert_int_equal(diskalloc_strvec_set(v, 1, "later", 5), 0);
    push_numbered(v, 0, 100);
}

static void replace_truncated(struct diskalloc_strvec *v)
{
    assert_int_equal(diskalloc_strvec_truncate(v, 1), 0);
    push_text(v, "other");
    assert_int_equal(diskalloc_strvec_pop(v), 0);
    push_text(v, "another");
}

static void commit_the_bytes_alone(struct diskalloc_strvec *v)
{
    push_numbered(v, 0, 50000);
    assert_int_equal(
        diskalloc_vec_commit(v->bytes.region, v->bytes.len, v->bytes.cap, 1, &v->bytes.base_size, 0, "x").result, 0);
}

static void a_kill_loses_what_came_after_the_last_commit(struct test_backend *b)
{
    make_three(b, "killed");
    crash(b, "killed", push_more);
    expect_three(b, "killed", DISKALLOC_REGION_READ_ONLY, "cc", "b", "aaa");
    crash(b, "killed", commit_the_bytes_alone);
    expect_three(b, "killed", 0, "cc", "b", "aaa");
    crash(b, "killed", set_one);
    expect_three(b, "killed", DISKALLOC_REGION_READ_ONLY, "cc", "later", "aaa");
    expect_three(b, "killed", 0, "cc", "later", "aaa");
    crash(b, "killed", replace_truncated);
    expect_three(b, "killed", 0, "cc", "another", "aaa");
    unlink_strings(b, "killed");
}

static void publish_the_other_order(struct diskalloc_strvec *v)
{
    assert_int_equal(strvec_make_room(v, 0, 3, "x"), 0);
    for (size_t i = 0; i < 3; i++)
        strvec_shadow(v)[i] = strvec_entries(v)[2 - i];
    strvec_publish(v, HEADER_ENTRIES + 3);
}

static void copy_some_to_the_front(struct diskalloc_strvec *v)
{
    publish_the_other_order(v);
    ((uint64_t *)v->offsets.data)[HEADER_ENTRIES] = strvec_entries(v)[0];
}

static void write_the_other_order(struct diskalloc_strvec *v)
{
    publish_the_other_order(v);
    strvec_publish(v, HEADER_ENTRIES);
}

static void a_kill_within_a_sort_leaves_one_order(struct test_backend *b)
{
    const uint32_t reader = DISKALLOC_REGION_READ_ONLY;

    make_three(b, "sorted");
    crash(b, "sorted", write_the_other_order);
    expect_three(b, "sorted", reader, "cc", "b", "aaa");
    crash(b, "sorted", publish_the_other_order);
    expect_three(b, "sorted", reader, "aaa", "b", "cc");
    expect_three(b, "sorted", 0, "aaa", "b", "cc");
    crash(b, "sorted", copy_some_to_the_front);
    expect_three(b, "sorted", reader, "cc", "b", "aaa");
    expect_three(b, "sorted", 0, "cc", "b", "aaa");
    unlink_strings(b, "sorted");
}

// Strings are numbered; the child says in shared memory how many were committed at least.
struct storm {
    struct test_backend *b;
    _Atomic size_t committed;
    unsigned seed;
};

static void change_at_random(struct diskalloc_strvec *v, struct storm *s, unsigned choice, uint64_t number)
{
    size_t n = diskalloc_strvec_len(v);
    char text[96];

    if (choice < 60)
        push_numbered(v, number, number + 20);
    else if (choice < 90 && n > 0)
        assert_int_equal(diskalloc_strvec_set(v, number % n, text, numbered(text, number)), 0);
    else if (choice < 92)
        assert_int_equal(diskalloc_strvec_truncate(v, n / 2), 0);
    else if (choice < 94)
        assert_int_equal(diskalloc_strvec_sort(v), 0);
    else if (choice < 95)
        assert_int_equal(diskalloc_strvec_compact(v), 0);
    else {
        atomic_store(&s->committed, 0);
        assert_int_equal(diskalloc_strvec_commit(v, 0), 0);
        atomic_store(&s->committed, n);
    }
    if (choice >= 90 && choice < 95)
        atomic_store(&s->committed, 0); // how many there are now is not known before the next commit
}

static void change_for_ever(void *data)
{
    struct storm *s = data;
    struct diskalloc_strvec v;
    unsigned state = s->seed;

    open_strings(s->b, &v, "storm");
    for (uint64_t number = 0;; number++) {
        state = state * 1103515245 + 12345;
        change_at_random(&v, s, (state >> 16) % 100, state >> 8);
    }
}

static void a_kill_at_any_moment_damages_no_string(struct test_backend *b)
{
    struct storm *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct diskalloc_strvec v;

    assert_ptr_not_equal(s, MAP_FAILED);
    s->b = b;
    for (s->seed = 1; s->seed <= 25; s->seed++) {
        pid_t pid;

        atomic_store(&s->committed, 0);
        pid = fork();
        if (pid == 0)
            change_for_ever(s);
        usleep(1000 * (s->seed * 7 % 40));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        while (diskalloc_strvec_open(&v, b->da, "storm", DISKALLOC_REGION_CREATE) == -EBUSY)
            usleep(1000); // the daemon has not heard yet
        assert_non_null(v.offsets.region);
        assert_true(diskalloc_strvec_len(&v) >= atomic_load(&s->committed));
        for (size_t i = 0; i < diskalloc_strvec_len(&v); i++)
            number_of(&v, i);
        if (diskalloc_strvec_len(&v) > 20000)
            assert_int_equal(diskalloc_strvec_truncate(&v, 10), 0);
        diskalloc_strvec_deinit(&v);
    }
    munmap(s, sizeof *s);
    unlink_strings(b, "storm");
}

static void half_made_vectors_are_made_whole(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_strvec v;

    assert_int_equal(open_named(b->da, "half", 0, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    EXPECT_FAILURE(-ENOENT, "diskalloc_strvec_open",
                   diskalloc_strvec_open(&v, b->da, "half", DISKALLOC_REGION_READ_ONLY));
    assert_int_equal(open_named(b->da, "half.bytes", 0, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "half", 0), 0);
    push_text(&v, "whole");
    diskalloc_strvec_deinit(&v);
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "half", DISKALLOC_REGION_READ_ONLY), 0);
    expect_text(&v, 0, "whole");
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "half");
}

static int open_flags(struct test_backend *b, const char *name, uint32_t flags)
{
    struct diskalloc_strvec v;
    int e;

    memset(&v, 0x77, sizeof v);
    e = diskalloc_strvec_open(&v, b->da, name, flags);
    if (e < 0)
        assert_null(v.offsets.region);
    diskalloc_strvec_deinit(&v);
    return e;
}

#define EXPECT_OPEN(code, name, flags) EXPECT_FAILURE(code, "diskalloc_strvec_open", open_flags(b, name, flags))

static void other_kinds_are_refused_and_left_alone(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    open_vec(b, &v, "numbers");
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    u64vec_deinit(&v);
    EXPECT_OPEN(-EPROTOTYPE, "numbers", DISKALLOC_REGION_CREATE);
    assert_int_equal(open_named(b->da, "raw", 8192, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    EXPECT_OPEN(-EPROTOTYPE, "raw", DISKALLOC_REGION_CREATE);
    assert_int_equal(open_named(b->da, "raw", 0, 0, &r), 0);
    assert_false(r->backing->committed);
    diskalloc_region_close(r);
    // Bytes that belong to nobody are not written over, and nothing stays behind.
    assert_int_equal(open_named(b->da, "mine.bytes", 8192, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    EXPECT_OPEN(-EEXIST, "mine", DISKALLOC_REGION_CREATE);
    EXPECT_OPEN(-ENOENT, "mine", 0);
    make_three(b, "strings");
    assert_int_equal(u64vec_open(&v, b->da, "strings", NULL), -EPROTOTYPE);
    EXPECT_OPEN(-EEXIST, "strings", DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE);
    unlink_strings(b, "strings");
    assert_int_equal(diskalloc_region_unlink(b->da, "numbers"), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "raw"), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "mine.bytes"), 0);
}

static void wrong_names_and_flags_are_refused(struct test_backend *b)
{
    char name[200];

    EXPECT_OPEN(-EINVAL, NULL, 0);
    EXPECT_OPEN(-EINVAL, "a b", DISKALLOC_REGION_CREATE);
    EXPECT_OPEN(-EINVAL, "a", 1 << 20);
    EXPECT_OPEN(-EINVAL, "a", DISKALLOC_REGION_EXCLUSIVE);
    EXPECT_OPEN(-EINVAL, "a", DISKALLOC_REGION_CREATE | DISKALLOC_REGION_READ_ONLY);
    EXPECT_OPEN(-ENOENT, "a", DISKALLOC_REGION_READ_ONLY);
    memset(name, 'n', sizeof name);
    name[123] = '\0';
    EXPECT_OPEN(-ENAMETOOLONG, name, DISKALLOC_REGION_CREATE);
    name[122] = '\0';
    assert_int_equal(open_flags(b, name, DISKALLOC_REGION_CREATE), 0);
    unlink_strings(b, name);
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_open", diskalloc_strvec_open(NULL, b->da, "a", 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_open",
                   diskalloc_strvec_open(&(struct diskalloc_strvec){0}, NULL, "a", 0));
}

static void write_word(struct test_backend *b, const char *name, size_t index, uint64_t word)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, name, 0, 0, &r), 0);
    ((uint64_t *)diskalloc_region_data(r))[index] = word;
    diskalloc_region_close(r);
}

static uint64_t read_word(struct test_backend *b, const char *name, size_t index)
{
    struct diskalloc_region *r = NULL;
    uint64_t word;

    assert_int_equal(open_named(b->da, name, 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    word = ((uint64_t *)diskalloc_region_data(r))[index];
    diskalloc_region_close(r);
    return word;
}

// Each word of the header but `changes` and the spare one, and whole regions that are gone.
static void damaged_vectors_are_refused(struct test_backend *b)
{
    const size_t words[] = {0, 1, 2, 5, 6};
    const uint64_t values[] = {0, 1, 1000000, UINT64_MAX};

    make_three(b, "damaged");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t before = read_word(b, "damaged", words[i]);

        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            if (values[k] == before)
                continue;
            write_word(b, "damaged", words[i], values[k]);
            EXPECT_OPEN(-EINVAL, "damaged", 0);
            EXPECT_OPEN(-EINVAL, "damaged", DISKALLOC_REGION_READ_ONLY);
        }
        write_word(b, "damaged", words[i], before);
    }
    // `high` is a bound from above: the record counts, and the size of the region.
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        write_word(b, "damaged", 3, values[k]);
        expect_three(b, "damaged", DISKALLOC_REGION_READ_ONLY, "cc", "b", "aaa");
    }
    expect_three(b, "damaged", 0, "cc", "b", "aaa");
    assert_int_equal(diskalloc_region_unlink(b->da, "damaged.bytes"), 0);
    EXPECT_OPEN(-EINVAL, "damaged", DISKALLOC_REGION_CREATE);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, "damaged.bytes"));
    make_three(b, "other");
    assert_int_equal(diskalloc_region_unlink(b->da, "other"), 0);
    EXPECT_OPEN(-EEXIST, "other", DISKALLOC_REGION_CREATE);
    assert_int_equal(diskalloc_region_unlink(b->da, "other.bytes"), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "damaged"), 0);
}

static void a_reader_reads_and_changes_nothing(struct test_backend *b)
{
    struct diskalloc_strvec v;
    const uint64_t end = 0;

    make_three(b, "read");
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "read", DISKALLOC_REGION_READ_ONLY), 0);
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_push", diskalloc_strvec_push(&v, "", 0));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_append", diskalloc_strvec_append(&v, "", &end, 1));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_set", diskalloc_strvec_set(&v, 0, "", 0));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_pop", diskalloc_strvec_pop(&v));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_truncate", diskalloc_strvec_truncate(&v, 0));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_sort", diskalloc_strvec_sort(&v));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_compact", diskalloc_strvec_compact(&v));
    EXPECT_FAILURE(-EROFS, "diskalloc_strvec_commit", diskalloc_strvec_commit(&v, 0));
    assert_int_equal(diskalloc_strvec_len(&v), 3);
    diskalloc_strvec_deinit(&v);
    expect_three(b, "read", DISKALLOC_REGION_READ_ONLY, "cc", "b", "aaa");
    unlink_strings(b, "read");
}

static void a_writer_keeps_others_from_writing_and_readers_are_not_fooled(struct test_backend *b)
{
    struct diskalloc_strvec v, reader;
    uint64_t bytes;

    make_three(b, "shared");
    open_strings(b, &v, "shared");
    EXPECT_OPEN(-EBUSY, "shared", 0);
    assert_int_equal(diskalloc_strvec_open(&reader, b->da, "shared", DISKALLOC_REGION_READ_ONLY), 0);
    push_numbered(&v, 0, 1000);
    assert_int_equal(diskalloc_strvec_set(&v, 0, "changed", 7), 0);
    expect_text(&reader, 1, "b");
    assert_int_equal(diskalloc_strvec_len(&reader), 3);
    bytes = v.bytes.len;
    EXPECT_FAILURE(-EBUSY, "diskalloc_strvec_compact", diskalloc_strvec_compact(&v));
    assert_int_equal(v.bytes.len, bytes);
    expect_text(&reader, 1, "b");
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    assert_null(diskalloc_strvec_get(&reader, 1, NULL));
    EXPECT_FAILURE(-ESTALE, "diskalloc_strvec_get", -ESTALE);
    diskalloc_strvec_deinit(&reader);
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    expect_text(&v, 1002, "changed");
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "shared");
}

FOR_EACH_BACKEND(what_was_there_at_the_end_is_found)
FOR_EACH_BACKEND(a_kill_loses_what_came_after_the_last_commit)
FOR_EACH_BACKEND(a_kill_within_a_sort_leaves_one_order)
FOR_EACH_BACKEND(a_kill_at_any_moment_damages_no_string)
FOR_EACH_BACKEND(half_made_vectors_are_made_whole)
FOR_EACH_BACKEND(other_kinds_are_refused_and_left_alone)
FOR_EACH_BACKEND(wrong_names_and_flags_are_refused)
FOR_EACH_BACKEND(damaged_vectors_are_refused)
FOR_EACH_BACKEND(a_reader_reads_and_changes_nothing)
FOR_EACH_BACKEND(a_writer_keeps_others_from_writing_and_readers_are_not_fooled)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(what_was_there_at_the_end_is_found),
        EACH_BACKEND(a_kill_loses_what_came_after_the_last_commit),
        EACH_BACKEND(a_kill_within_a_sort_leaves_one_order),
        EACH_BACKEND(a_kill_at_any_moment_damages_no_string),
        EACH_BACKEND(half_made_vectors_are_made_whole),
        EACH_BACKEND(other_kinds_are_refused_and_left_alone),
        EACH_BACKEND(wrong_names_and_flags_are_refused),
        EACH_BACKEND(damaged_vectors_are_refused),
        EACH_BACKEND(a_reader_reads_and_changes_nothing),
        EACH_BACKEND(a_writer_keeps_others_from_writing_and_readers_are_not_fooled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
