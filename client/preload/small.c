// See small.h.
#include "client/preload/small.h"

#include <diskalloc/heap.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "client/preload/kernel.h"
#include "client/preload/limit.h"
#include "client/preload/log.h"
#include "client/preload/opened.h"
#include "client/preload/own.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/page.h"

enum { MAKE_AGAIN_MS = 5000 };
#define COPY_AT_ONCE ((uint64_t)4 << 20)

static _Atomic(struct diskalloc_heap *) heap;
static struct diskalloc_region *region;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // while the heap is made
static uint64_t make_not_before;

// For the child, during a fork.
static struct diskalloc_region *copy;
static int copy_fd = -1, own_fd = -1;

static int make(void)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h;
    struct diskalloc *da;
    int e = opened_get(&da);

    if (e == 0)
        e = diskalloc_region_create(da, NULL, &r);
    if (e < 0)
        return e;
    e = diskalloc_heap_open(r, &h);
    if (e < 0) {
        diskalloc_region_close(r);
        return e;
    }
    if (!own_add(diskalloc_region_data(r), diskalloc_region_reserve(r), OWN_HEAP, h)) {
        diskalloc_heap_close(h);
        return -ENOMEM;
    }
    region = r;
    limit_set_used(LIMIT_HEAP, diskalloc_region_size(r));
    atomic_store(&heap, h);
    return 0;
}

struct diskalloc_heap *small_heap(void)
{
    struct diskalloc_heap *h = atomic_load_explicit(&heap, memory_order_acquire);

    if (__builtin_expect(h != NULL, 1))
        return h;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&heap) && clock_now() >= make_not_before && make() < 0)
        make_not_before = clock_after(MAKE_AGAIN_MS);
    h = atomic_load(&heap);
    pthread_mutex_unlock(&lock);
    return h;
}

const char *small_why(void)
{
    return diskalloc_last_error();
}

// The heap grows by this call of the library, which is linked so that it comes here first (CMakeLists.txt).
int __real_region_resize(struct diskalloc_region *r, uint64_t size);
int __wrap_region_resize(struct diskalloc_region *r, uint64_t size);

int __wrap_region_resize(struct diskalloc_region *r, uint64_t size)
{
    uint64_t now = r == region ? diskalloc_region_size(r) : 0;
    int e;

    if (r != region)
        return __real_region_resize(r, size);
    if (size > now && !limit_allows(size - now))
        return -EDQUOT;
    e = __real_region_resize(r, size);
    limit_set_used(LIMIT_HEAP, diskalloc_region_size(r));
    return e;
}

// Copies as much as is accessible: what the heap has given back is not, and is left as zeros.
static void copy_bytes(const char *from, char *to, uint64_t length)
{
    for (uint64_t done = 0; done < length;) {
        uint64_t piece = u64_min(COPY_AT_ONCE, length - done);
        struct iovec into = {to + done, piece}, of = {(void *)(from + done), piece};
        ssize_t n = process_vm_readv(getpid(), &into, 1, &of, 1, 0);

        done += n > 0 ? (uint64_t)n : page_size();
    }
}

static int make_copy(void)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da;
    int e = opened_get(&da);

    o.size = diskalloc_region_size(region);
    if (e == 0)
        e = diskalloc_region_create(da, &o, &copy);
    if (e < 0)
        return e;
    copy_bytes(diskalloc_region_data(region), diskalloc_region_data(copy), o.size);
    copy_fd = diskalloc_region_fd(copy);
    return copy_fd < 0 ? copy_fd : 0;
}

void small_prepare_fork(void)
{
    static bool said;

    pthread_mutex_lock(&lock);
    copy = NULL;
    copy_fd = own_fd = -1;
    if (!atomic_load(&heap))
        return;
    if (make_copy() == 0)
        return;
    if (!said)
        log_line("no copy of the small blocks for a child: %s; the child may see what this process changes later",
                 diskalloc_last_error());
    said = true;
    own_fd = diskalloc_region_fd(region);
}

void small_after_fork(void)
{
    diskalloc_region_close(copy);
    copy = NULL;
    pthread_mutex_unlock(&lock);
}

void small_forked(void)
{
    void *at = atomic_load(&heap) ? diskalloc_region_data(region) : NULL;
    int fd = copy_fd >= 0 ? copy_fd : own_fd, flags = copy_fd >= 0 ? MAP_SHARED : MAP_PRIVATE;

    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    atomic_store(&heap, NULL);
    if (!at)
        return;
    if (fd < 0 ||
        kernel_mmap(at, diskalloc_region_size(region), PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
        log_and_abort("this child can't have its parent's small blocks");
    region = NULL;
}
