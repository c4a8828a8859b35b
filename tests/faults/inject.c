// Preloaded into a program: the Nth call of the product that can fail does fail.
//
// Calls are counted that return into the product: the executable diskallocd, libdiskalloc-client.so, and the libraries
// that work for them (libevent, protobuf-c).  Calls of the C library, libsystemd or the test are not counted: the
// start of a process can't survive everything, and is not ours.
//
// The driver says by shared memory which call fails, and how (control.h).
#include "tests/faults/inject.h"

#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MODULES_MAX = 8 };

struct module {
    uintptr_t from, to;
};

static struct faults_control *control;
static struct module modules[MODULES_MAX];
static unsigned n_modules;
static __thread bool inside; // the injector's own calls are not counted

static bool is_of_product(const char *path, bool is_executable)
{
    static const char *const libraries[] = {"libdiskalloc-client.so", "libevent_core-2.1.so", "libprotobuf-c.so"};
    const char *name = strrchr(path, '/');

    if (is_executable)
        return getenv("DISKALLOC_FAULTS_EXECUTABLE") != NULL;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (name && strncmp(name + 1, libraries[i], strlen(libraries[i])) == 0)
            return true;
    return false;
}

static int note_module(struct dl_phdr_info *info, size_t size, void *data)
{
    bool *is_first = data;
    struct module m = {.from = UINTPTR_MAX};

    (void)size;
    if (is_of_product(info->dlpi_name, *is_first) && n_modules < MODULES_MAX) {
        for (unsigned i = 0; i < info->dlpi_phnum; i++) {
            uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, to = from + info->dlpi_phdr[i].p_memsz;

            if (info->dlpi_phdr[i].p_type != PT_LOAD)
                continue;
            m.from = from < m.from ? from : m.from;
            m.to = to > m.to ? to : m.to;
        }
        modules[n_modules++] = m;
    }
    *is_first = false;
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(FAULTS_CONTROL_ENV);
    void *frames[2], *at = MAP_FAILED;
    bool is_first = true;
    int fd;

    inside = true;
    backtrace(frames, 2); // loads a library at its first call
    fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0)
        at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    dl_iterate_phdr(note_module, &is_first);
    inside = false;
    if (at != MAP_FAILED)
        control = at;
}

static bool is_counted(const void *caller)
{
    for (unsigned i = 0; i < n_modules; i++)
        if ((uintptr_t)caller >= modules[i].from && (uintptr_t)caller < modules[i].to)
            return true;
    return false;
}

// For the report: which module a frame is in, and where.
static void note_frames(void)
{
    void *stack[FAULTS_FRAMES_MAX + 3];
    int n = backtrace(stack, FAULTS_FRAMES_MAX + 3);

    for (int i = 2; i < n && control->n_frames < FAULTS_FRAMES_MAX; i++) {
        struct faults_frame *f = &control->frames[control->n_frames];
        Dl_info info;

        if (!dladdr((char *)stack[i] - 1, &info) || !info.dli_fname)
            continue;
        const char *name = strrchr(info.dli_fname, '/');
        strncpy(f->module, name ? name + 1 : info.dli_fname, sizeof f->module - 1);
        f->address = (uint64_t)((uintptr_t)stack[i] - 1 - (uintptr_t)info.dli_fbase);
        control->n_frames++;
    }
}

static int fail(enum faults_call call, unsigned variant)
{
    int none = -1, error = faults_calls[call].errors[variant];

    if (atomic_compare_exchange_strong(&control->call, &none, (int)call)) {
        control->error = error;
        note_frames();
    }
    control->injected[call][variant]++;
    control->n_injected++;
    return error;
}

static int consider(enum faults_call call)
{
    uint64_t n = ++control->n_calls;
    unsigned variant = control->variant % faults_n_errors((int)call);
    int error = faults_calls[call].errors[variant];

    if (n <= FAULTS_TRACE_MAX)
        control->trace[n - 1] = (uint8_t)call;
    if (control->fail_at == 0 || n < control->fail_at)
        return 0;
    if (n == control->fail_at)
        return fail(call, variant);
    if (!control->persistent || control->call != (int)call || control->error != error)
        return 0;
    // A socket whose queue has room again says so once: it is not full twice in a row.
    if (error == EAGAIN || (error == EINTR && control->n_injected >= FAULTS_INTERRUPTIONS))
        return 0;
    return fail(call, variant);
}

int inject(enum faults_call call, const void *caller)
{
    int kept = errno, error = 0;

    if (!control || inside || !control->armed || !is_counted(caller))
        return 0;
    inside = true;
    error = consider(call);
    inside = false;
    errno = kept;
    return error;
}
