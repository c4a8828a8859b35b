// The two ways to get memory from the library: through a daemon, and embedded in a directory.  A test body runs with
// each of them.
#pragma once
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <sys/stat.h>

struct test_backend {
    bool remote;
    struct test_daemon daemon; // when remote
    char dir[150];             // else
    char address[176];
    struct diskalloc *da;
};

// WHERE: the spill directory or the embedded one; NULL: a new one.
void backend_start(struct test_backend *b, bool remote, const char *config, const char *where);
bool nothing_is_charged(void *data);
void backend_stop(struct test_backend *b);
void backend_run(bool remote, const char *config, void (*body)(struct test_backend *b));
// BODY as two tests, which EACH_BACKEND(BODY) puts on cmocka's list.
#define FOR_EACH_BACKEND(body) FOR_EACH_BACKEND_AFTER(body, (void)0)
// The same; before, NEEDS is called, which may skip the test.
#define FOR_EACH_BACKEND_AFTER(body, needs)    \
    static void body##_with_a_daemon(void **s) \
    {                                          \
        (void)s;                               \
        needs;                                 \
        backend_run(true, NULL, body);         \
    }                                          \
    static void body##_embedded(void **s)      \
    {                                          \
        (void)s;                               \
        needs;                                 \
        backend_run(false, NULL, body);        \
    }
#define EACH_BACKEND(body) TEST(body##_with_a_daemon), TEST(body##_embedded)

struct diskalloc_region *make_region(struct diskalloc *da, uint64_t size);
int open_named(struct diskalloc *da, const char *name, uint64_t size, uint32_t flags, struct diskalloc_region **ret);
uint64_t file_size(struct diskalloc_region *r);
// The usage of the caller's own user.
struct diskalloc_usage usage_of(struct diskalloc *da);
// The call failed with CODE, and says so: a sentence that begins with its name, and the same code beside it.
struct diskalloc_error_info expect_failure(int got, int code, const char *call, const char *file, int line);
#define EXPECT_FAILURE(code, call, expression) expect_failure(expression, code, call, __FILE__, __LINE__)
