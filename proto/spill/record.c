// The format of the record, with all integers little-endian (offset, length, field):
//
//    0  4  magic "DAr1"         32  8  created, seconds since the epoch
//    4  1  version, 2           40  8  used, bytes
//    5  1  name length          48  4  element size
//    6  2  mode                 52  4  flags
//    8  4  owner uid            56  8  granted, bytes
//   12  4  owner gid            64  8  inode
//   16 16  handle               72  n  name
//                               ..  4  CRC-32 (IEEE 802.3, reflected) of all before
//
// Version 1 had the id of the machine's boot in place of granted and inode.
//
// The handle is also the name of the file in a daemon's spill directory.  It stands in the record too, so that a copied
// file is told from the original.
// The record of an anonymous region has 76 bytes.  From 80 bytes on, ext4 would give the attribute a block of its own.
#include "proto/spill/record.h"

#include <errno.h>
#include <string.h>

enum {
    NAME_AT = 72,
    CRC_SIZE = 4,
};

static const uint8_t magic[4] = {'D', 'A', 'r', '1'};

static void put(uint8_t *at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

// CRC-32 (IEEE 802.3, reflected), four bits at a time: a record is written with each grow.
static uint32_t crc32(const uint8_t *bytes, size_t n)
{
    static const uint32_t of_nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc = crc >> 4 ^ of_nibble[(crc ^ bytes[i]) & 15];
        crc = crc >> 4 ^ of_nibble[(crc ^ bytes[i] >> 4) & 15];
    }
    return ~crc;
}

size_t record_encode(const struct record *r, uint8_t ret[static RECORD_MAX])
{
    size_t n = NAME_AT + r->name_length;

    memcpy(ret, magic, sizeof magic);
    put(ret + 4, RECORD_VERSION, 1);
    put(ret + 5, r->name_length, 1);
    put(ret + 6, r->mode, 2);
    put(ret + 8, r->owner_uid, 4);
    put(ret + 12, r->owner_gid, 4);
    memcpy(ret + 16, r->handle.bytes, sizeof r->handle.bytes);
    put(ret + 32, r->created, 8);
    put(ret + 40, r->used, 8);
    put(ret + 48, r->element_size, 4);
    put(ret + 52, r->flags, 4);
    put(ret + 56, r->granted, 8);
    put(ret + 64, r->inode, 8);
    memcpy(ret + NAME_AT, r->name, r->name_length);
    put(ret + n, crc32(ret, n), CRC_SIZE);
    return n + CRC_SIZE;
}

int record_decode(const uint8_t *bytes, size_t n, struct record *ret)
{
    struct record r = {0};

    if (n < NAME_AT + CRC_SIZE || memcmp(bytes, magic, sizeof magic) != 0)
        return -EBADMSG;
    // A newer version may have another layout behind the version byte, so nothing behind it is read.
    if (bytes[4] > RECORD_VERSION)
        return -EPROTONOSUPPORT;
    r.name_length = bytes[5];
    if (bytes[4] == 0 || n != NAME_AT + (size_t)r.name_length + CRC_SIZE)
        return -EBADMSG;
    if (get(bytes + n - CRC_SIZE, CRC_SIZE) != crc32(bytes, n - CRC_SIZE))
        return -EBADMSG;
    if (r.name_length > 0 && name_check((const char *)bytes + NAME_AT, r.name_length) < 0)
        return -EBADMSG;
    r.mode = (uint32_t)get(bytes + 6, 2);
    r.owner_uid = (uint32_t)get(bytes + 8, 4);
    r.owner_gid = (uint32_t)get(bytes + 12, 4);
    memcpy(r.handle.bytes, bytes + 16, sizeof r.handle.bytes);
    r.created = get(bytes + 32, 8);
    r.used = get(bytes + 40, 8);
    r.element_size = (uint32_t)get(bytes + 48, 4);
    r.flags = (uint32_t)get(bytes + 52, 4);
    r.granted = bytes[4] == 1 ? RECORD_UNKNOWN_SIZE : get(bytes + 56, 8);
    r.inode = bytes[4] == 1 ? 0 : get(bytes + 64, 8);
    if (r.granted > INT64_MAX && r.granted != RECORD_UNKNOWN_SIZE)
        return -EBADMSG;
    memcpy(r.name, bytes + NAME_AT, r.name_length);
    *ret = r;
    return 0;
}

int record_load(const struct file_ops *ops, int fd, struct record *ret)
{
    uint8_t bytes[RECORD_MAX];
    ssize_t n = ops->get_xattr(fd, RECORD_XATTR, bytes, sizeof bytes);

    if (n == -ERANGE)
        return -EBADMSG;
    if (n < 0)
        return (int)n;
    return record_decode(bytes, (size_t)n, ret);
}

int record_store(const struct file_ops *ops, int fd, const struct record *r)
{
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(r, bytes);

    return ops->set_xattr(fd, RECORD_XATTR, bytes, n);
}
