/* A typed vector on disk: elements inline, base address constant, one thread at a time.
 *
 *     DISKALLOC_VEC_DEFINE(u64vec, uint64_t)
 *
 *     struct u64vec v;
 *     u64vec_init(&v, da);
 *     u64vec_push(&v, 42);
 *     u64vec_deinit(&v);
 *
 * DISKALLOC_VEC_DEFINE(name, type) makes `struct name` and the functions below, static inline; no semicolon behind it.
 * DISKALLOC_VEC_DEFINE_ORDER(name, type, less) adds sorting and searching: see <diskalloc/order.h>.
 * TYPE is copied by assignment and must mean the same in another process if the region is to be opened there: no
 * pointers.
 *
 * struct name { type *data; size_t len, cap; struct diskalloc_region *region; ... };
 *   It may be moved by memcpy; no thread of the library reads it; zeroed, it is valid for deinit.  The caller may fill
 *   data[len] ... data[cap - 1] and raise len.  Elements [0, front) were consumed: see name_discard_front.
 *
 * TYPE is checked at compile time: it has at least one byte; and in C++ its elements may be copied as bytes, which is
 * so for trivially copyable types, and for std::pair and std::array of such.  A type of which only its author knows
 * that (no pointers
 * into itself, nothing to destroy) is declared so: template <> struct diskalloc::is_bytes<type> : std::true_type {};
 *
 * All functions: V is the caller's; lengths and indices count elements; on failure V is as before.  They fail with the
 * errno of diskalloc_region_resize, and with -EOVERFLOW when a size in bytes does not fit, -EROFS when the region is
 * read-only and the vector would change, -EINVAL when V was not initialised or its len is above its cap, -ESTALE when
 * its region is too small for its elements (another process cut it).  Only what is new is said below.
 *
 * Vectors that persist (in a named region, or in a file of the caller's): a later open sees the length of the last
 * commit.
 * deinit commits; a program that is killed loses what came after its last commit, and nothing else.  The library does
 * not keep two processes from writing to one vector: the later commit replaces the earlier one, unless it would drop
 * elements that the other has committed meanwhile (-ESTALE; deinit leaves their commit as it is).  A program that must
 * be the only one to write opens the region with DISKALLOC_REGION_SOLE_WRITER; programs that only read open it with
 * READ_ONLY, and call name_refresh to follow the writer.
 *
 * int name_init(struct name *v, struct diskalloc *da)
 *   An empty vector in an anonymous region of its own.  0, or as diskalloc_region_create, and V is zeroed.
 *   Up to 16 KiB of elements the vector has no file, is not charged, listed or counted, and is in memory.  It moves
 *   into a file, at the same address, when it needs more room (the limits can refuse that, and nothing is lost), or
 *   when the program asks for the region's handle or descriptor, commits, clones, or discards.  Until then no other
 *   thread may store to elements while a call on the vector or its region is under way; loads are fine, also in signal
 *   handlers.  A vector that must have a file from the beginning is made by name_init_with with options.  A client
 *   whose last vectors needed more makes the next ones with a file.
 *   A fork gives all small vectors their files first, unless the program has other threads: then the memory is shared
 *   with the child all the same, the handle is "" and handle, descriptor, clone and discard are refused (-EBUSY) until
 *   the child has ended or run another program.
 * int name_init_with(struct name *v, struct diskalloc *da, const struct diskalloc_region_options *o)
 *   The same with options: size is room to begin with (cap), reserve the most that the vector can grow to.  O may be
 *   NULL.
 * int name_init_region(struct name *v, struct diskalloc_region *r)
 *   A vector of what is in R: len is what was committed.  If no vector ever adopted R and nothing was committed, len is
 *   all of R.
 *   Unless R is read-only, R is marked at once as a vector of that length and element size: if the program is killed
 *   before its first commit, a later open finds these elements and not what was added since.  V owns R from then on;
 *   deinit closes it.
 *   0; -EINVAL: R's bytes do not divide by sizeof(type); -EPROTOTYPE: R has elements of another size; else as
 *   diskalloc_region_refresh and diskalloc_region_commit; on failure V is zeroed and the caller keeps R.
 * int name_open(struct name *v, struct diskalloc *da, const char *region_name,
 *               const struct diskalloc_region_options *o)
 *   diskalloc_region_open and name_init_region.  0, or as these two, and V is zeroed.
 * int name_refresh(struct name *v)
 *   Takes over what other processes resized and committed; data stays where it is.  Elements that V has not committed
 *   stay unless others have committed since.  Of a file (diskalloc_region_from_fd) the size is the length.  When others
 *   ask whether the region may be cut (DISKALLOC_EVENT_SHRINK_ASKED), it agrees, and V has fewer elements, unless V has
 *   elements of its own: truncate V before, or do not refresh.
 *   0: nothing has changed; 1: len or cap has; -ESTALE: V has elements beyond the region's new size, or elements of its
 *   own beyond the length that others committed: truncate V, and refresh again; -EPROTOTYPE: others committed another
 *   element size; else as diskalloc_region_refresh.
 * int name_advise(struct name *v, int advice)
 *   Says how this process will use the vector: DISKALLOC_ADVICE_...  NORMAL, SEQUENTIAL and RANDOM also count for what
 *   the vector grows by later, WILLNEED and COLD for what it has now.  As diskalloc_region_advise.
 * int name_prefetch(const struct name *v, const size_t *indices, size_t n)
 *   Starts reading N elements that will be used soon.  -EINVAL: an index is not below len.  As
 *   diskalloc_region_prefetch.
 * void name_deinit(struct name *v)
 *   Closes the region.  One that was adopted or opened is committed before, unless len is what was committed last; and
 *   capacity that this vector added is given back.  Both ask the daemon.  If that fails, the last commit counts; who
 *   has to know calls name_commit first.
 * int name_commit(struct name *v, uint32_t flags)
 *   Records the length for a later open.  FLAGS: DISKALLOC_DURABLE.  A region made from a file descriptor is cut to it.
 *   -ESTALE: V is shorter than what others have committed, and has not seen those elements: refresh first.
 * int name_push(struct name *v, type value)
 * int name_pop(struct name *v, type *ret)                          RET may be NULL; -ENODATA when empty
 * int name_reserve(struct name *v, size_t additional)              room for ADDITIONAL elements behind len
 * int name_reserve_wait(struct name *v, size_t additional, int timeout_ms)
 *   The same; where a limit or the disk refuses, waits for space as diskalloc_region_resize_wait.  -ETIMEDOUT.
 * int name_resize(struct name *v, size_t len)                      new elements are zero bytes
 * int name_append_uninit(struct name *v, size_t n, type **ret)     n more, *RET points to them, content unspecified
 *   Several threads may fill them.  After this call, reserve and resize, the library's thread makes memory ahead of
 *   each place that is being filled in order; after all others, ahead of the end: diskalloc-performance(7), FILLING.
 * int name_extend(struct name *v, const type *src, size_t n)       SRC may be elements of V
 * int name_truncate(struct name *v, size_t len)                    keeps capacity; no effect if LEN is not less
 * int name_shrink_to_fit(struct name *v)                           -EBUSY while others have the region attached
 * int name_insert(struct name *v, size_t i, type value)            -EINVAL: i > len
 * int name_remove(struct name *v, size_t i, type *ret)             keeps order; RET may be NULL; -EINVAL: i >= len
 * int name_swap_remove(struct name *v, size_t i, type *ret)        the last one takes its place; likewise
 * int name_discard_front(struct name *v, size_t n)
 *   Elements [0, n) are consumed: their whole blocks of 4 KiB and the charge go back.  Indices and len stay, the
 *   address of each element too; touching what went back is SIGSEGV.  N counts from the first element ever: call it
 *   with a growing N, as often as you like.  Calls that consume little, one soon after the other, are collected: less
 *   than 2 MiB of what was consumed stay charged then, and accessible, until a call comes 20 ms later, consumes 2 MiB,
 *   or consumes 64 KiB and all that is left.
 *   From then on pop is -ENODATA when only consumed elements are left; insert, remove and swap_remove are -EINVAL at
 *   consumed indices; name_sort is -EINVAL; searching, is_sorted and dedup are about what is not consumed.  A vector
 *   that is cut below N (truncate) and filled again gets blocks again as it grows: then cap may be less than before.
 *   Discarded parts of a region stay discarded: a later open finds as consumed what has no blocks.  A small vector,
 *   which has no file (see name_init), has nothing to give back: its elements stay accessible.
 *   0; -EINVAL: n > len; else as diskalloc_region_discard (-EBUSY while others have the region attached; -EOPNOTSUPP),
 *   and nothing was consumed. */
#ifndef DISKALLOC_VEC_H
#define DISKALLOC_VEC_H

#include <diskalloc/client.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
extern "C++" { /* also where a program includes this header within extern "C" */
#include <array>
#include <type_traits>
#include <utility>
}
#endif

#define DISKALLOC_HAVE_VEC 1
#define DISKALLOC_HAVE_VEC_RESERVE_WAIT 1 /* name_reserve_wait */
#define DISKALLOC_HAVE_VEC_INIT_WITH 1    /* name_init_with */
#define DISKALLOC_HAVE_VEC_OPEN 1         /* name_open */
#define DISKALLOC_HAVE_VEC_REFRESH 1      /* name_refresh */
#define DISKALLOC_HAVE_VEC_PERSIST 1      /* name_init_region marks, name_deinit commits, len > cap is refused */
#define DISKALLOC_HAVE_VEC_ADVISE 1       /* name_advise */
#define DISKALLOC_HAVE_VEC_PREFETCH 1     /* name_prefetch */
#define DISKALLOC_HAVE_DISCARD_FRONT 1    /* name_discard_front */

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
struct diskalloc_vec_state diskalloc_vec_init_with(struct diskalloc *da, const struct diskalloc_region_options *o,
                                                   size_t element_size, const char *call);
struct diskalloc_vec_state diskalloc_vec_init_region(struct diskalloc_region *r, size_t element_size, const char *call);
struct diskalloc_vec_state diskalloc_vec_open(struct diskalloc *da, const char *name,
                                              const struct diskalloc_region_options *o, size_t element_size,
                                              const char *call);
/* A vector with these fields, as it is after the refresh; result: 0, 1 or a negative errno. */
struct diskalloc_vec_state diskalloc_vec_refresh(struct diskalloc_vec_state v, size_t element_size, const char *call);
int diskalloc_vec_advise(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size, int advice,
                         const char *call);
int diskalloc_vec_prefetch(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                           const size_t *indices, size_t n, const char *call);
/* USED: the bytes of the elements; UINT64_MAX: the vector is damaged, and nothing is committed. */
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
/* Elements [0, n) are consumed.  0 or a negative errno. */
int diskalloc_vec_discard_front(struct diskalloc_region *r, size_t len, size_t cap, size_t n, size_t element_size,
                                const char *call);
/* The vector has consumed elements; returns -EINVAL. */
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
int diskalloc_vec_drained(const char *call);
/* How many elements at the beginning of R have no bytes any more. */
size_t diskalloc_vec_front(struct diskalloc_region *r, size_t len, size_t element_size);
/* Copies N bytes to the byte AT of a vector's capacity.  For many: pages are made on the library's thread meanwhile. */
void diskalloc_vec_copy(struct diskalloc_region *r, uint64_t at, const void *src, uint64_t n);
#define DISKALLOC_VEC_MANY ((size_t)16 << 20) /* bytes */
/* Remembers why a vector's function failed; returns RESULT. */
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
int diskalloc_vec_fail(const char *call, int result);
/* The same for a vector whose len is above its cap; returns -EINVAL. */
#if defined(__GNUC__)
__attribute__((__cold__, __noinline__))
#endif
int diskalloc_vec_damaged(const char *call, size_t len, size_t cap);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#ifdef __cplusplus
extern "C++" {
/* In C++ the name of a type can't be the name of a namespace too, so diskalloc::is_bytes is a member of the type, which
 * has no objects that a program could make. */
struct diskalloc {
    diskalloc() = delete;
    /* Whether a T may be copied and kept as bytes. */
    template <class T> struct is_bytes : std::is_trivially_copyable<T> {
    };
    template <class A, class B>
    struct is_bytes<std::pair<A, B>> : std::integral_constant<bool, is_bytes<A>::value && is_bytes<B>::value> {
    };
    template <class T, std::size_t N> struct is_bytes<std::array<T, N>> : is_bytes<T> {
    };
    /* Of <diskalloc/allocator.hpp>. */
    class client;
    class error;
    class memory_resource;
    template <class T> class allocator;
    template <class T> class vector;
};
}
#endif

#define DISKALLOC_VEC_FN static inline __attribute__((__unused__))

/* A read-only vector's cap is its len, so that everything that needs room finds this out in the library. */
#define DISKALLOC_VEC_CHECK(v, call)                                \
    do {                                                            \
        if (__builtin_expect((v)->len > (v)->cap, 0))               \
            return diskalloc_vec_damaged(call, (v)->len, (v)->cap); \
    } while (0)
#define DISKALLOC_VEC_CHECK_WRITABLE(v, call)                                 \
    do {                                                                      \
        DISKALLOC_VEC_CHECK(v, call);                                         \
        if (__builtin_expect(((v)->flags & DISKALLOC_VEC_READ_ONLY) != 0, 0)) \
            return diskalloc_vec_fail(call, -EROFS);                          \
    } while (0)

/* The type may have commas, as std::pair<int, int>. */
#define DISKALLOC_VEC_DEFINE(name, ...) DISKALLOC_VEC_DEFINE_TYPE(name, __typeof__(__VA_ARGS__))

#ifdef __cplusplus
#define DISKALLOC_VEC_CHECK_TYPE(name, type)                                                                         \
    static_assert(sizeof(type) > 0, #name ": a vector needs elements of at least one byte");                         \
    static_assert(::diskalloc::is_bytes<type>::value, #name                                                          \
                  ": the elements are kept as bytes on disk, so they must be trivially copyable (or be declared as " \
                  "bytes: specialise diskalloc::is_bytes)");
#else
#define DISKALLOC_VEC_CHECK_TYPE(name, type) \
    _Static_assert(sizeof(type) > 0, #name ": a vector needs elements of at least one byte");
#endif

/* Elements are bytes: no constructor or operator of C++ runs, and none may run on memory that holds no object yet.
 * swap_remove of the last element copies it onto itself. */
#ifdef __cplusplus
#define DISKALLOC_VEC_COPY(to, from, type) memmove((void *)(to), (const void *)(from), sizeof(type))
#else
#define DISKALLOC_VEC_COPY(to, from, type) (*(to) = *(from))
#endif

#define DISKALLOC_VEC_DEFINE_TYPE(name, type)                                                                          \
    DISKALLOC_VEC_CHECK_TYPE(name, type)                                                                               \
    struct name {                                                                                                      \
        type *data;                                                                                                    \
        size_t len, cap;                                                                                               \
        struct diskalloc_region *region;                                                                               \
        uint64_t base_size;                                                                                            \
        uint32_t flags;                                                                                                \
        size_t front; /* elements that were consumed */                                                                \
    };                                                                                                                 \
                                                                                                                       \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_take_state(struct name *v, struct diskalloc_vec_state state)           \
    {                                                                                                                  \
        v->data = (type *)state.data;                                                                                  \
        v->len = state.len;                                                                                            \
        v->cap = state.cap;                                                                                            \
        v->region = state.region;                                                                                      \
        v->base_size = state.base_size;                                                                                \
        v->flags = state.flags;                                                                                        \
        v->front = 0;                                                                                                  \
        return state.result;                                                                                           \
    }                                                                                                                  \
                                                                                                                       \
    /* Of a vector that may have been drained before. */                                                               \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_take_old(struct name *v, struct diskalloc_vec_state state)             \
    {                                                                                                                  \
        int result = diskalloc_vec_##name##_take_state(v, state);                                                      \
                                                                                                                       \
        if (result >= 0)                                                                                               \
            v->front = diskalloc_vec_front(v->region, v->len, sizeof(type));                                           \
        return result;                                                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_take_cap(struct name *v, struct diskalloc_vec_cap grown)               \
    {                                                                                                                  \
        v->cap = grown.cap;                                                                                            \
        return grown.result;                                                                                           \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_init(struct name *v, struct diskalloc *da)                                             \
    {                                                                                                                  \
        return diskalloc_vec_##name##_take_state(v, diskalloc_vec_init(da, #name "_init"));                            \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_init_region(struct name *v, struct diskalloc_region *r)                                \
    {                                                                                                                  \
        return diskalloc_vec_##name##_take_old(v, diskalloc_vec_init_region(r, sizeof(type), #name "_init_region"));   \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_init_with(struct name *v, struct diskalloc *da,                                        \
                                          const struct diskalloc_region_options *o)                                    \
    {                                                                                                                  \
        return diskalloc_vec_##name##_take_state(v, diskalloc_vec_init_with(da, o, sizeof(type), #name "_init_with")); \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_open(struct name *v, struct diskalloc *da, const char *region_name,                    \
                                     const struct diskalloc_region_options *o)                                         \
    {                                                                                                                  \
        return diskalloc_vec_##name##_take_old(v,                                                                      \
                                               diskalloc_vec_open(da, region_name, o, sizeof(type), #name "_open"));   \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_refresh(struct name *v)                                                                \
    {                                                                                                                  \
        struct diskalloc_vec_state state;                                                                              \
        size_t front = v->front;                                                                                       \
        int result;                                                                                                    \
                                                                                                                       \
        state.data = v->data;                                                                                          \
        state.len = v->len;                                                                                            \
        state.cap = v->cap;                                                                                            \
        state.region = v->region;                                                                                      \
        state.base_size = v->base_size;                                                                                \
        state.flags = v->flags;                                                                                        \
        state.result = 0;                                                                                              \
        result = diskalloc_vec_##name##_take_state(v, diskalloc_vec_refresh(state, sizeof(type), #name "_refresh"));   \
        v->front = front < v->len ? front : v->len;                                                                    \
        return result;                                                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_advise(struct name *v, int advice)                                                     \
    {                                                                                                                  \
        return diskalloc_vec_advise(v->region, v->len, v->cap, sizeof(type), advice, #name "_advise");                 \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_prefetch(const struct name *v, const size_t *indices, size_t n)                        \
    {                                                                                                                  \
        return diskalloc_vec_prefetch(v->region, v->len, v->cap, sizeof(type), indices, n, #name "_prefetch");         \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN void name##_deinit(struct name *v)                                                                \
    {                                                                                                                  \
        diskalloc_vec_deinit(v->region, v->base_size, v->flags,                                                        \
                             v->len > v->cap ? UINT64_MAX : (uint64_t)v->len * sizeof(type));                          \
        v->data = NULL;                                                                                                \
        v->len = v->cap = 0;                                                                                           \
        v->region = NULL;                                                                                              \
        v->base_size = 0;                                                                                              \
        v->flags = 0;                                                                                                  \
        v->front = 0;                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_commit(struct name *v, uint32_t commit_flags)                                          \
    {                                                                                                                  \
        uint64_t base_size = v->base_size;                                                                             \
        int result =                                                                                                   \
            diskalloc_vec_##name##_take_cap(v, diskalloc_vec_commit(v->region, v->len, v->cap, sizeof(type),           \
                                                                    &base_size, commit_flags, #name "_commit"));       \
                                                                                                                       \
        v->base_size = base_size;                                                                                      \
        return result;                                                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_shrink_to_fit(struct name *v)                                                          \
    {                                                                                                                  \
        uint64_t base_size = v->base_size;                                                                             \
        int result = diskalloc_vec_##name##_take_cap(                                                                  \
            v, diskalloc_vec_shrink(v->region, v->len, v->cap, sizeof(type), &base_size, #name "_shrink_to_fit"));     \
                                                                                                                       \
        v->base_size = base_size;                                                                                      \
        return result;                                                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_grow(struct name *v, size_t additional, const char *call)              \
    {                                                                                                                  \
        return diskalloc_vec_##name##_take_cap(                                                                        \
            v, diskalloc_vec_grow(v->region, v->len, v->cap, additional, sizeof(type), call));                         \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_make_room(struct name *v, size_t additional, const char *call)         \
    {                                                                                                                  \
        if (v->len <= v->cap && additional <= v->cap - v->len)                                                         \
            return 0;                                                                                                  \
        return diskalloc_vec_##name##_grow(v, additional, call);                                                       \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_push(struct name *v, type value)                                                       \
    {                                                                                                                  \
        if (__builtin_expect(v->len >= v->cap, 0)) {                                                                   \
            int result = diskalloc_vec_##name##_grow(v, 1, #name "_push");                                             \
                                                                                                                       \
            if (result < 0)                                                                                            \
                return result;                                                                                         \
        }                                                                                                              \
        DISKALLOC_VEC_COPY(v->data + v->len, &value, type);                                                            \
        v->len++;                                                                                                      \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_pop(struct name *v, type *ret)                                                         \
    {                                                                                                                  \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_pop");                                                                 \
        if (v->len <= v->front)                                                                                        \
            return diskalloc_vec_fail(#name "_pop", -ENODATA);                                                         \
        v->len--;                                                                                                      \
        if (ret)                                                                                                       \
            DISKALLOC_VEC_COPY(ret, v->data + v->len, type);                                                           \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_reserve(struct name *v, size_t additional)                                             \
    {                                                                                                                  \
        return diskalloc_vec_##name##_make_room(v, additional, #name "_reserve");                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_reserve_wait(struct name *v, size_t additional, int timeout_ms)                        \
    {                                                                                                                  \
        if (v->len <= v->cap && additional <= v->cap - v->len)                                                         \
            return 0;                                                                                                  \
        return diskalloc_vec_##name##_take_cap(v, diskalloc_vec_grow_wait(v->region, v->len, v->cap, additional,       \
                                                                          sizeof(type), timeout_ms,                    \
                                                                          #name "_reserve_wait"));                     \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_append_uninit(struct name *v, size_t n, type **ret)                                    \
    {                                                                                                                  \
        int result = diskalloc_vec_##name##_make_room(v, n, #name "_append_uninit");                                   \
                                                                                                                       \
        if (result < 0)                                                                                                \
            return result;                                                                                             \
        if (ret)                                                                                                       \
            *ret = v->data ? v->data + v->len : v->data;                                                               \
        v->len += n;                                                                                                   \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_extend(struct name *v, const type *src, size_t n)                                      \
    {                                                                                                                  \
        int result = diskalloc_vec_##name##_make_room(v, n, #name "_extend");                                          \
                                                                                                                       \
        if (result < 0)                                                                                                \
            return result;                                                                                             \
        if (n >= DISKALLOC_VEC_MANY / sizeof(type))                                                                    \
            diskalloc_vec_copy(v->region, v->len * sizeof(type), src, n * sizeof(type));                               \
        else if (n > 0)                                                                                                \
            memmove((void *)(v->data + v->len), (const void *)src, n * sizeof(type));                                  \
        v->len += n;                                                                                                   \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_truncate(struct name *v, size_t len)                                                   \
    {                                                                                                                  \
        DISKALLOC_VEC_CHECK(v, #name "_truncate");                                                                     \
        if (len >= v->len)                                                                                             \
            return 0;                                                                                                  \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_truncate");                                                            \
        /* The bytes behind len may be gone: whoever needs room asks the library. */                                   \
        if (len < v->front)                                                                                            \
            v->front = v->cap = len;                                                                                   \
        v->len = len;                                                                                                  \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_resize(struct name *v, size_t len)                                                     \
    {                                                                                                                  \
        size_t old_len = v->len, old_cap = v->cap;                                                                     \
                                                                                                                       \
        DISKALLOC_VEC_CHECK(v, #name "_resize");                                                                       \
        if (len <= old_len)                                                                                            \
            return name##_truncate(v, len);                                                                            \
        if (len > old_cap) {                                                                                           \
            int result = diskalloc_vec_##name##_take_cap(                                                              \
                v,                                                                                                     \
                diskalloc_vec_grow_zeroed(v->region, old_len, old_cap, len - old_len, sizeof(type), #name "_resize")); \
                                                                                                                       \
            if (result < 0)                                                                                            \
                return result;                                                                                         \
        }                                                                                                              \
        if (old_cap > old_len)                                                                                         \
            memset((void *)(v->data + old_len), 0, ((len < old_cap ? len : old_cap) - old_len) * sizeof(type));        \
        v->len = len;                                                                                                  \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_insert(struct name *v, size_t i, type value)                                           \
    {                                                                                                                  \
        int result;                                                                                                    \
                                                                                                                       \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_insert");                                                              \
        if (i > v->len || i < v->front)                                                                                \
            return diskalloc_vec_fail(#name "_insert", -EINVAL);                                                       \
        result = diskalloc_vec_##name##_make_room(v, 1, #name "_insert");                                              \
        if (result < 0)                                                                                                \
            return result;                                                                                             \
        memmove((void *)(v->data + i + 1), (const void *)(v->data + i), (v->len - i) * sizeof(type));                  \
        DISKALLOC_VEC_COPY(v->data + i, &value, type);                                                                 \
        v->len++;                                                                                                      \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_remove(struct name *v, size_t i, type *ret)                                            \
    {                                                                                                                  \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_remove");                                                              \
        if (i >= v->len || i < v->front)                                                                               \
            return diskalloc_vec_fail(#name "_remove", -EINVAL);                                                       \
        if (ret)                                                                                                       \
            DISKALLOC_VEC_COPY(ret, v->data + i, type);                                                                \
        v->len--;                                                                                                      \
        memmove((void *)(v->data + i), (const void *)(v->data + i + 1), (v->len - i) * sizeof(type));                  \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_swap_remove(struct name *v, size_t i, type *ret)                                       \
    {                                                                                                                  \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_swap_remove");                                                         \
        if (i >= v->len || i < v->front)                                                                               \
            return diskalloc_vec_fail(#name "_swap_remove", -EINVAL);                                                  \
        if (ret)                                                                                                       \
            DISKALLOC_VEC_COPY(ret, v->data + i, type);                                                                \
        v->len--;                                                                                                      \
        DISKALLOC_VEC_COPY(v->data + i, v->data + v->len, type);                                                       \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    DISKALLOC_VEC_FN int name##_discard_front(struct name *v, size_t n)                                                \
    {                                                                                                                  \
        int result;                                                                                                    \
                                                                                                                       \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_discard_front");                                                       \
        if (n <= v->front && n <= v->len)                                                                              \
            return 0;                                                                                                  \
        result = diskalloc_vec_discard_front(v->region, v->len, v->cap, n, sizeof(type), #name "_discard_front");      \
        if (result == 0)                                                                                               \
            v->front = n;                                                                                              \
        return result;                                                                                                 \
    }

#include <diskalloc/order.h> /* DISKALLOC_VEC_DEFINE_ORDER */

#endif
