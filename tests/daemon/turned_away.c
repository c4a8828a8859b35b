// A daemon that systemd has started and that can't run: its exit status, and what it says to the clients at the socket.
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "proto/util/clock.h"

enum { FIRST_PASSED_FD = 3, STATUS_CONFIG = 78, STATUS_FAILED = 1 };

struct activation {
    char dir[150], path[170], address[180];
    int listener;
};

static void begin(struct activation *a, const char *config)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char file[180];
    FILE *f;

    scratch_make_dir(a->dir, sizeof a->dir);
    snprintf(a->path, sizeof a->path, "%s/s", a->dir);
    snprintf(a->address, sizeof a->address, "unix:%s", a->path);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", a->path);
    a->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_return_code(a->listener, errno);
    assert_return_code(bind(a->listener, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(a->listener, 100), errno);
    snprintf(file, sizeof file, "%s/conf", a->dir);
    f = fopen(file, "we");
    assert_non_null(f);
    fprintf(f, "%s", config);
    fclose(f);
}

static void end(struct activation *a)
{
    close(a->listener);
    scratch_remove_tree(a->dir);
}

// As systemd does: the socket is descriptor 3, and the environment says so.
static pid_t start(const struct activation *a)
{
    char config[180], spill[180], pid_text[16];
    pid_t pid;

    snprintf(config, sizeof config, "%s/conf", a->dir);
    snprintf(spill, sizeof spill, "%s/nowhere", a->dir);
    fflush(NULL);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(pid_text, sizeof pid_text, "%d", (int)getpid());
    setenv("LISTEN_PID", pid_text, 1);
    setenv("LISTEN_FDS", "1", 1);
    unsetenv("NOTIFY_SOCKET");
    if (a->listener == FIRST_PASSED_FD)
        fcntl(a->listener, F_SETFD, 0);
    else
        dup2(a->listener, FIRST_PASSED_FD);
    execl(TEST_DISKALLOCD, "diskallocd", "--config", config, "--spill-dir", spill, (char *)NULL);
    _exit(127);
}

// As a shell has it: the signal is added to 128.
static int await_end(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char typo[] = "[quota default]\nbytes = lots\n", good[] = "[daemon]\nkeep_free = 0\n";

static void without_clients_it_ends_at_once(void **state)
{
    static const struct {
        const char *config;
        int status;
    } cases[] = {{typo, STATUS_CONFIG}, {good, STATUS_FAILED}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t began = clock_now();
        struct activation a;

        begin(&a, cases[i].config);
        assert_int_equal(await_end(start(&a)), cases[i].status);
        assert_true(clock_now() - began < 10000);
        end(&a);
    }
}

static int connect_and_greet(const struct activation *a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Diskalloc__V1__Request q = RAW_REQUEST_INIT;
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    uint8_t bytes[256];

    assert_return_code(sock, errno);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", a->path);
    assert_return_code(connect(sock, (struct sockaddr *)&address, sizeof address), errno);
    hello.version_min = hello.version_max = 1;
    q.id = 1;
    q.body_case = RAW_BODY(HELLO);
    q.hello = &hello;
    assert_int_equal(packet_send(sock, bytes, diskalloc__v1__request__pack(&q, bytes), -1, 0), 0);
    return sock;
}

static void expect_refusal(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    uint8_t bytes[1024];
    RawReply *reply;
    int fd = -1;
    ssize_t n;

    assert_int_equal(poll(&p, 1, 10000), 1);
    n = packet_receive(sock, bytes, sizeof bytes, 0, &fd);
    assert_true(n > 0);
    reply = diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes);
    assert_non_null(reply);
    assert_int_equal(raw_code(reply), RAW_CODE(SHUTTING_DOWN));
    assert_int_equal(reply->id, 0);
    assert_non_null(strstr(reply->error->message, "can't start"));
    raw_free(reply);
    assert_int_equal(packet_receive(sock, bytes, sizeof bytes, 0, &fd), 0);
    close(sock);
}

static void clients_that_wait_are_told_and_those_that_come(void **state)
{
    struct diskalloc *da = NULL;
    struct activation a;
    int socks[3];
    pid_t pid;

    (void)state;
    begin(&a, typo);
    for (size_t i = 0; i < 3; i++)
        socks[i] = connect_and_greet(&a);
    pid = start(&a);
    for (size_t i = 0; i < 3; i++)
        expect_refusal(socks[i]);
    for (size_t i = 0; i < 20; i++) {
        EXPECT_FAILURE(-ECONNREFUSED, "diskalloc_open", diskalloc_open(a.address, NULL, &da));
        assert_non_null(strstr(diskalloc_last_error(), "the daemon can't start"));
    }
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_return_code(kill(pid, SIGTERM), errno);
    assert_int_equal(await_end(pid), 128 + SIGTERM);
    end(&a);
}

static void then_it_ends_with_its_own_status(void **state)
{
    uint64_t began = clock_now();
    struct activation a;
    int sock;

    (void)state;
    begin(&a, typo);
    sock = connect_and_greet(&a);
    assert_int_equal(await_end(start(&a)), STATUS_CONFIG);
    assert_in_range(clock_now() - began, 15000, 60000);
    expect_refusal(sock);
    end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_clients_it_ends_at_once),
        TEST(clients_that_wait_are_told_and_those_that_come),
        TEST(then_it_ends_with_its_own_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
