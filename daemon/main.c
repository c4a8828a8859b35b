// The program diskallocd: options, the process itself, and the life of one struct daemon.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/settings.h"
#include "daemon/conn/turn_away.h"
#include "daemon/daemon.h"
#include "daemon/fence/server/control.h"
#include "daemon/fence/server/server.h"
#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/trial.h"
#include "proto/util/cleanup.h"

static const char usage[] =
    "usage: diskallocd [--config FILE] [--socket PATH] [--spill-dir DIR] [--check-config] [--version] [--help]\n"
    "\n"
    "Owns a spill directory: makes, grows, shrinks and removes the files behind big vectors, charges\n"
    "each file to its user and enforces the limits. See diskallocd(8), diskallocd.conf(5).\n"
    "\n"
    "  --config FILE     read FILE and FILE.d/*.conf (default " CONFIG_DEFAULT_PATH ")\n"
    "  --socket PATH     listen at PATH instead of the configured socket\n"
    "  --spill-dir DIR   keep the files in DIR instead of the configured directories; may be given several times\n"
    "  --check-config    check the configuration and exit\n"
    "  --version         print the version and exit\n"
    "  --help            print this help and exit\n";

struct options {
    struct settings_source source;
    struct config_paths spill_dirs;
    bool check_config;
};

enum { EXIT_USAGE = 1 };

static void options_clear(struct options *options)
{
    config_paths_clear(&options->spill_dirs);
}

static bool add_spill_dir(struct options *options, const char *path)
{
    _cleanup_free_ char *here = path[0] == '/' ? NULL : getcwd(NULL, 0), *absolute = NULL;
    int r;

    if (asprintf(&absolute, "%s%s%s", here ? here : "", here ? "/" : "", path) < 0)
        absolute = NULL;
    r = config_paths_add(&options->spill_dirs, absolute ? absolute : path);
    if (r < 0)
        fprintf(stderr, "diskallocd: --spill-dir %s: %s\n", path, config_paths_complaint(r));
    return r == 0;
}

// The exit status after something was printed.
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    log_error("the output can't be written: %m");
    return DAEMON_EXIT_FAILED;
}

// -1: go on.  Any other value is the exit status of the process.
static int parse_options(int argc, char **argv, struct options *ret)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"socket", required_argument, NULL, 's'},
        {"spill-dir", required_argument, NULL, 'd'},
        {"check-config", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0)
        switch (c) {
        case 'c':
            ret->source.config = optarg;
            break;
        case 's':
            ret->source.socket = optarg;
            break;
        case 'd':
            if (!add_spill_dir(ret, optarg))
                return EXIT_USAGE;
            break;
        case 'k':
            ret->check_config = true;
            break;
        case 'v':
            puts("diskallocd " DISKALLOC_VERSION);
            return printed();
        case 'h':
            fputs(usage, stdout);
            return printed();
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    if (optind < argc) {
        fprintf(stderr, "diskallocd: unexpected argument %s\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return -1;
}

static enum daemon_exit load(const struct settings_source *source, struct config **ret)
{
    _cleanup_free_ char *error = NULL;
    int r = settings_load(source, ret, &error);

    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r == 0 ? DAEMON_EXIT_OK : r == -ENOMEM ? DAEMON_EXIT_SHORT : DAEMON_EXIT_CONFIG;
}

// Each connection and each running operation needs descriptors: takes as many as the hard limit allows.
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warning("cannot raise the limit of open files: %m");
}

// The socket that systemd handed over; -1: none; -2: more than one.
static int socket_from_systemd(void)
{
    int n = sd_listen_fds(1);

    if (n <= 0)
        return -1;
    if (n > 1) {
        log_error("systemd handed over %d sockets instead of one", n);
        return -2;
    }
    return SD_LISTEN_FDS_START;
}

// Opens standard descriptors that are closed.  Otherwise a file of the daemon could get the number of stderr, and log
// messages would be written into the file.
static bool open_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return false;
    return true;
}

// From here on, the daemon or an exit status other than 0.  CONFIG goes to the daemon.
static int start(const struct settings_source *source, struct config *config, int listen_fd, struct daemon **ret)
{
    if (listen_fd >= 0 && config->socket_was_set)
        log_warning("the socket comes from systemd: the configured socket and socket_mode are not used");
    umask(077);
    // The kernel sends SIGIO when somebody opens a file on which this process has a lease (see orphans).
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    raise_fd_limit();
    return (int)daemon_new(source, config, listen_fd, ret);
}

// A daemon that can't start tells that to the clients that have woken it, and is not started again at once.
static int run(struct options *options)
{
    struct config *config = NULL;
    struct daemon *d = NULL;
    int listen_fd = socket_from_systemd(), status;

    if (listen_fd == -2)
        return DAEMON_EXIT_FAILED;
    status = (int)load(&options->source, &config);
    if (status == DAEMON_EXIT_OK)
        status = start(&options->source, config, listen_fd, &d);
    if (status != DAEMON_EXIT_OK) {
        if (listen_fd >= 0)
            turn_away(listen_fd);
        return status;
    }
    status = (int)daemon_run(d);
    daemon_free(d);
    return status;
}

int main(int argc, char **argv)
{
    _cleanup_(options_clear) struct options options = {.source.spill_dirs = &options.spill_dirs};
    struct config *config = NULL;
    int status;

    // The daemon runs its own program as the server of the passthrough fence.
    if (argc == 2 && strcmp(argv[1], PASSTHROUGH_OPTION) == 0)
        return server_main();
    status = parse_options(argc, argv, &options);
    if (status >= 0)
        return status;
    if (!open_standard_fds())
        return DAEMON_EXIT_FAILED;
    // Whoever checks the configuration waits for the user database; a daemon that starts does not.
    if (options.check_config) {
        status = (int)load(&options.source, &config);
        config_free(config);
        // Another user may read more of the files, or less.
        if (status != DAEMON_EXIT_OK)
            return status;
        printf("no mistake in the configuration, as user %u reads it\n", (unsigned)geteuid());
        return printed();
    }
    if (names_new(&options.source.names) < 0) {
        log_error("cannot start: out of memory");
        return DAEMON_EXIT_FAILED;
    }
    status = run(&options);
    names_free(options.source.names);
    // Exit handlers must not run beside a thread that a disk wakes meanwhile, nor wait for it.
    if (trial_hangs())
        _exit(status);
    return status;
}
