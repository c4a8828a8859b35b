// Records as earlier daemons wrote them: see old_record.h.
#include "tests/lib/old_record.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

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

int old_record_write(int fd, const struct record *r)
{
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(r, bytes) - 4;
    uint32_t crc;

    bytes[4] = 1;
    memset(bytes + 56, 0xb0, 16);
    crc = crc32(bytes, n);
    for (int i = 0; i < 4; i++)
        bytes[n + (size_t)i] = (uint8_t)(crc >> (8 * i));
    return fsetxattr(fd, RECORD_XATTR, bytes, n + 4, 0) < 0 ? -errno : 0;
}

static int write_at(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), r;
    struct record record;

    if (fd < 0)
        return -errno;
    r = record_load(&file_ops_system, fd, &record);
    if (r == 0)
        r = old_record_write(fd, &record);
    close(fd);
    return r;
}

int old_record_write_all(const char *spill)
{
    char *paths[] = {(char *)spill, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL, NULL);
    FTSENT *e;
    int n = 0, r = 0;

    while (tree && r == 0 && (e = fts_read(tree)))
        if (e->fts_info == FTS_F && e->fts_name[0] != '.') {
            r = write_at(e->fts_accpath);
            n++;
        }
    fts_close(tree);
    return r < 0 ? r : n;
}
