// See mapped_disk.h.
#include "tests/lib/mapped_disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { OUTPUT_SIZE = 4096 };

// Runs a command of the shell, without the sanitizers that a test may have preloaded.  RET_OUTPUT, of SIZE bytes: its
// output and errors.  Returns its wait status.
static int run(char *ret_output, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int run(char *ret_output, size_t size, const char *format, ...)
{
    char command[600];
    size_t n;
    FILE *f;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    f = popen(command, "re");
    assert_non_null(f);
    n = fread(ret_output, 1, size - 1, f);
    ret_output[n] = '\0';
    ret_output[strcspn(ret_output, "\n")] = '\0';
    return pclose(f);
}

static void table(const struct mapped_disk *d, enum mapped_state state, char ret[static 160])
{
    static const char *const features[] = {
        [MAPPED_WRITES_FAIL] = "1 error_writes", [MAPPED_WRITES_ARE_LOST] = "1 drop_writes"};

    if (state == MAPPED_WELL)
        snprintf(ret, 160, "0 %llu linear %s 0", d->sectors, d->loop);
    else if (state == MAPPED_ALL_FAILS)
        snprintf(ret, 160, "0 %llu error", d->sectors);
    else // up for 0 seconds, down for an hour
        snprintf(ret, 160, "0 %llu flakey %s 0 0 3600 %s", d->sectors, d->loop, features[state]);
}

static bool refuse(struct mapped_disk *d, const char *why)
{
    print_message("[ NOTE     ] no %s file system by device mapper: %s\n", d->type, why);
    return false;
}

static bool attach_image(struct mapped_disk *d, uint64_t size, char output[static OUTPUT_SIZE])
{
    int fd = open(d->mount.image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = fd >= 0 && fallocate(fd, 0, 0, (off_t)size) == 0;

    if (fd >= 0)
        close(fd);
    if (!made || run(output, OUTPUT_SIZE, "losetup -f --show %s 2>&1", d->mount.image) != 0)
        return false;
    snprintf(d->loop, sizeof d->loop, "%.60s", output);
    return true;
}

static bool mount_it(struct mapped_disk *d)
{
    char output[OUTPUT_SIZE];

    d->mount.mounted = run(output, sizeof output, "mount -t %s %s %s 2>&1", d->type, d->node, d->mount.at) == 0;
    return d->mount.mounted || refuse(d, output);
}

bool mapped_disk_make(struct mapped_disk *d, const char *type, uint64_t size)
{
    char output[OUTPUT_SIZE], dir[64], line[160];
    static unsigned n;

    memset(d, 0, sizeof *d);
    snprintf(d->type, sizeof d->type, "%s", type);
    if (geteuid() != 0)
        return refuse(d, "needs root");
    if (access("/run/udev/control", F_OK) < 0) // nobody would make the node, and dmsetup would wait for it
        setenv("DM_DISABLE_UDEV", "1", 1);
    // In a namespace of its own, the kernel unmounts it when the test has died.
    if (n == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
        return refuse(d, "no mount namespace");
    scratch_make_dir(dir, sizeof dir);
    snprintf(d->mount.image, sizeof d->mount.image, "%s/image", dir);
    snprintf(d->mount.at, sizeof d->mount.at, "%s/at", dir);
    snprintf(d->name, sizeof d->name, "diskalloc-%d-%u", (int)getpid(), n++);
    snprintf(d->node, sizeof d->node, "/dev/mapper/%s", d->name);
    d->sectors = size / 512;
    assert_int_equal(mkdir(d->mount.at, 0755), 0);
    if (run(output, sizeof output, "dmsetup targets 2>&1 | grep -q '^flakey' || modprobe dm-flakey 2>&1") != 0 ||
        !attach_image(d, size, output)) {
        mapped_disk_remove(d);
        return refuse(d, output);
    }
    table(d, MAPPED_WELL, line);
    if (run(output, sizeof output,
            "dmsetup create %s --table '%s' 2>&1 && TEST_DIR=/ TEST_DEV=/ QA_CHECK_FS=1 mkfs.%s -q %s %s 2>&1", d->name,
            line, type, strcmp(type, "ext4") ? "-f" : "-F", d->node) != 0) {
        mapped_disk_remove(d);
        return refuse(d, output);
    }
    assert_true(mount_it(d));
    return true;
}

// Without a flush or a freeze, which could hang on a device that fails.
void mapped_disk_set(struct mapped_disk *d, enum mapped_state state)
{
    char output[OUTPUT_SIZE], line[160];

    table(d, state, line);
    if (run(output, sizeof output,
            "dmsetup suspend --noflush --nolockfs %1$s 2>&1 && dmsetup load %1$s --table '%2$s' 2>&1 && dmsetup resume "
            "%1$s 2>&1",
            d->name, line) != 0)
        fail_msg("dmsetup: %s", output);
}

static bool unmount_it(void *data)
{
    struct mapped_disk *d = data;

    return umount(d->mount.at) == 0;
}

// xfs is mounted once before it is mended, for its log.
void mapped_disk_mend(struct mapped_disk *d)
{
    char output[OUTPUT_SIZE];
    int r;

    test_wait_until(unmount_it, d, 60, "the file system is not in use");
    mapped_disk_set(d, MAPPED_WELL);
    if (strcmp(d->type, "xfs") == 0) {
        if (mount_it(d))
            test_wait_until(unmount_it, d, 60, "the file system is not in use");
        r = run(output, sizeof output, "xfs_repair -L %s 2>&1", d->node);
    } else {
        r = run(output, sizeof output, "e2fsck -fy %s 2>&1", d->node);
        r = WEXITSTATUS(r) < 4 ? 0 : r; // mended
    }
    if (r != 0)
        fail_msg("cannot mend the file system: %s", output);
    assert_true(mount_it(d));
}

void mapped_disk_remove(struct mapped_disk *d)
{
    char output[OUTPUT_SIZE];

    if (d->mount.mounted)
        test_wait_until(unmount_it, d, 60, "the file system is not in use");
    run(output, sizeof output, "dmsetup remove --retry %s 2>&1", d->name);
    if (d->loop[0])
        run(output, sizeof output, "losetup -d %s 2>&1", d->loop);
    *strrchr(d->mount.image, '/') = '\0';
    scratch_remove_tree(d->mount.image);
}
