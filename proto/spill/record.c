// The format of the record, with all integers little-endian (offset, length, field):
//
//    0  4  magic "DAr1"         32  8  created, seconds since the epoch
//    4  1  version, 1           40  8  used, bytes
//    5  1  name length          48  4  element size
//    6  2  mode                 52  4  flags
//    8  4  owner uid            56 16  boot id
//   12  4  owner gid            72  n  name
//   16 16  handle               ..  4  CRC-32 (IEEE 802.3, reflected) of all before
//
// The handle is also the name of the file in a daemon's spill directory.  It stands in the record too, so that a copied
// file is told from the original.
// The record of an anonymous region has 76 bytes.  From 80 bytes on, ext4 would give the attribute a block of its own.
#include "proto/spill/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

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

static uint32_t crc32(const uint8_t *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
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
    memcpy(ret + 56, r->boot.bytes, sizeof r->boot.bytes);
    put(ret + 52, r->flags, 4);
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
    if (bytes[4] != RECORD_VERSION || n != NAME_AT + (size_t)r.name_length + CRC_SIZE)
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
    memcpy(r.boot.bytes, bytes + 56, sizeof r.boot.bytes);
    r.flags = (uint32_t)get(bytes + 52, 4);
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

struct boot_id boot_id_read(void)
{
    struct boot_id id = {0};
    struct handle h;
    char text[40] = "", hex[HANDLE_TEXT_LENGTH + 1];
    size_t n = 0;
    _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return id;
    for (const char *c = text; *c && n < HANDLE_TEXT_LENGTH; c++)
        if (*c != '-' && *c != '\n')
            hex[n++] = *c;
    hex[n] = '\0';
    if (handle_parse(hex, &h) == 0)
        memcpy(id.bytes, h.bytes, sizeof id.bytes);
    return id;
}
