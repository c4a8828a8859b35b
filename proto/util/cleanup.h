// Local variables that own something and release it when their scope ends: `_cleanup_close_ int fd = -1;`,
// `_cleanup_free_ char *p = NULL;`.  steal_fd(&fd) and steal(&p) give the ownership away.
#pragma once
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

static inline int steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

#define steal(pointer)                               \
    ({                                               \
        __typeof__(*(pointer)) stolen_ = *(pointer); \
        *(pointer) = NULL;                           \
        stolen_;                                     \
    })
