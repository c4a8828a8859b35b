// on_file [FILE [SHORT]]: a vector in a file of your own, which keeps its elements from one run to the next.
//
// Each run pushes 1 GiB of records of 64 bytes behind those that are in the file already.  No daemon is needed.  With
// any second argument it pushes 1 MiB.
#include <diskalloc/vec.h>

#include <fcntl.h>
#include <stdio.h>

struct dummy {
    char text[64];
};
DISKALLOC_VEC_DEFINE(dummies, struct dummy)

static int fail(void)
{
    fprintf(stderr, "on_file: %s\n", diskalloc_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "dummy.file";
    const size_t n = (size_t)1 << (argc > 2 ? 14 : 24); // records
    struct diskalloc_region *region;
    struct dummies v;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        perror(path);
        return 1;
    }
    // The region has its own descriptor of the file; the vector takes the region over.
    if (diskalloc_region_from_fd(fd, NULL, &region) < 0 || dummies_init_region(&v, region) < 0)
        return fail();
    printf("%zu records were there\n", v.len);
    for (size_t i = 0; i < n; i++)
        if (dummies_push(&v, (struct dummy){"ABCDEFGH12345678"}) < 0)
            return fail();
    // Cuts the file to the records.  Without this it would end with the room that the vector reserved for more of them.
    if (dummies_commit(&v, 0) < 0)
        return fail();
    printf("now %zu: look at %s\n", v.len, path);
    dummies_deinit(&v);
    return 0;
}
