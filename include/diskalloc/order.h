/* Sorting and searching a vector: DISKALLOC_VEC_DEFINE_ORDER.  Include <diskalloc/vec.h>, which includes this
 * header.
 *
 *     static inline int number_less(const uint64_t *a, const uint64_t *b) { return *a < *b; }
 *     DISKALLOC_VEC_DEFINE(u64vec, uint64_t)
 *     DISKALLOC_VEC_DEFINE_ORDER(u64vec, uint64_t, number_less)
 *
 *     u64vec_sort(&v);
 *     i = u64vec_lower_bound(&v, &key);
 *
 * DISKALLOC_VEC_DEFINE_ORDER(name, type, less) makes the functions below, static inline, for a vector that
 * DISKALLOC_VEC_DEFINE(name, type) has defined; no semicolon behind it.  LESS is a function or a macro:
 *   int less(const type *a, const type *b)      not 0 if A comes before B, 0 if not, and if they are equal
 * It is compiled into the inner loops, where the compiler can see its body.  It may be called on several threads at
 * once, and with copies of elements; it must not change the vector, nor leave by longjmp or by an exception.  It must
 * be a strict order: if it is not, the order of the elements afterwards is unspecified, and nothing else happens.
 *
 * V is the caller's; indices and counts are of elements.  Elements that were discarded (diskalloc_region_discard) can't
 * be sorted or searched.  What a len above its cap says of the other functions holds here too.
 *
 * int name_sort(struct name *v)
 *   Sorts all elements; those that are equal come in any order.
 *   Works in place: it needs no space on the disk and asks the daemon for nothing that it could refuse; the region may
 *   be shared with others, who see the elements move.  A vector that is larger than the memory that this process may
 *   have (its control groups, and what the machine has available) is sorted in pieces that fit, which are merged, with
 *   up to half of that memory as buffers; the disk is read and written in large pieces, three times each.  Uses as many
 *   threads as there are processors, 8 at most, which live as long as the call and block all signals; with
 *   DISKALLOC_NO_THREADS the caller's alone.
 *   Such a sort asks for a descriptor of the file, unless the library has one: while there is no daemon, it begins only
 *   after reconnect_timeout_ms, or when the daemon is back.
 *   If the process is killed meanwhile, elements can be missing and others be there twice: sort before a commit that
 *   has to survive.
 *   0; -EINVAL: a part of the elements was discarded; -EROFS; -ESTALE.
 * int name_is_sorted(const struct name *v)
 *   1 if no element comes before the one ahead of it, else 0.
 * size_t name_lower_bound(const struct name *v, const type *key)
 *   The index of the first element that does not come before KEY; len if all do.  V is sorted.  Where the elements are
 *   on the disk, each step reads a page of them and no more.
 * size_t name_upper_bound(const struct name *v, const type *key)
 *   The index of the first element that KEY comes before; len if there is none.  Likewise.
 * size_t name_dedup(struct name *v)
 *   Of equal elements keeps the first.  V is sorted.  Returns how many elements went; capacity stays.  Of a read-only
 *   vector none go, and diskalloc_last_error says so. */
#ifndef DISKALLOC_ORDER_H
#define DISKALLOC_ORDER_H

#include <diskalloc/client.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DISKALLOC_HAVE_VEC_ORDER 1 /* DISKALLOC_VEC_DEFINE_ORDER */

/* Internal, for the macro only: from here to its definition.
 *
 * The comparison is inlined into four functions a type: sorting what is in memory, splitting it for several threads,
 * merging, and looking whether it is sorted.  The library (client/order) calls them through struct diskalloc_order, and
 * does what does not depend on the type.  The functions from diskalloc_order_insert on are always inlined into those
 * four, so that SIZE and LESS are constants there.
 *
 * Nothing relies on LESS for its bounds: each loop over elements ends at an index. */
#define DISKALLOC_ORDER_FN static inline __attribute__((__always_inline__, __unused__))

enum {
    DISKALLOC_ORDER_SMALL = 64,  /* bytes: elements up to here are copied to the stack */
    DISKALLOC_ORDER_FEW = 24,    /* elements that are sorted by insertion */
    DISKALLOC_ORDER_BLOCK = 128, /* elements that are compared before any is moved; fits an unsigned char */
    DISKALLOC_ORDER_LEVELS = 64
};

typedef int (*diskalloc_order_less)(const void *a, const void *b);

/* Where a range of elements was split: LEFT elements that do not come behind the others, one that is in its place (or
 * more), and RIGHT elements that do not come before the others. */
struct diskalloc_order_split {
    size_t left, right;
};

/* The elements of a sorted run that are in memory.  Not empty while the run is merged. */
struct diskalloc_order_input {
    const char *at, *end;
};

/* Merging sorted runs into OUT: a loser tree (Knuth, The Art of Computer Programming 3, 5.4.1).  NODES[0] is the input
 * whose element comes next; NODES[i] the one that lost at node i.  Input j is the leaf n_inputs + j, and the node above
 * node i is i / 2. */
struct diskalloc_order_merge {
    struct diskalloc_order_input *inputs;
    uint32_t *nodes;    /* 2 * n_inputs: the second half is used by the start only */
    uint32_t n_inputs;  /* at least 1 */
    uint32_t is_played; /* 0: the tree is to be made */
    char *out, *out_end;
};

struct diskalloc_order {
    size_t struct_size, element_size;
    void (*sort)(void *elements, size_t n, int follows);
    struct diskalloc_order_split (*split)(void *elements, size_t n, int follows);
    /* Until OUT is full, or an input is empty.  The next call goes on; before it the empty input, nodes[0], is filled
     * again, or taken away with is_played = 0. */
    void (*merge)(struct diskalloc_order_merge *m);
    int (*is_sorted)(const void *elements, size_t n);
    int (*less)(const void *a, const void *b);
};

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
int diskalloc_vec_sort(struct diskalloc_region *r, size_t len, size_t cap, const struct diskalloc_order *order,
                       const char *call);
/* Before a search of BYTES bytes: a time for search_end, or 0: nothing is to be announced.  TOUCH: an element is looked
 * at next. */
uint64_t diskalloc_vec_search_begin(struct diskalloc_region *r, uint64_t bytes);
void diskalloc_vec_search_touch(struct diskalloc_region *r, const void *element);
void diskalloc_vec_search_end(struct diskalloc_region *r, uint64_t began);
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

DISKALLOC_ORDER_FN char *diskalloc_order_at(const void *elements, size_t i, size_t size)
{
    return (char *)elements + i * size;
}

/* A and B may be one element. */
DISKALLOC_ORDER_FN void diskalloc_order_swap(char *a, char *b, size_t size)
{
    char kept[DISKALLOC_ORDER_SMALL];

    for (size_t done = 0; done < size; done += sizeof kept) {
        size_t n = size - done < sizeof kept ? size - done : sizeof kept;

        memcpy(kept, a + done, n);
        memmove(a + done, b + done, n);
        memcpy(b + done, kept, n);
    }
}

DISKALLOC_ORDER_FN void diskalloc_order_insert_large(char *a, size_t n, size_t size, diskalloc_order_less less)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && less(a + j * size, a + (j - 1) * size); j--)
            diskalloc_order_swap(a + j * size, a + (j - 1) * size, size);
}

DISKALLOC_ORDER_FN void diskalloc_order_insert(char *a, size_t n, size_t size, diskalloc_order_less less)
{
    char kept[DISKALLOC_ORDER_SMALL] __attribute__((__aligned__(DISKALLOC_ORDER_SMALL)));

    if (size > sizeof kept) {
        diskalloc_order_insert_large(a, n, size, less);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        size_t j = i;

        memcpy(kept, a + i * size, size);
        for (; j > 0 && less(kept, a + (j - 1) * size); j--)
            memcpy(a + j * size, a + (j - 1) * size, size);
        memcpy(a + j * size, kept, size);
    }
}

DISKALLOC_ORDER_FN void diskalloc_order_sift(char *a, size_t i, size_t n, size_t size, diskalloc_order_less less)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && less(a + child * size, a + (child + 1) * size))
            child++;
        if (!less(a + i * size, a + child * size))
            return;
        diskalloc_order_swap(a + i * size, a + child * size, size);
    }
}

/* For ranges that are split badly again and again. */
DISKALLOC_ORDER_FN void diskalloc_order_heap(char *a, size_t n, size_t size, diskalloc_order_less less)
{
    for (size_t i = n / 2; i > 0; i--)
        diskalloc_order_sift(a, i - 1, n, size, less);
    for (size_t left = n; left > 1; left--) {
        diskalloc_order_swap(a, a + (left - 1) * size, size);
        diskalloc_order_sift(a, 0, left - 1, size, less);
    }
}

DISKALLOC_ORDER_FN size_t diskalloc_order_median(const char *a, size_t i, size_t j, size_t k, size_t size,
                                                 diskalloc_order_less less)
{
    size_t least = less(a + j * size, a + i * size) ? j : i, most = least == i ? j : i;

    if (less(a + k * size, a + least * size))
        return least;
    return less(a + k * size, a + most * size) ? k : most;
}

/* Of three elements that are STEP apart. */
DISKALLOC_ORDER_FN size_t diskalloc_order_median_at(const char *a, size_t first, size_t step, size_t size,
                                                    diskalloc_order_less less)
{
    return diskalloc_order_median(a, first, first + step, first + 2 * step, size, less);
}

DISKALLOC_ORDER_FN size_t diskalloc_order_pivot(const char *a, size_t n, size_t size, diskalloc_order_less less)
{
    size_t step = n / 10;

    if (n < DISKALLOC_ORDER_BLOCK)
        return diskalloc_order_median_at(a, n / 4, n / 4, size, less);
    return diskalloc_order_median(a, diskalloc_order_median_at(a, step, step, size, less),
                                  diskalloc_order_median_at(a, 4 * step, step, size, less),
                                  diskalloc_order_median_at(a, 7 * step, step, size, less), size, less);
}

/* Moves the elements that belong left of PIVOT to the left: those that come before PIVOT; if EQUAL, those that are
 * equal to it (none comes before it then).  Returns their number.
 *
 * A block of elements at each end is compared first, without a branch on the result, which the processor could not
 * foresee; then those that are on the wrong side are exchanged: BlockQuicksort (Edelkamp and Weiss, 2016). */
DISKALLOC_ORDER_FN size_t diskalloc_order_part(char *a, size_t n, const char *pivot, int equal, size_t size,
                                               diskalloc_order_less less)
{
    unsigned char wrong_left[DISKALLOC_ORDER_BLOCK], wrong_right[DISKALLOC_ORDER_BLOCK];
    size_t n_left = 0, n_right = 0, done_left = 0, done_right = 0, first = 0, last = n;
    char *left = a, *right = a + n * size; /* where the indices in wrong_left and wrong_right begin */

    while (first < last) {
        size_t unknown = last - first, more_left, more_right, pairs;

        more_left = n_left ? 0 : n_right ? unknown : unknown - unknown / 2;
        more_left = more_left < sizeof wrong_left ? more_left : sizeof wrong_left;
        more_right = n_right ? 0 : unknown - more_left;
        more_right = more_right < sizeof wrong_right ? more_right : sizeof wrong_right;
        if (more_left > 0) {
            left = a + first * size;
            done_left = 0;
            for (size_t i = 0; i < more_left; i++) {
                wrong_left[n_left] = (unsigned char)i;
                n_left += equal ? less(pivot, left + i * size) != 0 : !less(left + i * size, pivot);
            }
            first += more_left;
        }
        if (more_right > 0) {
            right = a + last * size;
            done_right = 0;
            for (size_t i = 0; i < more_right; i++) {
                wrong_right[n_right] = (unsigned char)i;
                n_right += equal ? !less(pivot, right - (i + 1) * size) : less(right - (i + 1) * size, pivot) != 0;
            }
            last -= more_right;
        }
        pairs = n_left < n_right ? n_left : n_right;
        for (size_t i = 0; i < pairs; i++)
            diskalloc_order_swap(left + wrong_left[done_left + i] * size,
                                 right - ((size_t)wrong_right[done_right + i] + 1) * size, size);
        n_left -= pairs;
        n_right -= pairs;
        done_left += pairs;
        done_right += pairs;
    }
    /* Either is 0; the indices of the other rise. */
    while (n_left > 0)
        diskalloc_order_swap(left + wrong_left[done_left + --n_left] * size, a + --first * size, size);
    while (n_right > 0)
        diskalloc_order_swap(right - ((size_t)wrong_right[done_right + --n_right] + 1) * size, a + first++ * size,
                             size);
    return first;
}

/* FOLLOWS: the element ahead of A does not come behind any of A.  Where the pivot is equal to it, all elements that are
 * equal to the pivot are put in their place at once, so that many equal elements cost little: as in pdqsort (Peters,
 * 2021). */
DISKALLOC_ORDER_FN struct diskalloc_order_split diskalloc_order_split_at(char *a, size_t n, size_t pivot_at,
                                                                         int follows, size_t size,
                                                                         diskalloc_order_less less)
{
    char kept[DISKALLOC_ORDER_SMALL] __attribute__((__aligned__(DISKALLOC_ORDER_SMALL)));
    const char *pivot = a;
    struct diskalloc_order_split split;

    diskalloc_order_swap(a, a + pivot_at * size, size);
    if (size <= sizeof kept)
        pivot = (const char *)memcpy(kept, a, size);
    if (follows && !less(a - size, pivot)) {
        split.left = 0;
        split.right = n - 1 - diskalloc_order_part(a + size, n - 1, pivot, 1, size, less);
        return split;
    }
    split.left = diskalloc_order_part(a + size, n - 1, pivot, 0, size, less);
    split.right = n - 1 - split.left;
    diskalloc_order_swap(a, a + split.left * size, size);
    return split;
}

DISKALLOC_ORDER_FN struct diskalloc_order_split diskalloc_order_split_range(char *a, size_t n, int follows, size_t size,
                                                                            diskalloc_order_less less)
{
    return diskalloc_order_split_at(a, n, diskalloc_order_pivot(a, n, size, less), follows, size, less);
}

struct diskalloc_order_range {
    char *a;
    size_t n;
    int follows;
    unsigned bad; /* splits that may still be bad */
};

DISKALLOC_ORDER_FN void diskalloc_order_sort(char *a, size_t n, int follows, size_t size, diskalloc_order_less less)
{
    struct diskalloc_order_range rest[DISKALLOC_ORDER_LEVELS], now = {a, n, follows, 0}, other;
    unsigned n_rest = 0;

    for (size_t i = n; i > 0; i /= 2)
        now.bad++;
    for (;;) {
        while (now.n > DISKALLOC_ORDER_FEW) {
            struct diskalloc_order_split s;

            if (now.bad == 0) {
                diskalloc_order_heap(now.a, now.n, size, less);
                now.n = 0;
                break;
            }
            s = diskalloc_order_split_range(now.a, now.n, now.follows, size, less);
            other = now;
            now.bad -= (s.left < s.right ? s.left : s.right) < (s.left + s.right) / 8 && s.left + s.right + 1 == now.n;
            other.bad = now.bad;
            other.a = now.a + (now.n - s.right) * size;
            other.n = s.right;
            other.follows = 1;
            now.n = s.left;
            /* The larger part waits, so that at most one part a halving does. */
            if (now.n > other.n) {
                rest[n_rest++] = now;
                now = other;
            } else if (other.n > 0) {
                rest[n_rest++] = other;
            }
        }
        diskalloc_order_insert(now.a, now.n, size, less);
        if (n_rest == 0)
            return;
        now = rest[--n_rest];
    }
}

DISKALLOC_ORDER_FN int diskalloc_order_is_sorted(const char *a, size_t n, size_t size, diskalloc_order_less less)
{
    for (size_t i = 1; i < n; i++)
        if (less(a + i * size, a + (i - 1) * size))
            return 0;
    return 1;
}

DISKALLOC_ORDER_FN void diskalloc_order_play_all(struct diskalloc_order_merge *m, diskalloc_order_less less)
{
    uint32_t *nodes = m->nodes, n = m->n_inputs;

    /* First the winners at each node, then the losers: node i loses to its sibling, or it won above. */
    for (uint32_t i = 0; i < n; i++)
        nodes[n + i] = i;
    for (size_t i = n - 1; i > 0; i--) {
        const uint32_t *two = nodes + 2 * i;

        nodes[i] = less(m->inputs[two[1]].at, m->inputs[two[0]].at) ? two[1] : two[0];
    }
    nodes[0] = nodes[1];
    for (size_t i = 1; i < n; i++) {
        const uint32_t *two = nodes + 2 * i;

        nodes[i] = nodes[i] == two[0] ? two[1] : two[0];
    }
    m->is_played = 1;
}

DISKALLOC_ORDER_FN void diskalloc_order_merge_runs(struct diskalloc_order_merge *m, size_t size,
                                                   diskalloc_order_less less)
{
    struct diskalloc_order_input *inputs = m->inputs;
    uint32_t *nodes = m->nodes, n = m->n_inputs, winner;
    char *out = m->out, *out_end = m->out_end;

    if (!m->is_played)
        diskalloc_order_play_all(m, less);
    winner = nodes[0];
    while (out < out_end) {
        /* The winner's place is played anew at the beginning, as its next element may have come from the caller. */
        for (uint32_t i = (n + winner) / 2; i > 0; i /= 2) {
            uint32_t other = nodes[i];
            int loses = less(inputs[other].at, inputs[winner].at) != 0;

            nodes[i] = loses ? winner : other;
            winner = loses ? other : winner;
        }
        memcpy(out, inputs[winner].at, size);
        out += size;
        inputs[winner].at += size;
        if (inputs[winner].at == inputs[winner].end)
            break;
    }
    nodes[0] = winner;
    m->out = out;
}

#ifdef __cplusplus
#define DISKALLOC_ORDER_CALL(less, type, a, b) \
    (less(reinterpret_cast<const type *>(a), reinterpret_cast<const type *>(b)) ? 1 : 0)
#else
#define DISKALLOC_ORDER_CALL(less, type, a, b) (less((const type *)(a), (const type *)(b)) ? 1 : 0)
#endif

#define DISKALLOC_ORDER_PAGE ((size_t)4096)       /* bytes: the smallest page that is read from disk */
#define DISKALLOC_ORDER_LARGE ((uint64_t)1 << 20) /* bytes: smaller vectors are read with the first touch */

/* Where to look next among the N elements from AT on: near the middle, at the beginning of a page, so that the last
 * steps find their page read already. */
DISKALLOC_ORDER_FN size_t diskalloc_order_middle(size_t at, size_t n, size_t size)
{
    size_t middle = at + n / 2, page = middle * size / DISKALLOC_ORDER_PAGE * DISKALLOC_ORDER_PAGE;
    size_t first = (page + size - 1) / size;

    return n * size > DISKALLOC_ORDER_PAGE && first >= at ? first : middle;
}

/* In a search: where the elements are likely to be on the disk, the page of element I is announced. */
DISKALLOC_ORDER_FN void diskalloc_order_touch(struct diskalloc_region *r, uint64_t began, const void *elements,
                                              size_t i, size_t size, size_t *page)
{
    if (__builtin_expect((began & 1) != 0, 0) && *page != i * size / DISKALLOC_ORDER_PAGE + 1) {
        *page = i * size / DISKALLOC_ORDER_PAGE + 1;
        diskalloc_vec_search_touch(r, diskalloc_order_at(elements, i, size));
    }
}

/* The compiler can't know that a function is called with constants unless it is inlined, so each of these calls one
 * that always is. */
#define DISKALLOC_VEC_DEFINE_ORDER(name, type, less)                                                                 \
    DISKALLOC_ORDER_FN int diskalloc_vec_##name##_less(const void *a, const void *b)                                 \
    {                                                                                                                \
        return DISKALLOC_ORDER_CALL(less, type, a, b);                                                               \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN void diskalloc_vec_##name##_order_sort(void *elements, size_t n, int follows)                   \
    {                                                                                                                \
        diskalloc_order_sort((char *)elements, n, follows, sizeof(type), diskalloc_vec_##name##_less);               \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN struct diskalloc_order_split diskalloc_vec_##name##_order_split(void *elements, size_t n,       \
                                                                                     int follows)                    \
    {                                                                                                                \
        return diskalloc_order_split_range((char *)elements, n, follows, sizeof(type), diskalloc_vec_##name##_less); \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN void diskalloc_vec_##name##_order_merge(struct diskalloc_order_merge *m)                        \
    {                                                                                                                \
        diskalloc_order_merge_runs(m, sizeof(type), diskalloc_vec_##name##_less);                                    \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN int diskalloc_vec_##name##_order_is_sorted(const void *elements, size_t n)                      \
    {                                                                                                                \
        return diskalloc_order_is_sorted((const char *)elements, n, sizeof(type), diskalloc_vec_##name##_less);      \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN const struct diskalloc_order *diskalloc_vec_##name##_order(void)                                \
    {                                                                                                                \
        static const struct diskalloc_order order = {                                                                \
            sizeof(struct diskalloc_order),     sizeof(type),                                                        \
            diskalloc_vec_##name##_order_sort,  diskalloc_vec_##name##_order_split,                                  \
            diskalloc_vec_##name##_order_merge, diskalloc_vec_##name##_order_is_sorted,                              \
            diskalloc_vec_##name##_less};                                                                            \
                                                                                                                     \
        return &order;                                                                                               \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN int name##_sort(struct name *v)                                                                 \
    {                                                                                                                \
        DISKALLOC_VEC_CHECK_WRITABLE(v, #name "_sort");                                                              \
        if (__builtin_expect(v->front > 0, 0))                                                                       \
            return diskalloc_vec_drained(#name "_sort");                                                             \
        return diskalloc_vec_sort(v->region, v->len, v->cap, diskalloc_vec_##name##_order(), #name "_sort");         \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN int name##_is_sorted(const struct name *v)                                                      \
    {                                                                                                                \
        if (__builtin_expect(v->len > v->cap, 0)) {                                                                  \
            diskalloc_vec_damaged(#name "_is_sorted", v->len, v->cap);                                               \
            return 0;                                                                                                \
        }                                                                                                            \
        if (v->len <= v->front)                                                                                      \
            return 1;                                                                                                \
        return diskalloc_vec_##name##_order_is_sorted(v->data + v->front, v->len - v->front);                        \
    }                                                                                                                \
                                                                                                                     \
    /* The first element that does not come before KEY; if UPPER, that KEY comes before. */                          \
    DISKALLOC_ORDER_FN size_t diskalloc_vec_##name##_bound(const struct name *v, const type *key, int upper,         \
                                                           const char *call)                                         \
    {                                                                                                                \
        size_t at = v->front, n = v->len, page = 0;                                                                  \
        uint64_t began = 0;                                                                                          \
                                                                                                                     \
        if (__builtin_expect(n > v->cap, 0)) {                                                                       \
            diskalloc_vec_damaged(call, n, v->cap);                                                                  \
            return 0;                                                                                                \
        }                                                                                                            \
        n = n > at ? n - at : 0;                                                                                     \
        if ((uint64_t)n * sizeof(type) >= DISKALLOC_ORDER_LARGE)                                                     \
            began = diskalloc_vec_search_begin(v->region, (uint64_t)n * sizeof(type));                               \
        while (n > 0) {                                                                                              \
            size_t middle = diskalloc_order_middle(at, n, sizeof(type));                                             \
                                                                                                                     \
            diskalloc_order_touch(v->region, began, v->data, middle, sizeof(type), &page);                           \
            if (upper ? !diskalloc_vec_##name##_less(key, v->data + middle)                                          \
                      : diskalloc_vec_##name##_less(v->data + middle, key)) {                                        \
                n -= middle + 1 - at;                                                                                \
                at = middle + 1;                                                                                     \
            } else {                                                                                                 \
                n = middle - at;                                                                                     \
            }                                                                                                        \
        }                                                                                                            \
        if (began)                                                                                                   \
            diskalloc_vec_search_end(v->region, began);                                                              \
        return at;                                                                                                   \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN size_t name##_lower_bound(const struct name *v, const type *key)                                \
    {                                                                                                                \
        return diskalloc_vec_##name##_bound(v, key, 0, #name "_lower_bound");                                        \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN size_t name##_upper_bound(const struct name *v, const type *key)                                \
    {                                                                                                                \
        return diskalloc_vec_##name##_bound(v, key, 1, #name "_upper_bound");                                        \
    }                                                                                                                \
                                                                                                                     \
    DISKALLOC_VEC_FN size_t name##_dedup(struct name *v)                                                             \
    {                                                                                                                \
        size_t len = v->len, front = v->front < len ? v->front : len, kept = front + (len > front);                  \
                                                                                                                     \
        if (__builtin_expect(len > v->cap, 0)) {                                                                     \
            diskalloc_vec_damaged(#name "_dedup", len, v->cap);                                                      \
            return 0;                                                                                                \
        }                                                                                                            \
        if (__builtin_expect((v->flags & DISKALLOC_VEC_READ_ONLY) != 0, 0)) {                                        \
            diskalloc_vec_fail(#name "_dedup", -EROFS);                                                              \
            return 0;                                                                                                \
        }                                                                                                            \
        for (size_t i = front + 1; i < len; i++) {                                                                   \
            if (!diskalloc_vec_##name##_less(v->data + kept - 1, v->data + i))                                       \
                continue;                                                                                            \
            if (kept < i)                                                                                            \
                DISKALLOC_VEC_COPY(v->data + kept, v->data + i, type);                                               \
            kept++;                                                                                                  \
        }                                                                                                            \
        v->len = kept;                                                                                               \
        return len - kept;                                                                                           \
    }

#endif
