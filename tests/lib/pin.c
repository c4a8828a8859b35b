// See pin.h.  The page is registered with userfaultfd, and nobody reads the faults.
#include "tests/lib/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/util/page.h"
#include "tests/lib/actor.h"

static int open_uffd(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool pin_is_possible(void)
{
    int fd = geteuid() == 0 ? open_uffd() : -1;

    if (fd >= 0)
        close(fd);
    else
        print_message("[ NOTE     ] no userfaultfd for page faults of the kernel: %s\n",
                      geteuid() == 0 ? strerror(errno) : "not root");
    return fd >= 0;
}

void pin_init(struct pin *p)
{
    const size_t size = PIN_MOST * page_size();
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

    *p = (struct pin){.uffd = open_uffd()};
    NEED(p->uffd >= 0);
    p->pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p->pages != MAP_FAILED);
    // Else the first page to come would be a huge one for all.
    NEED(madvise(p->pages, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
    range.range.start = (uint64_t)(uintptr_t)p->pages;
    range.range.len = size;
    NEED(ioctl(p->uffd, UFFDIO_REGISTER, &range) == 0);
}

// A call that fails at once holds nothing.
static void *call(void *data)
{
    const struct pin_call *c = data;
    ssize_t n = c->reads ? pread(c->fd, c->page, page_size(), 0) : pwrite(c->fd, c->page, page_size(), 0);

    NEED(n >= 0);
    return NULL;
}

void pin_hold(struct pin *p, int fd, bool reads)
{
    struct pin_call *c = &p->calls[p->n];
    struct uffd_msg fault;

    NEED(fd >= 0 && p->n < PIN_MOST);
    *c = (struct pin_call){.page = (char *)p->pages + p->n * page_size(), .fd = fd, .reads = reads};
    if (reads)
        NEED(fcntl(fd, F_SETFL, O_DIRECT) == 0);
    NEED(pthread_create(&c->thread, NULL, call, c) == 0);
    p->n++;
    NEED(read(p->uffd, &fault, sizeof fault) == sizeof fault);
}

void pin_release(struct pin *p)
{
    close(p->uffd);
    for (unsigned i = 0; i < p->n; i++)
        pthread_join(p->calls[i].thread, NULL);
    munmap(p->pages, PIN_MOST * page_size());
    p->n = 0;
}
