// faults-loop [--target daemon|client|dir|all] [--sample N] [--seed S] [--jobs J] [--only TARGET:AT:VARIANT:once|on]
//
// Fails each call of the daemon, or of the library, in turn.  The script is run once without a fault, which counts the
// calls; then once for each call, each of its errors, and each of: this call only, all calls of its kind from it on.
// With --sample, N runs that are spread evenly over all of these.  Ends with 1 when anything was not as it must be.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/calls.h"
#include "tests/faults/run.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { MORE = 8, REPORTS_MAX = 1000 };

static const char *const target_names[TARGET_N] = {"daemon", "client", "dir"};

struct options {
    unsigned targets; // bits
    unsigned long sample, seed, jobs;
    struct fault only;
    bool has_only;
};

struct plan {
    struct fault *faults;
    size_t n, n_allocated;
};

struct result {
    struct run run;
    struct faults_control control;
    pid_t pid;
};

static uint64_t injected[TARGET_N][FAULTS_CALLS_MAX][FAULTS_ERRORS_MAX];
static unsigned n_violations, n_runs, n_refused, n_without;
static unsigned baseline_fds;

static void plan_add(struct plan *p, struct fault f)
{
    if (p->n == p->n_allocated) {
        p->n_allocated = p->n_allocated ? 2 * p->n_allocated : 1024;
        p->faults = realloc(p->faults, p->n_allocated * sizeof *p->faults);
        if (!p->faults)
            abort();
    }
    p->faults[p->n++] = f;
}

static void plan_target(struct plan *p, enum target target, const struct faults_control *counted)
{
    uint64_t n = counted->n_calls < FAULTS_TRACE_MAX ? counted->n_calls : FAULTS_TRACE_MAX;

    // Threads do not count alike in each run: some more, until there is no Nth call.
    for (uint64_t at = 1; at <= n + MORE; at++)
        for (unsigned v = 0; v < (at <= n ? faults_n_errors(counted->trace[at - 1]) : 1); v++)
            for (int persistent = 0; persistent < 2; persistent++)
                plan_add(p, (struct fault){target, at, v, persistent});
}

// Keeps N faults that are spread evenly, with a first one that SEED chooses.
static void plan_sample(struct plan *p, size_t n, unsigned long seed)
{
    size_t kept = 0;

    if (n == 0 || n >= p->n)
        return;
    for (size_t i = 0; i < n; i++)
        p->faults[kept++] = p->faults[(i * p->n + seed * 2654435761u % p->n) / n % p->n];
    p->n = kept;
}

static void print_frames(const struct faults_control *c)
{
    for (unsigned i = 0; i < c->n_frames; i++) {
        const struct faults_frame *f = &c->frames[i];
        const char *path = strcmp(f->module, "diskallocd") == 0          ? TEST_DISKALLOCD
                           : strncmp(f->module, "libdiskalloc", 12) == 0 ? TEST_FAULTS_LIBRARY
                                                                         : NULL;
        char command[600];

        fprintf(stderr, "    %s+0x%llx ", f->module, (unsigned long long)f->address);
        fflush(stderr);
        if (path) {
            snprintf(command, sizeof command, "addr2line -fse %s 0x%llx 2>/dev/null | paste -sd' ' >&2", path,
                     (unsigned long long)f->address);
            if (system(command) == 0)
                continue;
        }
        fputc('\n', stderr);
    }
}

static void print_violation(const struct result *r)
{
    const struct fault *f = &r->run.fault;

    if (++n_violations > REPORTS_MAX)
        return;
    fprintf(stderr, "--only %s:%llu:%u:%s: %s, %s%s\n  %s\n", target_names[f->target], (unsigned long long)f->at,
            f->variant, f->persistent ? "on" : "once",
            r->control.call < 0 ? "no fault" : faults_calls[r->control.call].name,
            r->control.call < 0 ? "" : faults_error_name(r->control.error), f->persistent ? " from then on" : "",
            r->run.violation);
    print_frames(&r->control);
    fprintf(stderr, "  log: %s\n", r->run.log_end);
}

static void take_result(struct result *r, int status)
{
    n_runs++;
    if (status != 0 && !r->run.violation[0])
        snprintf(r->run.violation, sizeof r->run.violation, "the run itself ended with wait status 0x%x",
                 (unsigned)status);
    n_refused += r->run.refused;
    n_without += r->run.fault.at > 0 && r->control.n_injected == 0;
    for (int c = 0; c < CALL_N; c++)
        for (int e = 0; e < FAULTS_ERRORS_MAX; e++)
            injected[r->run.fault.target][c][e] += r->control.injected[c][e];
    if (r->run.violation[0])
        print_violation(r);
}

// In a child: a run that crashes harms no other.
static pid_t begin_run(struct result *r, struct fault fault)
{
    pid_t pid, parent = getpid();

    memset(r, 0, sizeof *r);
    r->run.fault = fault;
    r->control.call = -1;
    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    run_fault(&r->run, fault.at == 0 ? 0 : baseline_fds);
    memcpy(&r->control, r->run.control, sizeof r->control);
    _exit(0);
}

static struct result *results_new(size_t n)
{
    void *at = mmap(NULL, n * sizeof(struct result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        abort();
    return at;
}

// Not in order: calls that make the script wait for its deadlines lie side by side.
static void plan_mix(struct plan *p)
{
    struct fault *mixed = calloc(p->n + 1, sizeof *mixed);
    size_t stride = 619; // a prime number: each is met once unless it divides the number

    if (!mixed)
        abort();
    for (size_t i = 0; i < p->n; i++)
        mixed[i] = p->faults[p->n % stride == 0 ? i : i * stride % p->n];
    free(p->faults);
    p->faults = mixed;
}

static void run_plan(const struct plan *p, size_t n_jobs)
{
    struct result *slots = results_new(n_jobs);
    size_t next = 0, running = 0;

    while (next < p->n || running > 0) {
        int status;
        pid_t pid;

        for (size_t i = 0; i < n_jobs && next < p->n; i++)
            if (slots[i].pid == 0) {
                slots[i].pid = begin_run(&slots[i], p->faults[next++]);
                running++;
            }
        pid = wait(&status);
        for (size_t i = 0; i < n_jobs; i++)
            if (slots[i].pid == pid) {
                take_result(&slots[i], status);
                slots[i].pid = 0;
                running--;
            }
        if (n_runs % 500 == 0 && p->n > 500)
            fprintf(stderr, "%u of %zu runs, %u violations\n", n_runs, p->n, n_violations);
    }
    munmap(slots, n_jobs * sizeof *slots);
}

// Without a fault: counts the calls.
static void count(struct plan *p, enum target target)
{
    struct result *r = results_new(1);
    int status;

    r->pid = begin_run(r, (struct fault){.target = target});
    waitpid(r->pid, &status, 0);
    take_result(r, status);
    if (target == TARGET_DAEMON)
        baseline_fds = r->run.n_fds;
    fprintf(stderr, "%s: %llu calls can fail\n", target_names[target], (unsigned long long)r->control.n_calls);
    plan_target(p, target, &r->control);
    munmap(r, sizeof *r);
}

static void print_totals(void)
{
    uint64_t total = 0;

    for (int c = 0; c < CALL_N; c++)
        for (unsigned e = 0; e < faults_n_errors(c); e++) {
            uint64_t here[TARGET_N], sum = 0;

            for (int t = 0; t < TARGET_N; t++)
                sum += here[t] = injected[t][c][e];
            total += sum;
            if (sum > 0)
                printf("%-18s %-12s daemon %6llu, library %6llu, library with a directory %6llu\n",
                       faults_calls[c].name, faults_error_name(faults_calls[c].errors[e]), (unsigned long long)here[0],
                       (unsigned long long)here[1], (unsigned long long)here[2]);
        }
    printf(
        "%llu faults in %u runs (%u daemons refused to start and said why, %u runs had no such call): %u violations\n",
        (unsigned long long)total, n_runs, n_refused, n_without, n_violations);
}

static struct fault parse_only(const char *text)
{
    char target[16], mode[16];
    unsigned long long at;
    struct fault f = {0};

    if (sscanf(text, "%15[a-z]:%llu:%u:%15s", target, &at, &f.variant, mode) != 4)
        exit(2);
    f.at = at;
    f.persistent = strcmp(mode, "on") == 0;
    for (int t = 0; t < TARGET_N; t++)
        if (strcmp(target, target_names[t]) == 0)
            f.target = (enum target)t;
    return f;
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"target", required_argument, NULL, 't'}, {"sample", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},   {"jobs", required_argument, NULL, 'j'},
        {"only", required_argument, NULL, 'o'},   {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
        if (c == 't')
            for (int t = 0; t < TARGET_N; t++)
                o->targets |= strcmp(optarg, target_names[t]) == 0 ? 1u << t : 0;
        else if (c == 'n')
            o->sample = strtoul(optarg, NULL, 10);
        else if (c == 's')
            o->seed = strtoul(optarg, NULL, 10);
        else if (c == 'j')
            o->jobs = strtoul(optarg, NULL, 10);
        else if (c == 'o') {
            o->only = parse_only(optarg);
            o->has_only = true;
            o->targets = 1u << o->only.target;
        } else
            exit(2);
    }
    if (o->targets == 0)
        o->targets = (1u << TARGET_N) - 1;
    if (o->jobs == 0)
        o->jobs = 1;
}

int main(int argc, char **argv)
{
    struct options o = {.jobs = 4};

    parse(argc, argv, &o);
    signal(SIGPIPE, SIG_IGN);
    for (int t = 0; t < TARGET_N; t++) {
        struct plan plan = {0};

        if (!(o.targets & 1u << t))
            continue;
        count(&plan, (enum target)t);
        if (n_violations > 0) {
            free(plan.faults);
            return 1;
        }
        plan_sample(&plan, o.sample, o.seed);
        if (o.has_only) {
            plan.n = 0;
            plan_add(&plan, o.only);
        }
        plan_mix(&plan);
        run_plan(&plan, o.jobs);
        free(plan.faults);
    }
    print_totals();
    return n_violations > 0;
}
