// simple: a vector whose elements lie on disk.
//
// The vector is an ordinary array: v.data[i] is an element, v.len their number.  It grows in place, and its elements
// lie in a file that the daemon makes, or the library itself where no daemon runs.  The file is removed when the
// program ends, however it ends.
#include <diskalloc/vec.h>

#include <stdint.h>
#include <stdio.h>

// Defines struct numbers, a vector of uint32_t, and the functions numbers_init, numbers_push and so on.
DISKALLOC_VEC_DEFINE(numbers, uint32_t)

// Every function returns a negative errno when it fails; diskalloc_last_error() is one sentence about it.
static int fail(void)
{
    fprintf(stderr, "simple: %s\n", diskalloc_last_error());
    return 1;
}

int main(void)
{
    struct diskalloc *da;
    struct numbers v;

    // No address: $DISKALLOC_ADDRESS, else the daemon of this machine.
    if (diskalloc_open(NULL, NULL, &da) < 0 || numbers_init(&v, da) < 0)
        return fail();
    for (uint32_t i = 0; i < 100; i++)
        if (numbers_push(&v, i) < 0)
            return fail();
    printf("%zu numbers, the last is %u\n", v.len, v.data[v.len - 1]);
    numbers_deinit(&v);
    diskalloc_close(da);
    return 0;
}
