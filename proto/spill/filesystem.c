// Kinds of file systems, by the magic number that statfs(2) tells.
#include "proto/spill/filesystem.h"

#include <linux/magic.h>
#include <stddef.h>

#define XFS_MAGIC 0x58465342
#define ZFS_MAGIC 0x2fc12fc1
#define OVERLAY_MAGIC 0x794c7630
#define FUSE_MAGIC 0x65735546

const char *filesystem_classify(const struct statfs *fs, const char **ret_name)
{
    static const struct {
        unsigned magic;
        const char *name, *reason;
    } known[] = {
        {EXT4_SUPER_MAGIC, "ext4", ""},
        {XFS_MAGIC, "xfs", ""},
        {TMPFS_MAGIC, "tmpfs", "it is memory and no disk"},
        {BTRFS_SUPER_MAGIC, "btrfs", ""},
        {F2FS_SUPER_MAGIC, "f2fs", "log-structured: overwriting needs new blocks"},
        {NFS_SUPER_MAGIC, "nfs", "a network file system reserves nothing here"},
        {ZFS_MAGIC, "zfs", "copy on write: overwriting needs new blocks"},
        {OVERLAY_MAGIC, "overlay", "an overlay may lie on anything"},
        {FUSE_MAGIC, "fuse", "a FUSE file system may do anything"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((unsigned)fs->f_type == known[i].magic) {
            *ret_name = known[i].name;
            return known[i].reason;
        }
    *ret_name = "unknown";
    return "an unknown kind of file system";
}
