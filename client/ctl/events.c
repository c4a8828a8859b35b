// `diskallocctl events`: prints what happens, as the daemon reports it (WatchEvents), until it is interrupted.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/util/nss.h"

#define KIND(name) DISKALLOC__V1__REPORT_KIND__REPORT_##name

// By the number of the kind, as people and JSON see it.
static const char *const kind_names[] = {
    [KIND(CONNECTED)] = "connected",
    [KIND(DISCONNECTED)] = "disconnected",
    [KIND(CREATED)] = "created",
    [KIND(UNLINKED)] = "unlinked",
    [KIND(REMOVED)] = "removed",
    [KIND(REFUSED)] = "refused",
    [KIND(WAITS)] = "waits",
    [KIND(WAIT_ENDED)] = "wait-ended",
    [KIND(WARNING)] = "warning",
    [KIND(LIMITS_CHANGED)] = "limits-changed",
    [KIND(ADMINISTERED)] = "administered",
    [KIND(TAMPERED)] = "tampered",
    [KIND(IO_ERROR)] = "io-error",
    [KIND(DISK_PROBLEM)] = "disk-problem",
    [KIND(DISK_WELL)] = "disk-well",
    [KIND(ENDING)] = "daemon-ends",
};

static volatile sig_atomic_t interrupted;
static sigset_t while_waiting; // the signals that are blocked while wait_for_packet waits

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

// The signals come while the command waits, and at no other time.
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t both;

    sigemptyset(&both);
    sigaddset(&both, SIGINT);
    sigaddset(&both, SIGTERM);
    sigprocmask(SIG_BLOCK, &both, &while_waiting);
    sigdelset(&while_waiting, SIGINT);
    sigdelset(&while_waiting, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); // of `events | head`: nobody reads any more, and the command ends
}

// False: the command was interrupted, or nobody reads its output.
static bool wait_for_packet(int sock)
{
    struct pollfd fds[] = {{.fd = sock, .events = POLLIN}, {.fd = STDOUT_FILENO}};

    while (!interrupted && ppoll(fds, 2, NULL, &while_waiting) < 0)
        if (errno != EINTR)
            return false;
    return !interrupted && !(fds[1].revents & (POLLERR | POLLNVAL));
}

static const char *kind_name(int kind)
{
    bool known = kind > 0 && kind < (int)(sizeof(kind_names) / sizeof(kind_names[0]));

    return known ? kind_names[kind] : "other";
}

static const char *time_text(uint64_t time_us, char ret[static TEXT_MAX])
{
    char seconds[TEXT_MAX];

    text_time(time_us / 1000000, seconds);
    if (strlen(seconds) > 1) // without its Z
        snprintf(ret, TEXT_MAX, "%.*s.%03uZ", (int)strlen(seconds) - 1, seconds, (unsigned)(time_us / 1000 % 1000));
    else
        strcpy(ret, seconds);
    return ret;
}

static json_t *text_or_null(const ProtobufCBinaryData *text)
{
    return text->len ? text_json_bytes(text->data, text->len) : json_null();
}

static int print_json(const Diskalloc__V1__Report *r)
{
    char time[TEXT_MAX], handle[TEXT_MAX];
    bool has_limit = *r->limit_name != '\0';
    // clang-format off
    json_t *object = json_pack("{ss, ss, so, so, so, so, so, so, so, so, so, so, so, so, so}",
        "time", time_text(r->time_us, time),
        "event", kind_name((int)r->kind),
        "user", text_or_null(&r->user),
        "uid", r->has_user ? text_json_number(r->uid) : json_null(),
        "pid", r->pid ? text_json_number(r->pid) : json_null(),
        "client_name", text_or_null(&r->client_name),
        "handle", r->handle.len ? json_string(text_handle(r->handle.data, r->handle.len, handle)) : json_null(),
        "name", text_or_null(&r->name),
        "size", r->handle.len ? text_json_number(r->size) : json_null(),
        "limit_name", has_limit ? json_string(r->limit_name) : json_null(),
        "limit", has_limit ? text_json_limit(r->limit) : json_null(),
        "used", has_limit ? text_json_number(r->used) : json_null(),
        "asked", has_limit ? text_json_number(r->asked) : json_null(),
        "text", text_or_null(&r->text),
        "lost", text_json_number(r->lost));
    // clang-format on

    return ctl_print_json(object);
}

// A limit of regions or connections counts things.
static bool counts_bytes(const char *limit_name)
{
    const char *last = strrchr(limit_name, ' ');

    last = last ? last + 1 : limit_name;
    return strcmp(last, "regions") != 0 && strcmp(last, "connections") != 0 && strcmp(last, "inodes") != 0;
}

static void print_limit(const struct ctl *ctl, const Diskalloc__V1__Report *r)
{
    bool human = ctl->human && counts_bytes(r->limit_name);
    char name[TEXT_MAX], limit[TEXT_MAX], used[TEXT_MAX], asked[TEXT_MAX];

    printf("  %s: limit %s, used %s", text_escape(r->limit_name, strlen(r->limit_name), name),
           text_size(r->limit, human, limit), text_size(r->used, human, used));
    if (r->asked)
        printf(", asked %s", text_size(r->asked, human, asked));
}

// "2026-11-30T21:00:00.123Z created       alice (pid 12, sorter)  results  4.0G"
static void print_line(const struct ctl *ctl, const Diskalloc__V1__Report *r)
{
    char time[TEXT_MAX], text[TEXT_MAX];

    printf("%s %-14s", time_text(r->time_us, time), kind_name((int)r->kind));
    if (r->user.len)
        printf(" %s", text_escape(r->user.data, r->user.len, text));
    if (r->pid && r->client_name.len)
        printf(" (pid %u, %s)", r->pid, text_escape(r->client_name.data, r->client_name.len, text));
    else if (r->pid)
        printf(" (pid %u)", r->pid);
    if (r->handle.len)
        printf("  %s  %s",
               r->name.len ? text_escape(r->name.data, r->name.len, text)
                           : text_handle(r->handle.data, r->handle.len, text),
               text_size(r->size, ctl->human, time));
    if (*r->limit_name)
        print_limit(ctl, r);
    if (r->text.len)
        printf("  %s", text_escape(r->text.data, r->text.len, text));
    putchar('\n');
}

// False: nobody reads the output any more, which is an end and no error.
static bool print(const struct ctl *ctl, const Diskalloc__V1__Report *r)
{
    if (ctl->json) {
        print_json(r);
    } else {
        if (r->lost > 0)
            printf("-- %" PRIu64 " events were lost, because they were not read in time\n", r->lost);
        print_line(ctl, r);
    }
    if (fflush(stdout) == 0 || errno != EPIPE)
        return true;
    __fpurge(stdout);
    clearerr(stdout);
    return false;
}

// With --user: whether the report is about that user.
static bool is_wanted(const struct ctl *ctl, uid_t uid, const Diskalloc__V1__Report *r)
{
    return !ctl->user || (r->has_user && r->uid == uid);
}

static int begin(struct ctl *ctl)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__WatchEvents watch = DISKALLOC__V1__WATCH_EVENTS__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    request.body_case = DISKALLOC__V1__REQUEST__BODY_WATCH_EVENTS;
    request.watch_events = &watch;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY__NOT_SET, &status);
    session_free_reply(reply);
    return status;
}

static int follow(struct ctl *ctl, uid_t uid)
{
    while (wait_for_packet(ctl->session.fd)) {
        Diskalloc__V1__Reply *reply;
        bool is_read = true;
        int r = session_next(&ctl->session, &reply);

        if (r < 0) {
            ctl_complain("the daemon has ended, or has closed the connection (%s): run the command again to follow the "
                         "next one",
                         strerror(-r));
            if (ctl->json)
                ctl_print_json_error(EXIT_NO_DAEMON);
            return EXIT_NO_DAEMON;
        }
        if (reply->body_case == DISKALLOC__V1__REPLY__BODY_EVENT && reply->event->report &&
            is_wanted(ctl, uid, reply->event->report))
            is_read = print(ctl, reply->event->report);
        session_free_reply(reply);
        if (!is_read)
            break;
        if (ferror(stdout))
            return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

int events_run(struct ctl *ctl)
{
    char text[TEXT_MAX];
    uid_t uid = 0;
    int status;

    if (ctl->user && nss_find_user(ctl->user, &uid) < 0) {
        ctl_complain("there is no user %s", text_escape(ctl->user, strlen(ctl->user), text));
        return EXIT_REFUSED;
    }
    catch_signals();
    ctl_json_in_lines();
    status = begin(ctl);
    return status == EXIT_DONE ? follow(ctl, uid) : status;
}
