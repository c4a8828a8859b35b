// A vector whose elements live on disk.  It goes when the program ends.
#include <diskalloc/vec.h>

#include <stdint.h>
#include <stdio.h>

DISKALLOC_VEC_DEFINE(numbers, uint32_t)

static int fail(void)
{
    fprintf(stderr, "simple: %s\n", diskalloc_last_error());
    return 1;
}

int main(void)
{
    struct diskalloc *da;
    struct numbers v;

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
