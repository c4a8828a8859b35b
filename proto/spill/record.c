// The format of the record, with all integers little-endian (offset, length, field):
//
//    0  4  magic "DAr1"         16 16  handle
//    4  1  version, 3 to 5      32  4  created, seconds since the epoch
//    5  1  name length          36  4  flags
//    6  2  mode                 40  8  granted, bytes
//    8  4  owner uid            48  8  file_id
//   12  4  owner gid            56 12  used, bytes (8), and element size (4), if the region was committed
//                               .. 12  if it expires: expires, in seconds (4), and unused since, since the epoch (8)
//                               ..  n  name
//                               ..  4  CRC-32 (IEEE 802.3, reflected) of all before
//
// Version 5 is written of halves of a move, version 4 of other regions that have an expiry, and version 3 of all
// others, so that an older daemon leaves only those alone that it does not understand.  Older versions are read and not
// written.  In version 2 created had 8 bytes, and used and element size stood behind it in every record; version 1 had
// the id of the machine's boot in place of granted and file_id.
//
// The handle is also the name of the file in a daemon's spill directory.  It stands in the record too, so that a copied
// file is told from the original.
//
// The record of an anonymous region has 60 bytes: that is as much as ext4 keeps in an inode of 256 bytes.  A longer
// one is given a block of its own, which costs 4 KiB of disk for each region and more time for each write.
#include "proto/spill/record.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

enum {
    COMMITTED_AT = 56,
    COMMITTED_SIZE = 12,
    EXPIRY_SIZE = 12,
    PLAIN = 3, // versions
    WITH_EXPIRY = 4,
    HALF = 5,
    OLD_NAME_AT = 72, // in versions 1 and 2
    CRC_SIZE = 4,
};

static const uint32_t half_flags = RECORD_INCOMING | RECORD_MOVED;

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

static uint8_t version_of(uint32_t flags)
{
    if (flags & half_flags)
        return HALF;
    return flags & RECORD_EXPIRES ? WITH_EXPIRY : PLAIN;
}

void record_copy(struct record *to, const struct record *from)
{
    memcpy(to, from, offsetof(struct record, name) + from->name_length + 1);
}

size_t record_encode(const struct record *r, uint8_t ret[static RECORD_MAX])
{
    size_t n = COMMITTED_AT;

    memcpy(ret, magic, sizeof magic);
    put(ret + 4, version_of(r->flags), 1);
    put(ret + 5, r->name_length, 1);
    put(ret + 6, r->mode, 2);
    put(ret + 8, r->owner_uid, 4);
    put(ret + 12, r->owner_gid, 4);
    memcpy(ret + 16, r->handle.bytes, sizeof r->handle.bytes);
    put(ret + 32, r->created, 4); // enough until the year 2106
    put(ret + 36, r->flags, 4);
    put(ret + 40, r->granted, 8);
    put(ret + 48, r->file_id, 8);
    if (r->flags & RECORD_COMMITTED) {
        put(ret + n, r->used, 8);
        put(ret + n + 8, r->element_size, 4);
        n += COMMITTED_SIZE;
    }
    if (r->flags & RECORD_EXPIRES) {
        put(ret + n, r->expires, 4);
        put(ret + n + 4, r->unused_since, 8);
        n += EXPIRY_SIZE;
    }
    memcpy(ret + n, r->name, r->name_length);
    n += r->name_length;
    put(ret + n, crc32_z(0, ret, n), CRC_SIZE);
    return n + CRC_SIZE;
}

// Where the expiry is, if there is one.
static size_t expiry_at(const uint8_t *bytes)
{
    return get(bytes + 36, 4) & RECORD_COMMITTED ? COMMITTED_AT + COMMITTED_SIZE : COMMITTED_AT;
}

static bool has_expiry(const uint8_t *bytes)
{
    return bytes[4] == WITH_EXPIRY || (bytes[4] == HALF && get(bytes + 36, 4) & RECORD_EXPIRES);
}

// Where the name begins, behind the fields of fixed length.
static size_t name_at(const uint8_t *bytes)
{
    if (bytes[4] < 3)
        return OLD_NAME_AT;
    return expiry_at(bytes) + (has_expiry(bytes) ? EXPIRY_SIZE : 0);
}

static void decode_old(const uint8_t *bytes, struct record *r)
{
    r->created = get(bytes + 32, 8);
    r->flags = (uint32_t)get(bytes + 52, 4);
    if (r->flags & RECORD_COMMITTED) {
        r->used = get(bytes + 40, 8);
        r->element_size = (uint32_t)get(bytes + 48, 4);
    }
    r->granted = bytes[4] == 1 ? RECORD_UNKNOWN_SIZE : get(bytes + 56, 8);
    r->file_id = bytes[4] == 1 ? 0 : get(bytes + 64, 8);
}

static void decode_present(const uint8_t *bytes, struct record *r)
{
    r->created = get(bytes + 32, 4);
    r->flags = (uint32_t)get(bytes + 36, 4);
    if (has_expiry(bytes)) {
        r->expires = get(bytes + expiry_at(bytes), 4);
        r->unused_since = get(bytes + expiry_at(bytes) + 4, 8);
    }
    r->granted = get(bytes + 40, 8);
    r->file_id = get(bytes + 48, 8);
    if (r->flags & RECORD_COMMITTED) {
        r->used = get(bytes + COMMITTED_AT, 8);
        r->element_size = (uint32_t)get(bytes + COMMITTED_AT + 8, 4);
    }
}

int record_decode(const uint8_t *bytes, size_t n, struct record *ret)
{
    struct record r = {0};
    size_t at;

    if (n < COMMITTED_AT + CRC_SIZE || memcmp(bytes, magic, sizeof magic) != 0)
        return -EBADMSG;
    // A newer version may have another layout behind the version byte, so nothing behind it is read.
    if (bytes[4] > RECORD_VERSION)
        return -EPROTONOSUPPORT;
    r.name_length = bytes[5];
    at = name_at(bytes);
    if (bytes[4] == 0 || n != at + (size_t)r.name_length + CRC_SIZE)
        return -EBADMSG;
    if (get(bytes + n - CRC_SIZE, CRC_SIZE) != crc32_z(0, bytes, n - CRC_SIZE))
        return -EBADMSG;
    if (r.name_length > 0 && name_check((const char *)bytes + at, r.name_length) < 0)
        return -EBADMSG;
    r.mode = (uint32_t)get(bytes + 6, 2);
    r.owner_uid = (uint32_t)get(bytes + 8, 4);
    r.owner_gid = (uint32_t)get(bytes + 12, 4);
    memcpy(r.handle.bytes, bytes + 16, sizeof r.handle.bytes);
    memcpy(r.name, bytes + at, r.name_length);
    if (bytes[4] < 3)
        decode_old(bytes, &r);
    else
        decode_present(bytes, &r);
    if (r.granted > INT64_MAX && r.granted != RECORD_UNKNOWN_SIZE)
        return -EBADMSG;
    if (version_of(r.flags) != (bytes[4] < PLAIN ? PLAIN : bytes[4]))
        return -EBADMSG;
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
