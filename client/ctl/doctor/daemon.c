// `doctor`: from the address to a daemon that answers.
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/address.h"
#include "client/ctl/doctor/command.h"
#include "client/ctl/doctor/parts.h"
#include "client/ctl/text.h"

enum { OUTPUT_MAX = 4096, UNIT_MAX = 300 };

// ---- The socket ----

static bool look_at_socket(const char *path, struct findings *f)
{
    static const struct advice absent = {
        "Programs get \"no such file\", or fall back to a directory without limits.",
        "systemctl enable --now diskallocd.socket (of an instance: diskallocd@NAME.socket), or "
        "name another daemon with --address or --instance"};
    static const struct advice other = {"No daemon can listen there.", "remove the file, and start the daemon again"};
    static const struct advice closed = {
        "Connecting needs the right to write to the socket.",
        "the key socket_mode of diskallocd.conf(5), or SocketMode= of the socket unit"};
    static const struct advice mounted = {
        "When a new socket is made (a restart of diskallocd.socket, or of a daemon without systemd), the one here "
        "stays the "
        "old one: programs wait for minutes and fail.",
        "mount the directory that the socket is in, never the socket: /run/diskalloc"};
    char text[TEXT_MAX];
    struct stat st;

    text_escape(path, strlen(path), text);
    if (lstat(path, &st) < 0) {
        finding(f, FINDING_WRONG, "socket", absent, "%s: %s", text, strerror(errno));
        return false;
    }
    if (!S_ISSOCK(st.st_mode)) {
        finding(f, FINDING_WRONG, "socket", other, "%s is no socket", text);
        return false;
    }
    if (access(path, W_OK) < 0)
        finding(f, FINDING_WRONG, "socket", closed, "%s has the mode %04o: %s", text, st.st_mode & 07777,
                strerror(errno));
    else
        finding_well(f, "socket", "%s is there", text);
    if (address_is_mounted(path))
        finding(f, FINDING_NOTE, "socket-mount", mounted, "%s is mounted by itself", text);
    return true;
}

// ---- systemd ----

// The value behind "KEY=" in the output of systemctl show, or "".
static const char *value_of(const char *output, const char *key, char ret[static 64])
{
    size_t n = strlen(key);

    ret[0] = '\0';
    for (const char *line = output; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, n) == 0 && line[n] == '=')
            snprintf(ret, 64, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
    return ret;
}

static bool ask_systemd(const char *unit, char output[static OUTPUT_MAX])
{
    const char *argv[] = {"systemctl", "show", "--property=LoadState,ActiveState,SubState,Result,UnitFileState", unit,
                          NULL};

    return command_run(argv, output, OUTPUT_MAX) == 0;
}

static void look_at_service(const char *unit, struct findings *f)
{
    static const struct advice failed = {
        "The daemon does not run, and systemd has given up starting it.",
        "journalctl -u UNIT says why; then systemctl reset-failed UNIT and start it again"};
    char output[OUTPUT_MAX], active[64], result[64], load[64];

    if (!ask_systemd(unit, output))
        return;
    value_of(output, "ActiveState", active);
    value_of(output, "LoadState", load);
    if (strcmp(load, "not-found") == 0)
        return;
    if (strcmp(active, "failed") == 0)
        finding(f, FINDING_WRONG, "service", failed, "%s has failed: %s", unit, value_of(output, "Result", result));
    else
        finding_well(f, "service", "%s is %s", unit, active);
}

static void look_at_socket_unit(const char *unit, struct findings *f)
{
    static const struct advice stopped = {"Nobody starts the daemon when a program connects.",
                                          "systemctl reset-failed UNIT; systemctl start UNIT"};
    static const struct advice disabled = {"It is not started when the machine starts.", "systemctl enable UNIT"};
    char output[OUTPUT_MAX], active[64], file[64], load[64];

    if (!ask_systemd(unit, output) || strcmp(value_of(output, "LoadState", load), "not-found") == 0)
        return;
    value_of(output, "ActiveState", active);
    if (strcmp(active, "active") != 0)
        finding(f, FINDING_WRONG, "socket-unit", stopped, "%s is %s", unit, active);
    else if (strcmp(value_of(output, "UnitFileState", file), "disabled") == 0)
        finding(f, FINDING_NOTE, "socket-unit", disabled, "%s is disabled", unit);
    else
        finding_well(f, "socket-unit", "%s is active", unit);
}

static void look_at_units(const char *address, struct findings *f)
{
    char instance[TEXT_MAX], unit[UNIT_MAX];

    if (!address_instance(address, instance) || strlen(instance) > 200 || access("/run/systemd/system", F_OK) < 0)
        return;
    snprintf(unit, sizeof(unit), "diskallocd%s%.200s.socket", *instance ? "@" : "", instance);
    look_at_socket_unit(unit, f);
    snprintf(unit, sizeof(unit), "diskallocd%s%.200s.service", *instance ? "@" : "", instance);
    look_at_service(unit, f);
}

// ---- Why it does not answer ----

static void cut_to_last_line(char *text)
{
    size_t n = strlen(text);
    char *line;

    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    line = strrchr(text, '\n');
    if (line)
        memmove(text, line + 1, strlen(line + 1) + 1);
}

// The daemon's own program knows whether its configuration is good, and where the mistake is.
static void check_config(const char *address, struct findings *f)
{
    static const struct advice advice = {"With a mistake in its configuration the daemon does not start.",
                                         "correct that line, then: systemctl restart diskallocd"};
    char instance[TEXT_MAX], path[TEXT_MAX + 64], output[OUTPUT_MAX], text[TEXT_MAX];
    const char *argv[] = {"diskallocd", "--check-config", NULL, NULL, NULL};
    int status;

    if (!address_instance(address, instance))
        return;
    if (*instance) {
        snprintf(path, sizeof(path), "/etc/diskalloc/%s.conf", instance);
        argv[2] = "--config";
        argv[3] = path;
    }
    status = command_run(argv, output, sizeof(output));
    cut_to_last_line(output);
    text_escape(output, strlen(output), text);
    if (status == 78)
        finding(f, FINDING_WRONG, "configuration", advice, "%s", text);
    else if (status == 0)
        finding_well(f, "configuration", "%s", *text ? text : "it is good");
}

// The last warning of the journal, if the caller may read it.
static void quote_journal(const char *address, struct findings *f)
{
    static const struct advice advice = {"", "journalctl -u UNIT shows more, and journalctl -x explains some messages"};
    char instance[TEXT_MAX], unit[UNIT_MAX], output[OUTPUT_MAX], text[TEXT_MAX];
    const char *argv[] = {"journalctl",   "--unit",     unit,      "--lines=1", "--priority=warning",
                          "--output=cat", "--no-pager", "--quiet", NULL};

    if (!address_instance(address, instance) || strlen(instance) > 200)
        return;
    snprintf(unit, sizeof(unit), "diskallocd%s%.200s", *instance ? "@" : "", instance);
    if (command_run(argv, output, sizeof(output)) != 0)
        return;
    cut_to_last_line(output);
    text_escape(output, strlen(output), text);
    if (*text && strncmp(text, "--", 2) != 0)
        finding(f, FINDING_NOTE, "journal", advice, "the last warning: %s", text);
}

// ---- Versions ----

// The library that programs load, which need not be the one that this program was built with.
static void look_at_library(struct findings *f)
{
    static const struct advice advice = {
        "They work together; what only one of them knows is not there.",
        "upgrade the packages together: libdiskalloc-client0, diskallocd, diskallocctl"};
    void *library = dlopen("libdiskalloc-client.so.0", RTLD_LAZY | RTLD_LOCAL);
    const char *(*version)(void) = NULL;

    if (library)
        *(void **)&version = dlsym(library, "diskalloc_version");
    if (version && strcmp(version(), DISKALLOC_VERSION) != 0)
        finding(f, FINDING_NOTE, "library-version", advice,
                "libdiskalloc-client is %s, diskallocctl is " DISKALLOC_VERSION, version());
    else if (version)
        finding_well(f, "library-version", "libdiskalloc-client is %s", version());
    if (library)
        dlclose(library);
}

static void look_at_version(const char *daemon, struct findings *f)
{
    static const struct advice advice = {
        "They work together; what only one of them knows is not there.",
        "if the daemon's package was upgraded, it may still be the old one that runs: systemctl "
        "restart diskallocd, which costs no program its memory"};
    char text[TEXT_MAX];

    text_escape(daemon, strlen(daemon), text);
    if (strcmp(daemon, DISKALLOC_VERSION) != 0)
        finding(f, FINDING_NOTE, "daemon-version", advice, "the daemon is %s, diskallocctl is " DISKALLOC_VERSION,
                text);
    else
        finding_well(f, "daemon-version", "the daemon is %s", text);
}

static bool connects(struct ctl *ctl, struct findings *f)
{
    static const struct advice advice = {"Programs can't get memory from it now; what they have, they keep.",
                                         "see the findings beside this one; systemctl status diskallocd"};

    if (ctl_connect(ctl) == EXIT_DONE) {
        finding_well(f, "daemon", "it answers");
        look_at_version(ctl->session.daemon_version, f);
        return true;
    }
    finding(f, FINDING_WRONG, "daemon", advice, "%s", ctl_last_complaint());
    check_config(ctl->address, f);
    quote_journal(ctl->address, f);
    return false;
}

bool doctor_daemon(struct ctl *ctl, struct findings *f)
{
    static const struct advice advice = {"Without an address there is no daemon to ask.",
                                         "unset DISKALLOC_ADDRESS, or use --address unix:/PATH or --instance NAME"};
    bool there;

    look_at_library(f);
    if (!ctl->address) {
        finding(f, FINDING_WRONG, "address", advice, "%s", ctl_last_complaint());
        return false;
    }
    there = look_at_socket(address_path(ctl->address), f);
    look_at_units(ctl->address, f);
    if (there)
        return connects(ctl, f);
    check_config(ctl->address, f);
    quote_journal(ctl->address, f);
    return false;
}
