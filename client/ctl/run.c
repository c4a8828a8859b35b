// `diskallocctl run`: runs a program with the preload library, which puts its large blocks of memory on disk.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/program.h"
#include "client/ctl/text.h"
#include "client/preload/settings.h"
#include "proto/util/cleanup.h"
#include "proto/util/size.h"

#define LIBRARY "libdiskalloc-preload.so"

static int parse_size(const char *option, const char *given, uint64_t least, const char *least_text, uint64_t *ret)
{
    char text[TEXT_MAX];

    if (!given)
        return EXIT_DONE;
    if (size_parse(given, ret) == 0 && *ret >= least)
        return EXIT_DONE;
    ctl_complain("%s is %s; it takes a size such as 512M or 4G, of at least %s", option,
                 text_escape(given, strlen(given), text), least_text);
    return EXIT_USAGE;
}

static int read_settings(const struct ctl *ctl, struct settings *s)
{
    char text[TEXT_MAX];
    int status;

    settings_default(s);
    s->all = ctl->all;
    s->strict = ctl->strict;
    s->report = ctl->report;
    status = parse_size("--threshold", ctl->threshold, SETTINGS_THRESHOLD_MIN, "64K", &s->threshold);
    if (status == EXIT_DONE)
        status = parse_size("--limit", ctl->limit, 1, "1", &s->limit);
    if (status != EXIT_DONE)
        return status;
    if (strlen(ctl->address) >= sizeof(s->address)) {
        ctl_complain("the path in %s is too long", text_escape(ctl->address, strlen(ctl->address), text));
        return EXIT_USAGE;
    }
    strcpy(s->address, ctl->address);
    return EXIT_DONE;
}

// Where the memory is to be: better known before the program runs.
static int check_address(struct ctl *ctl)
{
    const char *path = address_path(ctl->address);
    char text[TEXT_MAX];
    struct stat st;

    if (!address_is_directory(ctl->address))
        return ctl_connect(ctl);
    text_escape(path, strlen(path), text);
    if (stat(path, &st) < 0) {
        ctl_complain("%s: %s", text, strerror(errno));
        return EXIT_REFUSED;
    }
    if (!S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) < 0) {
        ctl_complain("%s is not a directory that you may write to", text);
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

// The library lies beside the program: FOLDERS, as seen from there, are where it is installed and where it is built.
static int find_library(char path[static PATH_MAX])
{
    static const char *const folders[] = {PRELOAD_FOLDER, "../preload"};
    char program[PATH_MAX], found[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (n < 0) {
        ctl_complain("/proc/self/exe: %s; without /proc, diskallocctl does not find %s", strerror(errno), LIBRARY);
        return EXIT_REFUSED;
    }
    program[n] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(found, sizeof(found), "%.*s/%s/%s", PATH_MAX - 1, program, folders[i], LIBRARY);
        if (realpath(found, path))
            return EXIT_DONE;
    }
    ctl_complain("%s is not where it belongs, in %s/%s: the package diskallocctl has it", LIBRARY, program,
                 PRELOAD_FOLDER);
    return EXIT_REFUSED;
}

// Libraries that are preloaded already stay, behind LIBRARY.
static int set_environment(const char *library, const struct settings *s)
{
    const char *before = getenv("LD_PRELOAD");
    _cleanup_free_ char *preload = NULL;
    char text[SETTINGS_TEXT_MAX];

    if (strpbrk(library, " :")) {
        ctl_complain("%s can't be preloaded: its path has a space or a colon", library);
        return EXIT_REFUSED;
    }
    settings_format(s, text);
    if (asprintf(&preload, "%s%s%s", library, before && *before ? ":" : "", before ? before : "") < 0 ||
        setenv("LD_PRELOAD", preload, 1) < 0 || setenv(SETTINGS_VARIABLE, text, 1) < 0) {
        ctl_complain("out of memory");
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

int run_run(struct ctl *ctl)
{
    char program[PATH_MAX], library[PATH_MAX], text[TEXT_MAX];
    struct settings settings;
    int status = read_settings(ctl, &settings);

    if (status == EXIT_DONE)
        status = program_find(ctl->args[0], program);
    if (status == EXIT_DONE)
        status = program_check(program);
    if (status == EXIT_DONE)
        status = find_library(library);
    if (status == EXIT_DONE)
        status = check_address(ctl);
    session_close(&ctl->session);
    if (status == EXIT_DONE)
        status = set_environment(library, &settings);
    if (status != EXIT_DONE)
        return status;
    execvp(program, ctl->args); // a script without a first line of its own is run by the shell
    ctl_complain("%s can't be run: %s", text_escape(program, strlen(program), text), strerror(errno));
    return EXIT_REFUSED;
}
