// Many threads on one connection: no thread waits for the request of another.
#include "tests/lib/fake_daemon.h"

#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    N_REGIONS = 40, // whose detaches fill the socket
    N_EVENTS = 2000,
    N_ASKING = 3,
};

struct crowd {
    struct play play;
    sem_t asked;    // the daemon has read a question and will answer it when it is
    sem_t answered; // allowed to
};

static Diskalloc__V1__Request *next_request(int sock)
{
    static uint8_t bytes[PACKET_MAX];
    int fd = -1;
    ssize_t n = packet_receive(sock, bytes, sizeof bytes, 0, &fd);

    return n > 0 ? diskalloc__v1__request__unpack(NULL, (size_t)n, bytes) : NULL;
}

static bool serve_next(struct play *p, int sock)
{
    Diskalloc__V1__Request *q = next_request(sock);

    if (!q)
        return false;
    play_serve_one(p, sock, q, '.');
    diskalloc__v1__request__free_unpacked(q, NULL);
    return true;
}

// Makes regions, reads one question, and reads nothing more before it could send an answer and a great many events.
static void *stubborn_daemon(void *data)
{
    struct crowd *c = data;
    int sock = accept4(c->play.listener, NULL, NULL, SOCK_CLOEXEC), small = 1;
    Diskalloc__V1__Request *q;

    setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (int i = 0; i < N_REGIONS + 1; i++)
        if (!serve_next(&c->play, sock))
            abort();
    q = next_request(sock);
    sem_post(&c->asked);
    sem_wait(&c->answered);
    play_answer(&c->play, sock, q, DISKALLOC__V1__ERROR_CODE__OK);
    diskalloc__v1__request__free_unpacked(q, NULL);
    for (uint64_t i = 0; i < N_EVENTS; i++)
        play_send_event(sock, i);
    while (serve_next(&c->play, sock))
        ;
    close(sock);
    return NULL;
}

struct asking {
    struct diskalloc *da;
    pthread_t thread;
    _Atomic pid_t tid;
};

static void *ask(void *data)
{
    struct asking *a = data;
    struct diskalloc_usage u = {0};

    a->tid = gettid();
    assert_int_equal(diskalloc_get_usage(a->da, NULL, &u, sizeof u), 0);
    return NULL;
}

// Where the kernel does not tell, the test is as good as the scheduler is kind.
static bool is_polling(void *data)
{
    struct asking *a = data;
    char path[64], text[32] = "";
    FILE *f;
    long call;

    if (a->tid == 0)
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", a->tid);
    f = fopen(path, "re");
    if (!f)
        return true;
    if (!fgets(text, sizeof text, f))
        strcpy(text, "-1");
    fclose(f);
    call = strtol(text, NULL, 10);
#ifdef SYS_poll
    if (call == SYS_poll)
        return true;
#endif
    return call == SYS_ppoll;
}

static void threads_that_wait_for_room_read_when_the_reader_has_left(void **state)
{
    struct crowd c = {0};
    struct asking first = {0}, others[N_ASKING] = {0};
    struct diskalloc_region *regions[N_REGIONS];
    struct diskalloc *da;
    int small = 1;

    (void)state;
    sem_init(&c.asked, 0, 0);
    sem_init(&c.answered, 0, 0);
    play_listen(&c.play);
    assert_int_equal(pthread_create(&c.play.thread, NULL, stubborn_daemon, &c), 0);
    da = client_of(&c.play, -1);
    for (int i = 0; i < N_REGIONS; i++)
        regions[i] = make_region(da, 0);
    assert_return_code(
        setsockopt(find_socket(c.play.at.address + strlen("unix:")), SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
        errno);
    first.da = da;
    assert_int_equal(pthread_create(&first.thread, NULL, ask, &first), 0);
    sem_wait(&c.asked);
    for (int i = 0; i < N_REGIONS; i++)
        diskalloc_region_close(regions[i]);
    for (int i = 0; i < N_ASKING; i++) {
        others[i].da = da;
        assert_int_equal(pthread_create(&others[i].thread, NULL, ask, &others[i]), 0);
        test_wait_until(is_polling, &others[i], 30, "a thread waits for room in the socket");
    }
    sem_post(&c.answered);
    pthread_join(first.thread, NULL);
    for (int i = 0; i < N_ASKING; i++)
        pthread_join(others[i].thread, NULL);
    diskalloc_close(da);
    play_end(&c.play);
    sem_destroy(&c.asked);
    sem_destroy(&c.answered);
}

static void *ask_for_ever(void *da)
{
    struct diskalloc_usage u = {0};

    diskalloc_get_usage(da, NULL, &u, sizeof u);
    return NULL;
}

// The second connection is accepted, and its Hello is not answered.
static void a_fork_while_another_thread_connects_leaks_no_socket(void **state)
{
    struct play p = {.connections = {".x"}};
    struct diskalloc *da;
    pthread_t thread;
    int sock, status;
    pid_t pid;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(pthread_create(&thread, NULL, ask_for_ever, da), 0);
    pthread_join(p.thread, NULL);
    p.joined = true;
    sock = accept4(p.listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(sock >= 0);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0)
        _exit(find_socket(p.at.address + strlen("unix:")) >= 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(find_socket(p.at.address + strlen("unix:")) >= 0); // it is not that there was none
    assert_int_equal(status, 0);
    assert_true(serve_next(&p, sock)); // Hello
    assert_true(serve_next(&p, sock)); // and the question
    pthread_join(thread, NULL);
    diskalloc_close(da);
    close(sock);
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(threads_that_wait_for_room_read_when_the_reader_has_left),
        TEST(a_fork_while_another_thread_connects_leaks_no_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
