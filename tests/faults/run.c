// See run.h.
#include "tests/faults/run.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

void run_violation(struct run *r, const char *format, ...)
{
    va_list arguments;

    if (r->violation[0])
        return;
    va_start(arguments, format);
    vsnprintf(r->violation, sizeof r->violation, format, arguments);
    va_end(arguments);
}

static void *map_new(const char *path, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    void *at;

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        abort();
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    return at;
}

static void prepare(struct run *r)
{
    FILE *f;

    scratch_make_dir(r->dir, sizeof r->dir);
    snprintf(r->spill, sizeof r->spill, "%s/spill", r->dir);
    snprintf(r->socket, sizeof r->socket, "%s/socket", r->dir);
    snprintf(r->config, sizeof r->config, "%s/conf", r->dir);
    snprintf(r->log, sizeof r->log, "%s/log", r->dir);
    snprintf(r->report_path, sizeof r->report_path, "%s/report", r->dir);
    snprintf(r->control_path, sizeof r->control_path, "%s/control", r->dir);
    if (r->fault.target == TARGET_DIR)
        snprintf(r->address, sizeof r->address, "dir:%s", r->spill);
    else
        snprintf(r->address, sizeof r->address, "unix:%s", r->socket);
    f = fopen(r->config, "we");
    if (mkdir(r->spill, 0700) < 0 || !f)
        abort();
    fprintf(f, "[daemon]\nkeep_free = 0\nmetrics_listen = %s.metrics\n[quota default]\nbytes = 4G\n", r->socket);
    fclose(f);
    r->report = map_new(r->report_path, sizeof *r->report);
    r->control = map_new(r->control_path, sizeof *r->control);
    r->control->call = -1;
    r->control->fail_at = r->fault.at;
    r->control->variant = r->fault.variant;
    r->control->persistent = r->fault.persistent;
}

// The sanitizers' reports and failed assertions are in the log, whatever the exit status was.
static void check_log(struct run *r)
{
    static const char *const signs[] = {"Sanitizer", "runtime error:", "Assertion", "corrupt", "double free"};
    _cleanup_free_ char *log = scratch_read_file(r->log);
    size_t n = log ? strlen(log) : 0;

    for (size_t i = 0; log && i < sizeof signs / sizeof *signs; i++)
        if (strstr(log, signs[i])) {
            run_violation(r, "the log has \"%s\"", signs[i]);
            snprintf(r->log_end, sizeof r->log_end, "%s", strstr(log, signs[i]));
            return;
        }
    if (log && r->violation[0])
        snprintf(r->log_end, sizeof r->log_end, "%s", log + (n > 1500 ? n - 1500 : 0));
}

// The promises hold also for a daemon that has never seen a fault.
static void check_afterwards(struct run *r)
{
    bool has_daemon = r->fault.target != TARGET_DIR;

    r->control->armed = false;
    if (has_daemon && !daemon_begin(r, false))
        return;
    script_run(r, "verify", false);
    for (unsigned i = 0; i < r->report->n_promises; i++)
        r->report->promises[i].state = PROMISE_GONE;
    r->report->strings.state = r->report->heap.state = PROMISE_GONE;
    if (has_daemon && !r->violation[0])
        heal_check_charges(r);
    if (!has_daemon && !r->violation[0] && test_count_files(r->spill) != 0)
        run_violation(r, "%zu files are left in the directory", test_count_files(r->spill));
    daemon_end(r);
}

static void fault_daemon(struct run *r, unsigned n_fds)
{
    r->control->armed = true;
    if (!daemon_begin(r, true))
        return;
    script_run(r, "run", false);
    r->control->armed = false;
    if (!r->violation[0])
        heal_check(r, n_fds);
    r->control->armed = true;
    daemon_end(r);
}

static void fault_client(struct run *r)
{
    bool has_daemon = r->fault.target == TARGET_CLIENT;

    if (has_daemon && !daemon_begin(r, false))
        return;
    script_run(r, "run", true);
    r->control->armed = false;
    if (has_daemon && !r->violation[0])
        heal_check_charges(r);
    daemon_end(r);
}

void run_fault(struct run *r, unsigned n_fds)
{
    prepare(r);
    if (r->fault.target == TARGET_DAEMON)
        fault_daemon(r, n_fds);
    else
        fault_client(r);
    if (!r->violation[0])
        check_afterwards(r);
    daemon_kill(r);
    check_log(r);
    scratch_remove_tree(r->dir);
}
