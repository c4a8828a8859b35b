// The directory of the local backend.  Its descriptor is kept as long as the client is open.  A program that has
// closed the descriptor gets it opened again by its path, if the path still leads to the same directory.
#include <errno.h>
#include <fcntl.h>

#include "client/local/local_internal.h"
#include "client/local/lock.h"
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
    int r;

    pthread_mutex_lock(&l->lock);
    r = descriptor_check(&l->dir);
    if (r < 0)
        error_why(r, "looking at the descriptor of %s", l->path);
    else
        r = r == 1 ? 0 : open_again(l);
    if (r == 0)
        local_keep_from_aging(l->dir.fd);
    pthread_mutex_unlock(&l->lock);
    return r;
}

// The errno that the kernel gives for a directory without a name depends on the file system.
int local_refused(const struct local *l, int r)
{
    struct stat st;

    if (file_ops_system.stat(l->dir.fd, &st) == 0 && st.st_nlink == 0)
        return error_why(-ENOENT, "the directory %s was removed", l->path);
    if (r == -EOPNOTSUPP)
        return error_why(
            r, "making a spill file: the file system cannot make files without a name (O_TMPFILE), as network "
               "file systems cannot: use a directory on a disk of this machine");
    return error_why(r, "making a spill file");
}
