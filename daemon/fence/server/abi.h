// The kernel's FUSE interface, with those parts that the header of Linux 6.1 (Debian 12) lacks.
#pragma once
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/ioctl.h>

// All came with Linux 6.9.
#define FUSE_ABI_INIT_PASSTHROUGH (1U << 5) // FUSE_PASSTHROUGH, bit 37 of the flags: here in flags2
#define FUSE_ABI_OPEN_PASSTHROUGH (1U << 7) // FOPEN_PASSTHROUGH: `padding` of struct fuse_open_out is the backing's id

struct fuse_abi_backing {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

#define FUSE_ABI_BACKING_OPEN _IOW(229, 1, struct fuse_abi_backing)
#define FUSE_ABI_BACKING_CLOSE _IOW(229, 2, uint32_t)

enum {
    FUSE_ABI_MINOR = 40, // of version 7; the kernel takes less if it is older
    FUSE_ABI_ROOT = 1,   // the node of a mount's directory
};
