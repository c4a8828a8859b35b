// Packets as the daemon unpacks them, in its bounded memory: a message that is packed again unpacks to the same
// message.
#include "daemon/request/message.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_SIZE = 256 * 1024 };

static struct arena first, second;

static void check_again(const Diskalloc__V1__Request *m)
{
    size_t n = diskalloc__v1__request__get_packed_size(m);
    uint8_t *bytes = malloc(n ? n : 1), *again = malloc(n ? n : 1);
    Diskalloc__V1__Request *same;

    FUZZ_ASSERT(bytes && again);
    FUZZ_ASSERT(diskalloc__v1__request__pack(m, bytes) == n);
    // Half of the memory went to the first one; the second may need more of it.
    if (message_decode(&second, bytes, n, &same) == 0) {
        FUZZ_ASSERT(same->id == m->id && same->body_case == m->body_case);
        FUZZ_ASSERT(diskalloc__v1__request__get_packed_size(same) == n);
        diskalloc__v1__request__pack(same, again);
        FUZZ_ASSERT(memcmp(bytes, again, n) == 0);
    }
    free(bytes);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Diskalloc__V1__Request *m;

    if (!first.buffer)
        FUZZ_ASSERT(arena_init(&first, ARENA_SIZE) == 0 && arena_init(&second, ARENA_SIZE) == 0);
    if (message_decode(&first, data, n, &m) == 0) {
        FUZZ_ASSERT(first.used <= first.size);
        check_again(m);
    }
    return 0;
}
