// The mounts around a spill directory, and the devices below it: see surroundings.h.
//
// Around it: whoever may write elsewhere on the same file system can share blocks of spill files there (reflinks,
// snapshots). So it matters whether the directory is a whole file system of its own.  /proc/self/mountinfo tells: the
// mount of the directory must show the root of the file system, and no other mount of that file system may be in
// sight.
//
// Below it: the file system keeps its word only if its block devices do.  /sys tells what each device is made of.
// Disks and partitions are believed.  Loop devices are as good as their image: all its blocks must exist, on a file
// system and a device that are safe themselves.  Device mapper is believed where its name tells that the blocks are
// fixed (crypt, multipath, LVM on other devices); thin volumes and snapshots take blocks from a pool that can run
// out.  The target of a mapped device is no secret, but only root may ask for it, so an unknown name is taken as not
// safe.
#include "proto/spill/surroundings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/spill/filesystem.h"
#include "proto/spill/mountinfo.h"
#include "proto/util/cleanup.h"

enum { MOST_LAYERS = 16 }; // of devices on devices

struct own_mount {
    unsigned id, major, minor;
    bool shows_root;
    char *point;
};

static int find_own(const struct mount *m, void *data)
{
    struct own_mount *own = data;

    if (m->id != own->id || own->point)
        return 0;
    own->major = m->major;
    own->minor = m->minor;
    own->shows_root = strcmp(m->root, "/") == 0;
    own->point = strdup(m->point);
    return own->point ? 0 : -ENOMEM;
}

// A second mount at the same place, or below it, shows nobody more than the first (ReadWritePaths= of systemd makes
// one).
static int find_others(const struct mount *m, void *data)
{
    struct own_mount *own = data;
    size_t n = strlen(own->point);

    if (m->id == own->id || m->major != own->major || m->minor != own->minor)
        return 0;
    if (strncmp(m->point, own->point, n) != 0 || (m->point[n] && m->point[n] != '/'))
        own->shows_root = false;
    return 0;
}

bool surroundings_is_mount_point(int dirfd, const char *path)
{
    char above[PATH_MAX];
    struct stat here, parent;
    struct statx x;

    if (statx(dirfd, path, AT_EMPTY_PATH, STATX_INO, &x) == 0 && x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
        return x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    snprintf(above, sizeof above, "%s%s..", path, *path ? "/" : "");
    return fstatat(dirfd, path, &here, AT_EMPTY_PATH) == 0 && fstatat(dirfd, above, &parent, 0) == 0 &&
           (here.st_dev != parent.st_dev || here.st_ino == parent.st_ino);
}

int surroundings_read(int dirfd, struct surroundings *ret)
{
    struct own_mount own = {0};
    int r = mountinfo_id(dirfd, &own.id);

    *ret = (struct surroundings){.is_mount_point = surroundings_is_mount_point(dirfd, "")};
    if (r == 0)
        r = mountinfo_read(find_own, &own);
    if (r == 0 && !own.point)
        r = -ENODATA;
    if (r == 0)
        r = mountinfo_read(find_others, &own);
    if (r == 0) {
        ret->is_whole_file_system = ret->is_mount_point && own.shows_root;
        ret->major = own.major;
        ret->minor = own.minor;
    }
    free(own.point);
    return r;
}

static const char unseen[] = "the block device below it cannot be looked at from here";

// The first line of a small file of /sys.  False: it is not there, or *RET_UNKNOWN, because it cannot be read.
static bool read_attribute_or(const char *dir, const char *name, char *ret, size_t size, bool *ret_unknown)
{
    char path[PATH_MAX + 400];
    ssize_t n;
    _cleanup_close_ int fd = -1;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, ret, size - 1);
    *ret_unknown = n < 0 && errno != ENOENT && errno != ENOTDIR;
    if (n < 0)
        return false;
    ret[n] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return true;
}

// As read_attribute_or, for callers that need not know why an attribute could not be read.
static bool read_attribute(const char *dir, const char *name, char *ret, size_t size)
{
    bool unknown;

    return read_attribute_or(dir, name, ret, size, &unknown);
}

static const char *check_device(const char *dir, unsigned layer);

static const char *check_device_number(unsigned maj, unsigned min, unsigned layer)
{
    char dir[64];

    snprintf(dir, sizeof dir, "/sys/dev/block/%u:%u", maj, min);
    return check_device(dir, layer);
}

// Whether overwriting the blocks of the image needs no new ones.
static bool is_on_safe_file_system(const char *image)
{
    const char *name;
    struct statfs fs;
    int flags = 0;
    _cleanup_close_ int fd = -1;

    if (statfs(image, &fs) < 0 || filesystem_classify(&fs, &name)[0] != '\0')
        return false;
    if ((unsigned)fs.f_type != BTRFS_SUPER_MAGIC)
        return true;
    fd = open(image, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_NOCOW_FL;
}

static const char *check_image_file(const char *image, const struct stat *st, unsigned layer)
{
    if (st->st_blocks * 512 < st->st_size)
        return "it lies on a sparse image, which can run out of space below it";
    if (!is_on_safe_file_system(image))
        return "it lies on an image on a file system that can run out of space below it";
    return check_device_number(major(st->st_dev), minor(st->st_dev), layer + 1);
}

// DIR: of a loop device.  Its image may be hidden from this process (ProtectHome=), deleted, or another file by now.
static const char *check_image(const char *dir, unsigned layer)
{
    static const char *const unseen_image = "it lies on an image that cannot be looked at from here";
    char image[PATH_MAX], sectors[32];
    struct stat st;

    if (!read_attribute(dir, "loop/backing_file", image, sizeof image) || stat(image, &st) < 0)
        return unseen_image;
    if (S_ISBLK(st.st_mode))
        return check_device_number(major(st.st_rdev), minor(st.st_rdev), layer + 1);
    if (!S_ISREG(st.st_mode) || !read_attribute(dir, "size", sectors, sizeof sectors) ||
        (uint64_t)st.st_size / 512 < strtoull(sectors, NULL, 10))
        return unseen_image;
    return check_image_file(image, &st, layer);
}

static bool ends_with_one_of(const char *text, const char *const *ends)
{
    for (; *ends; ends++) {
        const char *at = strstr(text, *ends);

        if (at && strspn(at + strlen(*ends), "0123456789") == strlen(at + strlen(*ends)))
            return true;
    }
    return false;
}

// Whether the mapped device takes its blocks from a pool, by its own name and those of the devices below it.
// LVM names the hidden parts of a volume by their purpose: see lvmsystemid(7), lib/metadata/lv_manip.c of LVM2.
static const char *check_mapped(const char *dir)
{
    static const char *const fixed[] = {"CRYPT-", "LVM-", "mpath-", "part", "DMRAID-", NULL};
    static const char *const pools[] = {"-tpool", "-cow", "-real", "-vpool", NULL};
    char uuid[256] = "";

    read_attribute(dir, "dm/uuid", uuid, sizeof uuid);
    if (ends_with_one_of(uuid, pools))
        return "it lies on a thin volume or snapshot, whose pool can run out of space";
    for (size_t i = 0; fixed[i]; i++)
        if (strncmp(uuid, fixed[i], strlen(fixed[i])) == 0)
            return NULL;
    return "it lies on a mapped device of an unknown kind, which may be a thin volume";
}

// A volume of LVM lies on disks, or on hidden volumes that are named by their purpose.  On any other volume, it is
// thin.
static bool is_plain_part(const char *dir)
{
    static const char *const parts[] = {"_rimage_", "_rmeta_", "_mimage_", "_mlog", "_corig",
                                        "_cdata",   "_cmeta",  "_cvol",    NULL};
    char uuid[256] = "", name[256] = "";

    if (!read_attribute(dir, "dm/uuid", uuid, sizeof uuid) || strncmp(uuid, "LVM-", 4) != 0)
        return true;
    read_attribute(dir, "dm/name", name, sizeof name);
    return ends_with_one_of(name, parts);
}

static const char *check_below(const char *dir, bool is_lvm, unsigned layer)
{
    char path[PATH_MAX + 300];
    const char *why = NULL;
    struct dirent *entry;
    DIR *slaves;

    snprintf(path, sizeof path, "%s/slaves", dir);
    slaves = opendir(path);
    if (!slaves)
        return errno == ENOENT ? NULL : unseen;
    while (!why && (errno = 0, entry = readdir(slaves))) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/slaves/%s", dir, entry->d_name) >= (int)sizeof path)
            continue;
        why = check_device(path, layer + 1);
        if (!why && is_lvm && !is_plain_part(path))
            why = "it lies on a thin volume or snapshot, whose pool can run out of space";
    }
    if (!why && errno)
        why = unseen;
    closedir(slaves);
    return why;
}

// By the kernel's name: blocks that come over a network, or out of memory.
static const char *check_name(const char *resolved)
{
    static const char *const prefixes[] = {"zram", "nbd", "rbd", "ublkb", "vdo", NULL};
    const char *name = strrchr(resolved, '/');

    for (size_t i = 0; name && prefixes[i]; i++)
        if (strncmp(name + 1, prefixes[i], strlen(prefixes[i])) == 0)
            return "the block device below it may have no blocks of its own (zram, nbd, rbd, ublk, vdo)";
    return NULL;
}

static const char *check_device(const char *dir, unsigned layer)
{
    char resolved[PATH_MAX], path[PATH_MAX + 64], text[256];
    bool is_lvm = false, unknown;
    const char *why;

    if (layer > MOST_LAYERS || !realpath(dir, resolved))
        return unseen;
    if (read_attribute_or(resolved, "partition", text, sizeof text, &unknown))
        *strrchr(resolved, '/') = '\0'; // the disk
    why = unknown ? unseen : check_name(resolved);
    snprintf(path, sizeof path, "%s/loop", resolved);
    if (!why && access(path, F_OK) == 0)
        return check_image(resolved, layer);
    if (!why && read_attribute_or(resolved, "dm/uuid", text, sizeof text, &unknown)) {
        why = check_mapped(resolved);
        is_lvm = strncmp(text, "LVM-", 4) == 0;
    }
    if (unknown)
        return unseen;
    return why ? why : check_below(resolved, is_lvm, layer);
}

const char *surroundings_why_device_soft(const char *sys_dir)
{
    return check_device(sys_dir, 0);
}

// btrfs has no device number of its own, and may lie on several devices.  Storing to blocks that a file has needs room
// in a quota of btrfs, where there are quotas: at its limit, the store ends in SIGBUS.
static const char *check_btrfs(int dirfd)
{
    struct btrfs_ioctl_fs_info_args info = {0};
    char dir[128], path[PATH_MAX];
    const uint8_t *u = info.fsid;
    const char *why = NULL;
    struct dirent *entry;
    DIR *devices;
    int n;

    if (ioctl(dirfd, BTRFS_IOC_FS_INFO, &info) < 0)
        return unseen;
    n = snprintf(dir, sizeof dir,
                 "/sys/fs/btrfs/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x/qgroups", u[0],
                 u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    if (access(dir, F_OK) == 0)
        return "btrfs with quotas: overwriting needs room in them";
    snprintf(dir + n - strlen("qgroups"), strlen("devices") + 1, "devices");
    devices = opendir(dir);
    if (!devices)
        return unseen;
    while (!why && (errno = 0, entry = readdir(devices)))
        if (entry->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) < (int)sizeof path)
            why = check_device(path, 0);
    if (!why && errno)
        why = unseen;
    closedir(devices);
    return why;
}

const char *surroundings_why_soft(int dirfd, const struct surroundings *s)
{
    struct statfs fs;

    if (fstatfs(dirfd, &fs) == 0 && (unsigned)fs.f_type == BTRFS_SUPER_MAGIC)
        return check_btrfs(dirfd);
    return check_device_number(s->major, s->minor, 0);
}
