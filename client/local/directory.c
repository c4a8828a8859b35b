// The directory of the local backend.  Its descriptor is kept as long as the client is open.  A program that has closed the descriptor
// gets it opened again by its path, if the path still leads to the same directory.
#include <errno.h>
#include <fcntl.h>

#include "client/local/local_internal.h"
#include "client/util/error.h"

static int open_again(struct local *l)
{
    int fd = open(l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = fd < 0 ? -errno : descriptor_replace(&l->dir, fd);

    if (r == 0)
        return 0;
    return error_why(-EBADF, "the program has closed the library's descriptor of %s, %s", l->path,
                     r == -ESTALE ? "which is another directory now" : "which can't be opened again");
}

int local_hold_directory(struct local *l)
{
    int r = 0;

    pthread_mutex_lock(&l->lock);
    if (!descriptor_is_ours(&l->dir))
        r = open_again(l);
    pthread_mutex_unlock(&l->lock);
    return r;
}
