// Scratch directories for tests, and the files in them.
//
// The name of a scratch directory carries the pid of the test process.  A janitor process is forked before main and
// reparented to init.  The janitor reads a pipe whose other end only the test process (and the children that the test
// forks) hold open. The read ends when all of these have ended, and then the janitor removes the directories: also
// after a crash, a failed assertion or a passed deadline.
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"

static pid_t main_pid;

const char *test_base_dir(void)
{
    const char *dir = getenv("DISKALLOC_TEST_DIR");

    return dir && *dir ? dir : "/var/tmp";
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void scratch_remove_tree(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void scratch_make_dir(char *ret, size_t size)
{
    int n = snprintf(ret, size, "%s/diskalloc-test-%d-XXXXXX", test_base_dir(), (int)main_pid);

    assert_true(n > 0 && (size_t)n < size);
    if (!mkdtemp(ret))
        fail_msg("no directory %s: %s", ret, strerror(errno));
    assert_int_equal(chmod(ret, 0711), 0);
}

static void janitor_sweep(void)
{
    _cleanup_closedir_ DIR *dir = opendir(test_base_dir());
    char prefix[64], path[4096];
    struct dirent *e;
    int n = snprintf(prefix, sizeof prefix, "diskalloc-test-%d-", (int)main_pid);

    while (dir && (e = readdir(dir))) {
        if (strncmp(e->d_name, prefix, (size_t)n) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", test_base_dir(), e->d_name);
        scratch_remove_tree(path);
    }
}

static void janitor_run(int pipe_end)
{
    char byte;

    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    while (read(pipe_end, &byte, 1) < 0 && errno == EINTR)
        ;
    janitor_sweep();
    _exit(0);
}

__attribute__((constructor)) static void janitor_start(void)
{
    int ends[2];
    pid_t pid;

    main_pid = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (fork() == 0)
            janitor_run(ends[0]);
        _exit(0);
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

char *scratch_read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t n = 0;

    if (!f)
        return NULL;
    if (getdelim(&text, &n, 0, f) < 0 && text)
        *text = 0;
    fclose(f);
    return text;
}

static size_t tally_files;
static uint64_t tally_bytes;

static int tally_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    // the daemon's own files (.lock) are no regions
    if (type != FTW_F || !S_ISREG(st->st_mode) || path[ftw->base] == '.')
        return 0;
    tally_files++;
    tally_bytes += ((uint64_t)st->st_size + 4095) & ~UINT64_C(4095);
    return 0;
}

static void tally(const char *dir)
{
    tally_files = 0;
    tally_bytes = 0;
    nftw(dir, tally_entry, 8, FTW_PHYS);
}

size_t test_count_files(const char *dir)
{
    tally(dir);
    return tally_files;
}

uint64_t test_sum_sizes(const char *dir)
{
    tally(dir);
    return tally_bytes;
}
