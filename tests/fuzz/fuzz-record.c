// Records as they may be found on disk: a record that is accepted is written as the same bytes again.
#include "proto/spill/record.h"
#include "tests/fuzz/fuzz.h"

static uint32_t crc32(const uint8_t *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void check(const uint8_t *bytes, size_t n)
{
    uint8_t again[RECORD_MAX];
    struct record r, same;
    size_t length;

    if (record_decode(bytes, n, &r) < 0)
        return;
    FUZZ_ASSERT(r.name_length <= NAME_MAX_LENGTH && r.name[r.name_length] == 0);
    FUZZ_ASSERT(r.name_length == 0 || name_check(r.name, r.name_length) == 0);
    length = record_encode(&r, again);
    FUZZ_ASSERT(length <= RECORD_MAX && record_decode(again, length, &same) == 0);
    FUZZ_ASSERT(handle_equal(&r.handle, &same.handle) && r.owner_uid == same.owner_uid && r.mode == same.mode);
    FUZZ_ASSERT(r.used == same.used && r.flags == same.flags && strcmp(r.name, same.name) == 0);
    FUZZ_ASSERT(r.owner_gid == same.owner_gid && r.granted == same.granted && r.file_id == same.file_id);
    FUZZ_ASSERT(r.element_size == same.element_size && r.name_length == same.name_length);
    FUZZ_ASSERT(r.expires == same.expires && r.unused_since == same.unused_since);
    // Versions 1 and 2 had room for later times.
    FUZZ_ASSERT((uint32_t)r.created == same.created && (r.created == same.created || bytes[4] < 3));
    FUZZ_ASSERT(bytes[4] < 3 || (length == n && memcmp(again, bytes, n) == 0));
}

// As it is, and with the checksum that it should have: no fuzzer guesses that.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *mended;
    uint32_t crc;

    check(data, n);
    if (n < sizeof crc)
        return 0;
    mended = malloc(n);
    FUZZ_ASSERT(mended);
    memcpy(mended, data, n);
    crc = crc32(data, n - sizeof crc);
    for (size_t i = 0; i < sizeof crc; i++)
        mended[n - sizeof crc + i] = (uint8_t)(crc >> (8 * i));
    check(mended, n);
    free(mended);
    return 0;
}
