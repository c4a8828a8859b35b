/* A typed vector on disk: elements inline, base address constant, one thread at a time.
 *
 *     DISKALLOC_VEC_DEFINE(u64vec, uint64_t)
 *
 *     struct u64vec v;
 *     u64vec_init(&v, da);
 *     u64vec_push(&v, 42);
 *     u64vec_deinit(&v);
 *
 * DISKALLOC_VEC_DEFINE(name, type) makes `struct name` and the functions below, static inline; no semicolon behind it.  TYPE
 * is copied by assignment and must mean the same in another process if the region is to be opened there: no pointers.
 *
 * struct name { type *data; size_t len, cap; struct diskalloc_region *region; ... };
 *   It may be moved by memcpy; no thread of the library reads it; zeroed, it is valid for deinit.  The caller may fill
 *   data[len] ... data[cap - 1] and raise len.
 *
 * All functions: V is the caller's; lengths and indices count elements; on failure V is as before.  They fail with the errno
 * of diskalloc_region_resize, and with -EOVERFLOW when a size in bytes does not fit, -EROFS when the region is read-only and
 * the vector would change, -EINVAL when V was not initialised.  Only what is new is said below.
 *
 * int name_init(struct name *v, struct diskalloc *da)
 *   An empty vector in an anonymous region of its own.  0, or as diskalloc_region_create, and V is zeroed.
 * int name_init_region(struct name *v, struct diskalloc_region *r)
 *   A vector of what is in R: len is what was committed, or else all of R.  V owns R from then on; deinit closes it.
 *   0; -EINVAL: that length does not divide by sizeof(type); -EPROTOTYPE: committed with another element size; on failure V is
 *   zeroed and the caller keeps R.
 * void name_deinit(struct name *v)
 *   Closes the region.  Of a region that was adopted, only capacity that this vector added is given back (which asks the daemon).
 * int name_commit(struct name *v, uint32_t flags)
 *   Records the length for a later open.  FLAGS: DISKALLOC_DURABLE.  A region made from a file descriptor is cut to it.
 * int name_push(struct name *v, type value)
 * int name_pop(struct name *v, type *ret)                          RET may be NULL; -ENODATA when empty
 * int name_reserve(struct name *v, size_t additional)              room for ADDITIONAL elements behind len
 * int name_reserve_wait(struct name *v, size_t additional, int timeout_ms)
 *   The same; where a limit or the disk refuses, waits for space as diskalloc_region_resize_wait.  -ETIMEDOUT.
 * int name_resize(struct name *v, size_t len)                      new elements are zero bytes
 * int name_append_uninit(struct name *v, size_t n, type **ret)     n more, *RET points to them, content unspecified
 * int name_extend(struct name *v, const type *src, size_t n)       SRC may be elements of V
 * int name_truncate(struct name *v, size_t len)                    keeps capacity; no effect if LEN is not less
 * int name_shrink_to_fit(struct name *v)                           -EBUSY while others have the region attached
 * int name_insert(struct name *v, size_t i, type value)            -EINVAL: i > len
 * int name_remove(struct name *v, size_t i, type *ret)             keeps order; RET may be NULL; -EINVAL: i >= len
 * int name_swap_remove(struct name *v, size_t i, type *ret)        the last one takes its place; likewise */
#ifndef DISKALLOC_VEC_H
#define DISKALLOC_VEC_H

#include <diskalloc/client.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DISKALLOC_HAVE_VEC 1
#define DISKALLOC_HAVE_VEC_RESERVE_WAIT 1 /* name_reserve_wait */

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Internal, for the macro only: from here to its definition.  Vectors are passed by value: a vector whose address never
 * leaves the inlined functions stays in registers. */
enum { DISKALLOC_VEC_ADOPTED = 1, DISKALLOC_VEC_READ_ONLY = 2 };

struct diskalloc_vec_state {
    void *data;
    size_t len, cap;
    struct diskalloc_region *region;
    uint64_t base_size; /* bytes that were there before this vector; not its to give back */
    uint32_t flags;
    int result; /* 0 or a negative errno */
};

struct diskalloc_vec_cap {
    size_t cap;
    int result;
};

struct diskalloc_vec_state diskalloc_vec_init(struct diskalloc *da, const char *call);
struct diskalloc_vec_state diskalloc_vec_init_region(struct diskalloc_region *r, size_t element_size, const char *call);
void diskalloc_vec_deinit(struct diskalloc_region *r, uint64_t base_size, uint32_t flags, uint64_t used);
struct diskalloc_vec_cap diskalloc_vec_commit(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, uint32_t flags, const char *call);
struct diskalloc_vec_cap diskalloc_vec_shrink(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, const char *call);
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
struct diskalloc_vec_cap
diskalloc_vec_grow(struct diskalloc_region *r, size_t len, size_t cap, size_t additional, size_t element_size,
                   const char *call);
/* The same, and the bytes behind cap that ADDITIONAL elements have are zero. */
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
struct diskalloc_vec_cap
diskalloc_vec_grow_zeroed(struct diskalloc_region *r, size_t len, size_t cap, size_t additional, size_t element_size,
                          const char *call);
struct diskalloc_vec_cap diskalloc_vec_grow_wait(struct diskalloc_region *r, size_t len, size_t cap, size_t additional,
                                                 size_t element_size, int timeout_ms, const char *call);
/* Remembers why a vector's function failed; returns RESULT. */
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
int diskalloc_vec_fail(const char *call, int result);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#define DISKALLOC_VEC_FN static inline __attribute__((__unused__))

/* A read-only vector's cap is its len, so that everything that needs room finds this out in the library. */
#define DISKALLOC_VEC_CHECK_WRITABLE(v, call)                                 \
    do {                                                                      \
        if (__builtin_expect(((v)->flags & DISKALLOC_VEC_READ_ONLY) != 0, 0)) \
            return diskalloc_vec_fail(call, -EROFS);                          \
    } while (0)

#define DISKALLOC_VEC_DEFINE(name, type)                                                                           \
    struct name {                                                                                                  \
        type *data;                                                                                                \
        size_t len, cap;                                                                                           \
        struct diskalloc_region *region;                                                                           \
        uint64_t base_size;                                                                                        \
        uint32_t flags;                                                                                            \
    };                                                                                                             \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_take_state(struct name *v, struct diskalloc_vec_state state)                       \
    {                                                                                                              \
        v->data = (type *)state.data;                                                                              \
        v->len = state.len;                                                                                        \
        v->cap = state.cap;                                                                                        \
        v->region = state.region;                                                                                  \
        v->base_size = state.base_size;                                                                            \
        v->flags = state.flags;                                                                                    \
        return state.result;                                                                                       \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_take_cap(struct name *v, struct diskalloc_vec_cap grown)                           \
    {                                                                                                              \
        v->cap = grown.cap;                                                                                        \
        return grown.result;                                                                                       \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_init(struct name *v, struct diskalloc *da)                                         \
    {                                                                                                              \
        return name##_take_state(v, diskalloc_vec_init(da, #name "_init"));                                        \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_init_region(struct name *v, struct diskalloc_region *r)                            \
    {                                                                                                              \
        return name##_take_state(v, diskalloc_vec_init_region(r, sizeof(type), #name "_init_region"));             \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN void name##_deinit(struct name *v)                                                            \
    {                                                                                                              \
        diskalloc_vec_deinit(v->region, v->base_size, v->flags, (uint64_t)v->len * sizeof(type));                  \
        v->data = NULL;                                                                                            \
        v->len = v->cap = 0;                                                                                       \
        v->region = NULL;                                                                                          \
        v->base_size = 0;                                                                                          \
        v->flags = 0;                                                                                              \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_commit(struct name *v, uint32_t commit_flags)                                      \
    {                                                                                                              \
        uint64_t base_size = v->base_size;                                                                         \
        int result = name##_take_cap(v, diskalloc_vec_commit(v->region, v->len, v->cap, sizeof(type), &base_size,  \
                                                             commit_flags, #name "_commit"));                      \
                                                                                                                   \
        v->base_size = base_size;                                                                                  \
        return result;                                                                                             \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_shrink_to_fit(struct name *v)                                                      \
    {                                                                                                              \
        uint64_t base_size = v->base_size;                                                                         \
        int result = name##_take_cap(                                                                              \
            v, diskalloc_vec_shrink(v->region, v->len, v->cap, sizeof(type), &base_size, #name "_shrink_to_fit")); \
                                                                                                                   \
        v->base_size = base_size;                                                                                  \
        return result;                                                                                             \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_grow(struct name *v, size_t additional, const char *call)                          \
    {                                                                                                              \
        return name##_take_cap(v, diskalloc_vec_grow(v->region, v->len, v->cap, additional, sizeof(type), call));  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_make_room(struct name *v, size_t additional, const char *call)                     \
    {                                                                                                              \
        if (additional <= v->cap - v->len)                                                                         \
            return 0;                                                                                              \
        return name##_grow(v, additional, call);                                                                   \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_push(struct name *v, type value)                                                   \
    {                                                                                                              \
        if (__builtin_expect(v->len == v->cap, 0)) {                                                               \
            int result = name##_grow(v, 1, #name "_push");                                                         \
                                                                                                                   \
            if (result < 0)                                                                                        \
                return result;                                                                                     \
        }                                                                                                          \
        v->data[v->len] = value;                                                                                   \
        v->len++;                                                                                                  \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_pop(struct name *v, type *ret)                                                     \
    {                                                                                                              \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_pop");                                                             \
        if (v->len == 0)                                                                                           \
            return diskalloc_vec_fail(#name "_pop", -ENODATA);                                                     \
        v->len--;                                                                                                  \
        if (ret)                                                                                                   \
            *ret = v->data[v->len];                                                                                \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_reserve(struct name *v, size_t additional)                                         \
    {                                                                                                              \
        return name##_make_room(v, additional, #name "_reserve");                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_reserve_wait(struct name *v, size_t additional, int timeout_ms)                    \
    {                                                                                                              \
        if (additional <= v->cap - v->len)                                                                         \
            return 0;                                                                                              \
        return name##_take_cap(v, diskalloc_vec_grow_wait(v->region, v->len, v->cap, additional, sizeof(type),     \
                                                          timeout_ms, #name "_reserve_wait"));                     \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_append_uninit(struct name *v, size_t n, type **ret)                                \
    {                                                                                                              \
        int result = name##_make_room(v, n, #name "_append_uninit");                                               \
                                                                                                                   \
        if (result < 0)                                                                                            \
            return result;                                                                                         \
        if (ret)                                                                                                   \
            *ret = v->data ? v->data + v->len : v->data;                                                           \
        v->len += n;                                                                                               \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_extend(struct name *v, const type *src, size_t n)                                  \
    {                                                                                                              \
        int result = name##_make_room(v, n, #name "_extend");                                                      \
                                                                                                                   \
        if (result < 0)                                                                                            \
            return result;                                                                                         \
        if (n > 0)                                                                                                 \
            memmove((void *)(v->data + v->len), (const void *)src, n * sizeof(type));                              \
        v->len += n;                                                                                               \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_truncate(struct name *v, size_t len)                                               \
    {                                                                                                              \
        if (len >= v->len)                                                                                         \
            return 0;                                                                                              \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_truncate");                                                        \
        v->len = len;                                                                                              \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_resize(struct name *v, size_t len)                                                 \
    {                                                                                                              \
        size_t old_len = v->len, old_cap = v->cap;                                                                 \
                                                                                                                   \
        if (len <= old_len)                                                                                        \
            return name##_truncate(v, len);                                                                        \
        if (len > old_cap) {                                                                                       \
            int result = name##_take_cap(v, diskalloc_vec_grow_zeroed(v->region, old_len, old_cap, len - old_len,  \
                                                                      sizeof(type), #name "_resize"));             \
                                                                                                                   \
            if (result < 0)                                                                                        \
                return result;                                                                                     \
        }                                                                                                          \
        if (old_cap > old_len)                                                                                     \
            memset((void *)(v->data + old_len), 0, ((len < old_cap ? len : old_cap) - old_len) * sizeof(type));    \
        v->len = len;                                                                                              \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_insert(struct name *v, size_t i, type value)                                       \
    {                                                                                                              \
        int result;                                                                                                \
                                                                                                                   \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_insert");                                                          \
        if (i > v->len)                                                                                            \
            return diskalloc_vec_fail(#name "_insert", -EINVAL);                                                   \
        result = name##_make_room(v, 1, #name "_insert");                                                          \
        if (result < 0)                                                                                            \
            return result;                                                                                         \
        memmove((void *)(v->data + i + 1), (const void *)(v->data + i), (v->len - i) * sizeof(type));              \
        v->data[i] = value;                                                                                        \
        v->len++;                                                                                                  \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_remove(struct name *v, size_t i, type *ret)                                        \
    {                                                                                                              \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_remove");                                                          \
        if (i >= v->len)                                                                                           \
            return diskalloc_vec_fail(#name "_remove", -EINVAL);                                                   \
        if (ret)                                                                                                   \
            *ret = v->data[i];                                                                                     \
        v->len--;                                                                                                  \
        memmove((void *)(v->data + i), (const void *)(v->data + i + 1), (v->len - i) * sizeof(type));              \
        return 0;                                                                                                  \
    }                                                                                                              \
                                                                                                                   \
    DISKALLOC_VEC_FN int name##_swap_remove(struct name *v, size_t i, type *ret)                                   \
    {                                                                                                              \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_swap_remove");                                                     \
        if (i >= v->len)                                                                                           \
            return diskalloc_vec_fail(#name "_swap_remove", -EINVAL);                                              \
        if (ret)                                                                                                   \
            *ret = v->data[i];                                                                                     \
        v->len--;                                                                                                  \
        v->data[i] = v->data[v->len];                                                                              \
        return 0;                                                                                                  \
    }

#endif
