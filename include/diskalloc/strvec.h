/* A vector of strings on disk: their bytes lie in one region, where each string is in another.
 *
 *     struct diskalloc_strvec v;
 *     size_t n;
 *
 *     diskalloc_strvec_init(&v, da);
 *     diskalloc_strvec_push(&v, "word", 4);
 *     const char *s = diskalloc_strvec_get(&v, 0, &n);
 *     diskalloc_strvec_deinit(&v);
 *
 * A string is any bytes, NUL included, 0 to as many as the disk has room for; there is no NUL behind it.  It costs 8
 * bytes besides its own (16, from 65,535 bytes on), and nothing of it is on the heap.
 *
 * When to use this, and when to keep the strings inline.  Where nearly all strings are short and have a known most (a
 * word of up to 31 letters, a country code), put them into the elements of a typed vector, as in client/examples/
 * wordsort: struct word { char text[31]; uint8_t n; }.  One access finds such a string, any sort and search works, and
 * names and counts lie beside it; but every element pays for the longest.  Use this vector where the lengths vary or
 * have no bound, where the longest would cost more than 8 bytes beside the average, or where strings are only appended
 * and read.  A C++ std::string in a vector on disk is neither: its bytes are on the heap.
 *
 * One thread at a time; several may call get and len.  The struct may be moved by memcpy; zeroed, it is valid for
 * deinit, and every other call is -EINVAL.  Its fields are the library's.
 *
 * All functions: V is the caller's; on failure V is as before, and what was granted for the call is given back.  They
 * fail with the errno of diskalloc_region_resize, and with -EINVAL: V was not initialised, an index is not below len,
 * or BYTES is NULL and N is not 0; -EOVERFLOW; -EROFS: V was opened for reading.  Only what is new is said below.
 * BYTES may lie in V.  A push that fits, get, pop and len leave the last error as it is when they succeed.
 *
 * Damaged offsets (whoever may write to a region can write anything) are never followed out of the bytes: get is NULL
 * for such a string, and sort and compact are -EINVAL.
 *
 * A string that was set or truncated keeps its bytes until diskalloc_strvec_compact. */
#ifndef DISKALLOC_STRVEC_H
#define DISKALLOC_STRVEC_H

#include <diskalloc/vec.h>

#define DISKALLOC_HAVE_STRVEC 1

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

struct diskalloc_strvec {
    struct diskalloc_vec_state bytes, offsets;
    uint64_t first;                    /* the element of offsets that is string 0's */
    uint64_t kept_bytes, kept_strings; /* of the last commit: what a crash must not lose */
    uint64_t changes;                  /* of a reader: the count of sorts and compactions, when it was opened */
};

/* An empty vector in two anonymous regions.
 * Any thread.
 * 0, or as diskalloc_region_create, and V is zeroed. */
int diskalloc_strvec_init(struct diskalloc_strvec *v, struct diskalloc *da);

/* Opens a vector that persists.
 * NAME: of the region of the offsets; the bytes lie in the region NAME.bytes, so NAME has 122 characters at most.
 * FLAGS as of diskalloc_region_open: CREATE, EXCLUSIVE, READ_ONLY, SPARSE; new regions have the mode 0600.  To remove
 * the vector, unlink NAME, then NAME.bytes.
 * Two writers would store to the same bytes, so a vector that is open for writing keeps others from that
 * (SOLE_WRITER); a reader sees it as it was committed last before it was opened.
 * The commit of NAME decides: after a crash at any moment, between the commits of the two regions too, there are the
 * strings of the last commit, each with its old value or one that was set later; what truncate took away since, and
 * push did not replace, is back.  After a power failure that holds for the last DURABLE commit, except that strings set
 * since then, or put in the place of truncated ones, may be damaged.
 * Any thread.
 * 0, and V is zeroed otherwise; as diskalloc_region_open, and: -EPROTOTYPE: NAME is no vector of strings; -EINVAL: it
 * is damaged, or NAME.bytes is gone or another one; -EEXIST: NAME is to be made, and NAME.bytes is there, with
 * something in it; -ENOENT: of a reader, also: the vector is being made. */
int diskalloc_strvec_open(struct diskalloc_strvec *v, struct diskalloc *da, const char *name, uint32_t flags);

/* Closes the regions; of a vector that persists, commits before, unless it is READ_ONLY.  If that fails, the last
 * commit counts.
 * V may be NULL, or zeroed.
 * Leaves the last error alone. */
void diskalloc_strvec_deinit(struct diskalloc_strvec *v);

/* Adds a string of N bytes.  0. */
int diskalloc_strvec_push(struct diskalloc_strvec *v, const char *bytes, size_t n);

/* Where string I is, without copying it.
 * RET_N gets its length, and may be NULL.  The bytes belong to V, and are valid until the next change of V: a push or
 * an append does not move them, everything else may.
 * The bytes, also of an empty string; or NULL: no such string (-EINVAL in diskalloc_last_error_info), a damaged one
 * (-EINVAL), or another process has sorted or compacted what this one reads: open it again (-ESTALE). */
const char *diskalloc_strvec_get(const struct diskalloc_strvec *v, size_t i, size_t *ret_n);

/* Replaces string I.  0. */
int diskalloc_strvec_set(struct diskalloc_strvec *v, size_t i, const char *bytes, size_t n);

/* Keeps the first LEN strings; no effect if there are fewer.  0. */
int diskalloc_strvec_truncate(struct diskalloc_strvec *v, size_t len);

/* The number of strings. */
size_t diskalloc_strvec_len(const struct diskalloc_strvec *v);

/* Adds N strings: the first is the bytes from BYTES to BYTES + ENDS[0], string I those from ENDS[I - 1] to ENDS[I].
 * 0; -EINVAL: ENDS goes down. */
int diskalloc_strvec_append(struct diskalloc_strvec *v, const char *bytes, const uint64_t *ends, size_t n);

/* Takes the last string away.  0; -ENODATA: there is none. */
int diskalloc_strvec_pop(struct diskalloc_strvec *v);

/* Sorts by bytes, as memcmp, a string before those that it begins.  Moves offsets, not bytes.
 * Needs 24 bytes a string of another region, and 8 more of its own, for as long as it works; the vector may be larger
 * than memory: only strings whose first 12 bytes are equal are looked at in their places.  As name_sort otherwise.  A
 * crash leaves the old order or the new one; a power failure before the next DURABLE commit can damage strings.  A
 * vector that persists is committed before it is sorted.
 * 0; -EINVAL: a string is damaged; as diskalloc_strvec_commit. */
int diskalloc_strvec_sort(struct diskalloc_strvec *v);

/* Gives back the bytes that no string has, and the capacity.  If there are such bytes between strings, they are copied
 * together in the order of the strings, which makes reading a sorted vector sequential; that needs room for a copy of
 * all of them meanwhile, unless the vector is anonymous and its strings lie in order.  A vector that persists is
 * committed; a crash on the way loses nothing (nor does a power failure: the regions are synced).
 * 0; -EBUSY: others have it open; -EINVAL: a string is damaged; as diskalloc_strvec_commit. */
int diskalloc_strvec_compact(struct diskalloc_strvec *v);

/* Records the present strings for a later open.  FLAGS: DISKALLOC_DURABLE.  0, or as diskalloc_region_commit. */
int diskalloc_strvec_commit(struct diskalloc_strvec *v, uint32_t flags);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
