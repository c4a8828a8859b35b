// File systems in files, mounted by loop in a mount namespace of the test process: the kernel unmounts them when the
// process ends.
#include "tests/lib/loop_mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

// Runs the command with its output in LOG.  Returns its exit status.
static int run_command(const char *log, const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        // mkfs.xfs makes nothing below 300 MB unless it believes in a test suite
        setenv("TEST_DIR", "/", 1);
        setenv("TEST_DEV", "/", 1);
        setenv("QA_CHECK_FS", "1", 1);
        execvp(argv[0], (char *const *)argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static bool mount_refuse(struct test_mount *m, const char *type, const char *log, const char *why)
{
    _cleanup_free_ char *text = log ? scratch_read_file(log) : NULL;

    print_message("[ NOTE     ] no %s file system by loop: %s%s%s\n", type, why, text ? ": " : "", text ? text : "");
    unlink(m->image);
    rmdir(m->at);
    return false;
}

static int mount_make_image(const struct test_mount *m, uint64_t size)
{
    _cleanup_close_ int fd = open(m->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 || fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
}

// False, and the reason is printed, unless this process may mount; the directory for M is made.
static bool mount_prepare(struct test_mount *m, const char *type, char *ret_dir, size_t size)
{
    static bool private_namespace;

    memset(m, 0, sizeof *m);
    if (geteuid() != 0)
        return mount_refuse(m, type, NULL, "needs root");
    if (!private_namespace && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
        return mount_refuse(m, type, NULL, strerror(errno));
    private_namespace = true;
    scratch_make_dir(ret_dir, size);
    snprintf(m->image, sizeof m->image, "%s/image", ret_dir);
    snprintf(m->at, sizeof m->at, "%s/at", ret_dir);
    assert_int_equal(mkdir(m->at, 0755), 0);
    return true;
}

bool test_mount_with(struct test_mount *m, const char *type, uint64_t size, const char *mkfs_option,
                     const char *options)
{
    char dir[64], mkfs[32], log[96];

    if (!mount_prepare(m, type, dir, sizeof dir))
        return false;
    snprintf(mkfs, sizeof mkfs, "mkfs.%s", type);
    snprintf(log, sizeof log, "%s/mount.log", dir);
    if (mount_make_image(m, size) < 0)
        return mount_refuse(m, type, NULL, "no room for its image");
    const char *const make[] = {mkfs,
                                "-q",
                                strcmp(type, "ext4") ? "-f" : "-F",
                                mkfs_option ? mkfs_option : m->image,
                                mkfs_option ? m->image : NULL,
                                NULL};
    if (run_command(log, make) != 0)
        return mount_refuse(m, type, log, mkfs);
    const char *const attach[] = {"mount",  "-t",  type, "-o", "loop", "-o", options ? options : "rw",
                                  m->image, m->at, NULL};
    if (run_command(log, attach) != 0)
        return mount_refuse(m, type, log, "mount");
    m->mounted = true;
    return true;
}

bool test_mount(struct test_mount *m, const char *type, uint64_t size)
{
    return test_mount_with(m, type, size, NULL, NULL);
}

bool test_mount_tmpfs(struct test_mount *m, uint64_t size)
{
    char dir[64], options[64];

    if (!mount_prepare(m, "tmpfs", dir, sizeof dir))
        return false;
    snprintf(options, sizeof options, "size=%llu,mode=0755", (unsigned long long)size);
    if (mount("tmpfs", m->at, "tmpfs", 0, options) < 0)
        return mount_refuse(m, "tmpfs", NULL, strerror(errno));
    m->mounted = true;
    return true;
}

int test_remount(const struct test_mount *m, const char *type)
{
    const char *const attach[] = {"mount", "-t", type, "-o", "loop", m->image, m->at, NULL};

    return run_command("/dev/null", attach);
}

void test_unmount(struct test_mount *m)
{
    char *slash = strrchr(m->image, '/');

    if (!m->mounted)
        return;
    if (umount(m->at) < 0)
        umount2(m->at, MNT_DETACH);
    m->mounted = false;
    *slash = 0;
    scratch_remove_tree(m->image);
    *slash = '/';
}
