// See quota_usage.h.
#include "tests/lib/quota_usage.h"

#include <grp.h>
#include <sys/mman.h>

#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

uint64_t usage_field(struct raw *admin, const char *subject, size_t offset)
{
    RawReply *reply = raw_usage(admin, subject);
    uint64_t value;

    if (raw_code(reply) != RAW_CODE(OK))
        print_error("usage of %s: %s\n", subject, reply && reply->error ? reply->error->message : "no reply");
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    memcpy(&value, (const char *)reply->usage + offset, sizeof(value));
    raw_free(reply);
    return value;
}

bool quota_is_as_expected(void *data)
{
    const struct quota_expectation *e = data;
    RawReply *reply = raw_usage(e->admin, e->subject);
    bool known = raw_code(reply) == RAW_CODE(OK);

    // The user database may not have told yet whom the subject means.
    raw_free(reply);
    return known && usage_field(e->admin, e->subject, e->offset) == e->value;
}

size_t log_count(const struct test_daemon *d, const char *text)
{
    char *log = scratch_read_file(d->log), *at = log;
    size_t n = 0;

    while (at && (at = strstr(at, text))) {
        n++;
        at += strlen(text);
    }
    free(log);
    return n;
}

static bool log_has_times(void *data)
{
    const struct log_expectation *e = data;

    return log_count(e->daemon, e->text) >= e->times;
}

void await_log(const struct test_daemon *d, const char *text, size_t times)
{
    struct log_expectation e = {d, text, times};

    test_wait_until(log_has_times, &e, 60, text);
}

void rewrite_config(const struct test_daemon *d, const char *text)
{
    FILE *f = fopen(d->config, "we");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

void reload(const struct test_daemon *d, const char *text)
{
    rewrite_config(d, text);
    assert_return_code(kill(d->pid, SIGHUP), errno);
}

void subject_of_uid(uid_t uid, char *ret, size_t size)
{
    const struct passwd *pw = getpwuid(uid);

    if (pw)
        snprintf(ret, size, "user:%s", pw->pw_name);
    else
        snprintf(ret, size, "user:+%u", (unsigned)uid);
}

static int run_quietly(const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static void people_remove(const struct people *p)
{
    for (int i = 0; i < PEOPLE; i++) {
        const char *const user[] = {"userdel", "--force", p->user[i], NULL};

        run_quietly(user);
    }
    for (int i = 0; i < PEOPLE; i++) {
        const char *const group[] = {"groupdel", p->group[i], NULL};

        run_quietly(group);
    }
}

static void people_name(struct people *p)
{
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(p->user[i], sizeof(p->user[i]), "daq%du%d", (int)getpid(), i);
        snprintf(p->group[i], sizeof(p->group[i]), "daq%dg%d", (int)getpid(), i);
    }
}

static void people_start_remover(struct people *p)
{
    char byte;
    int ends[2];

    assert_return_code(pipe2(ends, O_CLOEXEC), errno);
    p->remover = fork();
    if (p->remover == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            ;
        people_remove(p);
        _exit(0);
    }
    close(ends[0]);
    p->pipe = ends[1];
}

void people_make(struct people *p)
{
    if (geteuid() != 0)
        test_skip_all("making users needs root");
    people_name(p);
    people_start_remover(p);
    for (int i = 0; i < PEOPLE; i++) {
        const char *const group[] = {"groupadd", "--system", p->group[i], NULL};
        const char *const user[] = {"useradd", "--system",          "--no-create-home", "--user-group",
                                    "--shell", "/usr/sbin/nologin", p->user[i],         NULL};
        const struct passwd *pw;

        if (run_quietly(group) != 0 || run_quietly(user) != 0 || !(pw = getpwnam(p->user[i])))
            test_skip_all("useradd or groupadd do not work here");
        p->uid[i] = pw->pw_uid;
    }
}

void people_free(struct people *p)
{
    close(p->pipe);
    waitpid(p->remover, NULL, 0);
}

void people_join(const struct people *p, int user, int group)
{
    const char *const argv[] = {"gpasswd", "--add", p->user[user], p->group[group], NULL};

    assert_int_equal(run_quietly(argv), 0);
}

void people_leave(const struct people *p, int user, int group)
{
    const char *const argv[] = {"gpasswd", "--delete", p->user[user], p->group[group], NULL};

    assert_int_equal(run_quietly(argv), 0);
}

int raw_open_as(struct raw *c, const char *path, uid_t uid)
{
    int code;

    if (seteuid(uid) < 0)
        return RAW_CODE(ACCESS);
    code = raw_open(c, path);
    if (seteuid(0) < 0)
        abort();
    return code;
}
