// A page comes into the page table of a process when the process touches it, or has it made (mapping_populate).  Each
// process may read that of its own pages in /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst), unless it
// has changed its user and not become dumpable again.
//
// mincore(2) does not tell: it answers for the page cache, which the kernel fills up to 8 MiB ahead of an access
// (read_ahead_kb), and to a process that may not open the file for writing it says that all pages are there, as to
// the clients of a daemon that runs as another user.
//
// A look costs 1.5 µs, opening and closing 5 µs (Linux 6.18).  The descriptor is kept for some looks only: the program
// may close what it does not know.
#include "client/memory/touched.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/page.h"

enum { PRESENT = 63 }; // a bit of an entry

bool touched_open(struct touched *t)
{
    t->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return t->fd >= 0;
}

void touched_close(struct touched *t)
{
    cleanup_close(&t->fd);
    t->fd = -1;
}

bool touched_look(const struct touched *t, const void *address)
{
    off_t at = (off_t)((uintptr_t)address / page_size() * sizeof(uint64_t));
    uint64_t entry;

    return pread(t->fd, &entry, sizeof entry, at) == sizeof entry && (entry >> PRESENT & 1);
}
