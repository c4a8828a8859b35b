// Vectors of strings: what the files of this folder share.
//
// The region of the offsets begins with a header; behind it each string has an entry of 8 bytes: where its bytes begin
// (48 bits) and how many they are (16 bits).  A string of 65,535 bytes or more has its length in front of its bytes.
//
// The program can be killed at any moment, also between the commits of the two regions, and the strings of the last
// commit must be there.  So:
//   - The record of the offsets is the only commit point: it says how many strings there are.  The bytes are committed
//     before it, so their record may be ahead.
//   - Bytes of a vector that persists are only appended.  An entry is changed by one store, after its bytes are there
//     and the header's `high` covers them: an entry below the last commit that was changed after it is found whole.
//   - What changes all entries (sort, compact) writes new ones behind the old ones, and then the header's `first`
//     changes from the old to the new, by one store.  Then they are copied to the front in the same way.
// A power failure can lose any of these stores, so a compaction syncs before each of them.
#pragma once
#include <diskalloc/strvec.h>
#include <stdbool.h>

#include "client/region/region.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)

enum {
    ENTRY_SIZE = sizeof(uint64_t),
    LENGTH_BITS = 16,
    LENGTH_LONG = 0xffff, // the length is in front of the bytes
    LENGTH_SIZE = sizeof(uint64_t),
};

// At the beginning of the offsets.
struct strvec_header {
    char magic[8];            // STRVEC_MAGIC, written last
    uint64_t version;         // 1
    uint64_t first;           // the entry of string 0, counted from the beginning of the region
    uint64_t high;            // no entry refers to bytes from here on
    uint64_t changes;         // how often entries or bytes were moved
    uint8_t bytes_handle[16]; // of the region of the bytes; zero of an anonymous vector
    uint64_t spare;
};
#define STRVEC_MAGIC "diskstr\n"
enum { HEADER_ENTRIES = sizeof(struct strvec_header) / ENTRY_SIZE };
// In the records of offsets, in place of an element size: the region is no vector of numbers.
#define STRVEC_KIND ((uint32_t)0x80000000 | ENTRY_SIZE)

static inline struct strvec_header *strvec_header(const struct diskalloc_strvec *v)
{
    return v->offsets.data;
}

static inline uint64_t *strvec_entries(const struct diskalloc_strvec *v)
{
    return (uint64_t *)v->offsets.data + v->first;
}

static inline uint64_t strvec_count(const struct diskalloc_strvec *v)
{
    return v->offsets.len < HEADER_ENTRIES ? 0 : v->offsets.len - HEADER_ENTRIES;
}

static inline bool strvec_persists(const struct diskalloc_strvec *v)
{
    return v->offsets.flags & DISKALLOC_VEC_ADOPTED;
}

// A string: N bytes at AT, and the bytes from START on that belong to it.
struct strvec_place {
    uint64_t start, at, n;
};

// False: ENTRY is damaged.
static inline bool strvec_find(const struct diskalloc_strvec *v, uint64_t entry, struct strvec_place *ret)
{
    uint64_t len = v->bytes.len;

    ret->start = ret->at = entry >> LENGTH_BITS;
    ret->n = entry & LENGTH_LONG;
    if (ret->at > len)
        return false;
    if (ret->n == LENGTH_LONG) {
        if (ret->at < LENGTH_SIZE)
            return false;
        ret->start -= LENGTH_SIZE;
        memcpy(&ret->n, (const char *)v->bytes.data + ret->start, LENGTH_SIZE);
    }
    return ret->n <= len - ret->at;
}

// The bytes that a string of N bytes takes, less N.
static inline uint64_t strvec_extra(uint64_t n)
{
    return n < LENGTH_LONG ? 0 : LENGTH_SIZE;
}

// An empty string lies at the very beginning, wherever it was written: the bytes before AT may go with another string.
static inline uint64_t strvec_entry(uint64_t at, uint64_t n)
{
    return n == 0 ? 0 : at << LENGTH_BITS | (n < LENGTH_LONG ? n : LENGTH_LONG);
}

// Copies a string of N bytes to TO, which is an offset in the bytes, and returns its entry.
static inline uint64_t strvec_put(const struct diskalloc_strvec *v, uint64_t to, const char *text, uint64_t n)
{
    char *out = (char *)v->bytes.data;

    if (n >= LENGTH_LONG) {
        memcpy(out + to, &n, LENGTH_SIZE);
        to += LENGTH_SIZE;
    }
    memmove(out + to, text, n);
    return strvec_entry(to, n);
}

// strvec.c.  The next two note why they fail; the caller has called error_begin.

// 0; -EINVAL: V was not initialised, or something else wrote to it; -EROFS.
int strvec_check_writable(const struct diskalloc_strvec *v);
// Room for BYTES more bytes and ENTRIES more entries.  On failure nothing has changed.
int strvec_make_room(struct diskalloc_strvec *v, uint64_t bytes, uint64_t entries, const char *call);
// Gives back what strvec_make_room has added, when the regions had these sizes.
void strvec_give_back(struct diskalloc_strvec *v, uint64_t bytes_size, uint64_t offsets_size);
// The header and the state of a vector without strings.  There is room for the header.
void strvec_begin(struct diskalloc_strvec *v, const struct handle *bytes_handle);

// open.c.  As the public function, without its error_begin and error_end.
int strvec_commit(struct diskalloc_strvec *v, uint32_t flags, const char *call);

// shadow.c: the entries behind the entries.  There is room for them, the last commit has as many strings as there are,
// and strvec_shadow_publish is called once they are all written.
static inline uint64_t *strvec_shadow(const struct diskalloc_strvec *v)
{
    return (uint64_t *)v->offsets.data + HEADER_ENTRIES + strvec_count(v);
}
// Makes the first COUNT entries from ENTRY on the vector's.
void strvec_publish(struct diskalloc_strvec *v, uint64_t entry);
// Copies entries that lie behind to the front.
void strvec_settle(struct diskalloc_strvec *v);
