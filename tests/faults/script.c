// faults-script run|verify REPORT ADDRESS PREFIX SCRATCH exact|once|persistent|patient [CONFIG PID]
//
// Runs all operations, and checks each.  Ends with 0 also when it has a complaint: that is in the report,
// and on stderr.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/faults/control.h"
#include "tests/faults/script.h"

enum { RECONNECT_MS = 1500, PATIENT_MS = 60 * 1000 };

static void *map(const char *path, size_t size)
{
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static bool open_client(struct script *s, struct diskalloc **ret)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    int r = -1;

    o.reconnect_timeout_ms = s->patient ? PATIENT_MS : RECONNECT_MS;
    script_begin(s, "opening a client");
    for (int i = 0; i < 2 && r < 0; i++)
        r = script_succeeded(s, "open", diskalloc_open(s->address, &o, ret)) ? 0 : -1;
    if (r < 0 && script_must_succeed(s))
        script_complain(s, "no client when the fault is gone: %s", diskalloc_last_error());
    return r == 0;
}

static void run(struct script *s)
{
    static void (*const parts[])(struct script * s) = {
        script_regions, script_sharing, script_names, script_descriptors, script_blocks, script_vectors,
        script_strings, script_heap,    script_files, script_fork,        script_events, script_admin,
    };

    if (!open_client(s, &s->da))
        return;
    if (!open_client(s, &s->other)) {
        diskalloc_close(s->da);
        return;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        parts[i](s);
    script_begin(s, "closing");
    diskalloc_close(s->other);
    diskalloc_close(s->da);
}

static void verify(struct script *s)
{
    s->exact = true;
    s->report->complaint[0] = '\0';
    if (!open_client(s, &s->da))
        return;
    script_verify(s);
    diskalloc_close(s->da);
}

int main(int argc, char **argv)
{
    struct script s = {0};
    bool arms = getenv(FAULTS_CONTROL_ENV) != NULL;
    char control[200];
    unsigned n_before;

    if (argc < 7)
        return 2;
    s.report = map(argv[2], sizeof *s.report);
    if (!s.report)
        return 2;
    s.address = argv[3];
    s.prefix = argv[4];
    s.scratch = argv[5];
    snprintf(control, sizeof control, "%s/control", s.scratch);
    s.control = map(control, sizeof *s.control);
    if (!s.control)
        return 2;
    s.exact = strcmp(argv[6], "exact") == 0;
    s.patient = strcmp(argv[6], "patient") == 0;
    s.once = !s.patient && strcmp(argv[6], "persistent") != 0;
    if (argc > 8) {
        s.config = argv[7];
        s.daemon = atoi(argv[8]);
    }
    n_before = count_descriptors();
    if (strcmp(argv[1], "verify") == 0)
        verify(&s);
    else {
        if (arms)
            s.control->armed = true;
        run(&s);
        if (arms)
            s.control->armed = false;
    }
    script_begin(&s, "the end");
    // A descriptor that can't be looked at stays open: it may be the program's own.
    if (count_descriptors() != n_before && !(arms && script_fault_was(&s, "fstat")))
        script_complain(&s, "%u descriptors are open instead of %u", count_descriptors(), n_before);
    if (s.report->complaint[0])
        fprintf(stderr, "%s\n", s.report->complaint);
    s.report->ended = true;
    return 0;
}
