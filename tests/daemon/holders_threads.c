// Processes of which some threads have ended: whether such a process lives is found out with few questions, for the
// loop asks them, and not from a part of its threads.
#include "daemon/holders.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "daemon/proc.h"
#include "tests/lib/harness.h"

enum { THREADS = 500, FEW = 200 };

static int go[2], ready[2];
static int listed = -1; // threads that can be listed before that fails; -1: all

// In place of libc's.
struct dirent *readdir(DIR *dir)
{
    struct dirent *(*libc)(DIR * dir), *entry;

    *(void **)&libc = dlsym(RTLD_NEXT, "readdir");
    if (listed == 0) {
        errno = EIO;
        return NULL;
    }
    entry = libc(dir);
    listed -= listed > 0 && entry && entry->d_name[0] != '.';
    return entry;
}

static void *end_at_once(void *data)
{
    return data;
}

static void *tell_and_stay(void *data)
{
    if (write(ready[1], "", 1) == 1)
        pause();
    return data;
}

_Noreturn static void run_child(void)
{
    pthread_t thread;
    char c;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go[0], &c, 1) != 1)
        _exit(1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, end_at_once, NULL) != 0)
            _exit(1);
    // The last thread is the one that lives.
    if (pthread_create(&thread, NULL, tell_and_stay, NULL) != 0)
        _exit(1);
    pthread_exit(NULL);
}

// Lets each thread go on that stops, and never asks for those that have ended: they stay.
static bool lives_on(void *data)
{
    siginfo_t info = {0};
    char c;

    (void)data;
    while (waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG | __WALL) == 0 && info.si_pid != 0) {
        ptrace(PTRACE_CONT, info.si_pid, NULL, NULL);
        info.si_pid = 0;
    }
    return read(ready[0], &c, 1) == 1;
}

// System calls that read, of this process so far.
static unsigned long count_reads(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    unsigned long n = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "rchar: %*u wchar: %*u syscr: %lu", &n), 1);
    fclose(f);
    return n;
}

static void a_process_with_many_ended_threads_costs_few_questions(void **state)
{
    struct holder holder = {.uid = getuid(), .pid_is_ours = true};
    unsigned long before, after;
    pid_t pid;

    (void)state;
    if (access("/proc/self/io", R_OK) < 0) {
        skip();
        return;
    }
    assert_return_code(pipe(go), errno);
    assert_return_code(pipe2(ready, O_NONBLOCK), errno);
    pid = fork();
    if (pid == 0)
        run_child();
    assert_return_code(pid, errno);
    if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0) {
        print_message("[ NOTE     ] no process may be traced here\n");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
    } else {
        assert_int_equal(write(go[1], "", 1), 1);
        test_wait_until(lives_on, NULL, 60, "the threads have begun");
        holder.pid = pid;
        holder.started_at = proc_start_time(pid);
        before = count_reads();
        assert_true(holder_is_alive(&holder));
        after = count_reads();
        assert_in_range(after - before, 0, FEW);
        kill(pid, SIGKILL);
        while (waitpid(-1, NULL, __WALL) > 0)
            continue;
        assert_false(holder_is_alive(&holder));
    }
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(ready[i]);
    }
}

static bool first_thread_has_ended(void *data)
{
    const pid_t *pid = data;
    char path[64], text[2] = "";
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)*pid);
    f = fopen(path, "re");
    if (f && !fgets(text, sizeof text, f))
        text[0] = '\0';
    if (f)
        fclose(f);
    return text[0] == '0';
}

static void a_process_whose_threads_cannot_all_be_listed_lives(void **state)
{
    struct holder holder = {.uid = getuid(), .pid_is_ours = true};
    pthread_t thread;
    pid_t pid;

    (void)state;
    assert_return_code(pipe2(ready, O_CLOEXEC), errno);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (pthread_create(&thread, NULL, tell_and_stay, NULL) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    assert_return_code(pid, errno);
    test_wait_until(first_thread_has_ended, &pid, 60, "the first thread has ended");
    holder.pid = pid;
    holder.started_at = proc_start_time(pid);
    assert_true(holder_is_alive(&holder));
    listed = 1; // which has no memory
    assert_true(holder_is_alive(&holder));
    listed = -1;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_false(holder_is_alive(&holder));
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_process_whose_threads_cannot_all_be_listed_lives),
        TEST(a_process_with_many_ended_threads_costs_few_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
