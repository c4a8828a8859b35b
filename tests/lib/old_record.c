// Records as earlier daemons wrote them: see old_record.h.
#include "tests/lib/old_record.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>

static size_t put(uint8_t *bytes, size_t at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[at + i] = (uint8_t)(value >> (8 * i));
    return at + n;
}

int old_record_write(int fd, const struct record *r)
{
    uint8_t bytes[RECORD_MAX] = {'D', 'A', 'r', '1', 1, r->name_length};
    size_t n = put(bytes, 6, r->mode, 2);

    n = put(bytes, n, r->owner_uid, 4);
    n = put(bytes, n, r->owner_gid, 4);
    memcpy(bytes + n, r->handle.bytes, sizeof r->handle.bytes);
    n = put(bytes, n + sizeof r->handle.bytes, r->created, 8);
    n = put(bytes, n, r->used, 8);
    n = put(bytes, n, r->element_size, 4);
    n = put(bytes, n, r->flags, 4);
    memset(bytes + n, 0xb0, 16); // the id of a boot
    memcpy(bytes + n + 16, r->name, r->name_length);
    n += 16 + r->name_length;
    n = put(bytes, n, crc32_z(0, bytes, n), 4);
    return fsetxattr(fd, RECORD_XATTR, bytes, n, 0) < 0 ? -errno : 0;
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
