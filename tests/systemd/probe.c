// Run in the place of the daemon, in its sandbox: tries what must fail there and what the daemon needs, and says what
// is otherwise.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

// As linux/sched/types.h has it, which can't be included beside sched.h.
struct slices {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static unsigned n_wrong, n_tried;
static const char *spill;

static void must_fail(const char *what, long result)
{
    n_tried++;
    if (result >= 0) {
        n_wrong++;
        printf("is possible: %s\n", what);
    }
}

static void must_work(const char *what, long result)
{
    n_tried++;
    if (result < 0) {
        n_wrong++;
        printf("is not possible: %s: %s\n", what, strerror(errno));
    }
}

static int make_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static void try_files(void)
{
    must_fail("writing to /etc", make_file("/etc/diskalloc/probe"));
    must_fail("writing to /usr", make_file("/usr/probe"));
    must_fail("writing to /var/lib", make_file("/var/lib/probe"));
    must_fail("writing to /var/tmp as others see it", access("/var/tmp/seen-by-all", F_OK));
    must_fail("seeing /tmp as others see it", access("/tmp/seen-by-all", F_OK));
    must_fail("reading /home", access("/home/alice", F_OK));
    must_fail("reading /root", open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    must_fail("reading /etc/shadow", open("/etc/shadow", O_RDONLY | O_CLOEXEC));
    must_fail("reading /dev/kmsg", open("/dev/kmsg", O_RDONLY | O_CLOEXEC));
    must_fail("writing to /proc/sys", open("/proc/sys/kernel/hostname", O_WRONLY | O_CLOEXEC));
    must_fail("reading the environment of other users' processes", open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
}

static void try_programs(void)
{
    char path[4096];
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    must_fail("running a shell", status == 0 ? 0 : -1);
    snprintf(path, sizeof path, "%s/program", spill);
    status = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    must_work("a file in the spill directory", status);
    if (status < 0 || write(status, "#!\n", 3) < 0 || close(status) < 0)
        return;
    must_fail("running what lies in the spill directory", access(path, X_OK));
    unlink(path);
}

static void try_powers(void)
{
    struct sched_param first = {.sched_priority = 1};
    void *memory;

    must_fail("an internet socket", socket(AF_INET, SOCK_STREAM, 0));
    must_fail("a netlink socket", socket(AF_NETLINK, SOCK_RAW, 0));
    must_fail("a raw packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    must_fail("a user namespace", unshare(CLONE_NEWUSER));
    must_fail("a mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    must_fail("becoming root", setuid(0));
    must_fail("changing the root", chroot("/"));
    must_fail("changing an owner", chown(spill, 0, 0));
    must_fail("tracing a process", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    must_fail("bpf", syscall(SYS_bpf, 0, NULL, 0));
    must_fail("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
    must_fail("keys", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    must_fail("userfaultfd", syscall(SYS_userfaultfd, 0));
    must_fail("real-time scheduling", sched_setscheduler(0, SCHED_FIFO, &first));
    must_fail("a higher priority", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1));
    must_fail("another hostname", sethostname("x", 1));
    must_fail("signals to PID 1", kill(1, 0));
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must_fail("memory to write to and to execute", memory == MAP_FAILED ? -1 : 0);
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must_fail("executing what was written", mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

static void try_region(void)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    int dir = open(spill, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, again;
    char path[64];

    must_work("the spill directory", dir);
    fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    must_work("a file without a name", fd);
    must_work("blocks", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
    must_work("their size", ftruncate(fd, 1 << 20));
    must_work("a hole", fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
    must_work("an extended attribute", fsetxattr(fd, "user.probe", "x", 1, 0));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    must_work("a name", linkat(AT_FDCWD, path, dir, "probe", AT_SYMLINK_FOLLOW));
    again = (int)syscall(SYS_openat2, dir, "probe", &how, sizeof how);
    must_work("openat2", again);
    must_fail("a lease while it is open elsewhere", fcntl(again, F_SETLEASE, F_WRLCK));
    close(fd);
    must_work("a lease", fcntl(again, F_SETLEASE, F_WRLCK));
    must_work("its end", fcntl(again, F_SETLEASE, F_UNLCK));
    must_work("sync", fsync(dir));
    must_work("removal", unlinkat(dir, "probe", 0));
}

static void *nothing(void *data)
{
    return data;
}

static void try_needs(void)
{
    struct rlimit files;
    struct passwd *alice = getpwnam("alice");
    gid_t groups[64];
    int n = 64;
    pthread_t thread;

    must_work("a unix socket", socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    must_work("the user database", alice ? 0 : -1);
    must_work("the group database", alice && getgrouplist("alice", alice->pw_gid, groups, &n) == 2 ? 0 : -1);
    if (getenv("PROBE_NSS_SYSTEMD"))
        must_work("a user that only systemd knows", getpwnam("dynamic") ? 0 : -1);
    must_work("/proc/sys", open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC));
    must_work("when other users' processes began", open("/proc/1/task/1/stat", O_RDONLY | O_CLOEXEC));
    must_work("the boot id", open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    must_work("a thread", pthread_create(&thread, NULL, nothing, NULL) == 0 ? pthread_join(thread, NULL) : -1);
    must_work("a lower priority", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 1));
    must_work(
        "short slices of the processor",
        syscall(SYS_sched_setattr, 0, &(struct slices){.size = sizeof(struct slices), .runtime = 100 * 1000}, 0U));
    must_work("the limit of files", getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = files.rlim_max;
    must_work("as many files as there may be", setrlimit(RLIMIT_NOFILE, &files));
    must_work("a socket beside the daemon's", make_file("/run/diskalloc/probe"));
    unlink("/run/diskalloc/probe");
    // ENOSYS, EOPNOTSUPP: a kernel without Landlock; EPERM: the filter.
    must_work("Landlock", syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 0 && errno == EPERM ? -1 : 0);
}

static void try_status(void)
{
    static const char *const expected[] = {"CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1",
                                           "Seccomp:\t2"};
    char line[256];
    unsigned n_found = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f))
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
            n_found += strncmp(line, expected[i], strlen(expected[i])) == 0;
    must_work("no capabilities, no new privileges, a filter", n_found == 4 ? 0 : -1);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    spill = getenv("STATE_DIRECTORY");
    if (!spill || geteuid() == 0) {
        puts("there is no spill directory, or this is root");
        return 1;
    }
    try_files();
    try_programs();
    try_powers();
    try_region();
    try_needs();
    try_status();
    printf("%u of %u are as they should be\n", n_tried - n_wrong, n_tried);
    return n_wrong > 0;
}
