/* diskalloc::vector<T>: include <diskalloc/allocator.hpp>, which includes this header and says what it stands on. */
#ifndef DISKALLOC_VECTOR_HPP
#define DISKALLOC_VECTOR_HPP

#include <diskalloc/allocator.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

/* A vector on disk: DISKALLOC_VEC_DEFINE (<diskalloc/vec.h>) with the interface of std::vector.  It grows in place:
 * data() never changes, and iterators stay valid until their elements go.
 * T is trivially copyable, or declared to be bytes by a specialisation of diskalloc::is_bytes<T>; elements are copied
 * and dropped as bytes.  A vector that was moved from has no region: it is empty, and can be assigned to and destroyed.
 * A local vector of which only functions that are inlined get the address stays in registers: hence always_inline.
 * Only what differs from std::vector is said below.  Whatever needs space throws diskalloc::error. */
template <class T> class diskalloc::vector
{
    DISKALLOC_VEC_DEFINE(diskalloc_vector, T)

  public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using reference = T &;
    using const_reference = const T &;
    using pointer = T *;
    using const_pointer = const T *;
    using iterator = T *;
    using const_iterator = const T *;
    using reverse_iterator = std::reverse_iterator<iterator>;
    using const_reverse_iterator = std::reverse_iterator<const_iterator>;

    /* An empty vector in an anonymous region. */
    [[gnu::always_inline]] explicit vector(const client &c)
    {
        check(diskalloc_vector_init(&v_, c.get()));
    }
    /* The vector in the region NAME, which is made if it is not there: see name_open in <diskalloc/vec.h>. */
    vector(const client &c, const char *name)
    {
        diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

        o.flags = DISKALLOC_REGION_CREATE;
        check(diskalloc_vector_open(&v_, c.get(), name, &o));
    }
    /* With options: flags, mode, size (room to begin with), reserve. */
    vector(const client &c, const char *name, const diskalloc_region_options &o)
    {
        check(name ? diskalloc_vector_open(&v_, c.get(), name, &o) : diskalloc_vector_init_with(&v_, c.get(), &o));
    }
    template <class Input, class = typename std::iterator_traits<Input>::iterator_category>
    vector(const client &c, Input first, Input last) : vector(c)
    {
        append(first, last);
    }
    vector(const client &c, std::initializer_list<T> elements) : vector(c)
    {
        append(elements.begin(), elements.end());
    }
    /* Adopts a region, which the caller keeps if this throws. */
    explicit vector(diskalloc_region *r)
    {
        check(diskalloc_vector_init_region(&v_, r));
    }

    vector(vector &&other) noexcept : v_(other.v_)
    {
        other.v_ = diskalloc_vector();
    }
    vector &operator=(vector &&other) noexcept
    {
        if (this != &other) {
            diskalloc_vector_deinit(&v_);
            v_ = other.v_;
            other.v_ = diskalloc_vector();
        }
        return *this;
    }
    vector(const vector &) = delete;
    vector &operator=(const vector &) = delete;
    /* Commits what a named region has: see name_deinit. */
    [[gnu::always_inline]] ~vector()
    {
        diskalloc_vector_deinit(&v_);
    }

    /* What std::vector does not have. */
    diskalloc_region *region() const noexcept
    {
        return v_.region;
    }
    void commit(std::uint32_t flags = 0)
    {
        check(diskalloc_vector_commit(&v_, flags));
    }
    bool refresh()
    {
        return check(diskalloc_vector_refresh(&v_)) != 0;
    } /* true: something has changed */
    void advise(int advice)
    {
        check(diskalloc_vector_advise(&v_, advice));
    }
    void prefetch(const std::size_t *indices, size_type n) const
    {
        check(diskalloc_vector_prefetch(&v_, indices, n));
    }
    /* The first N elements are consumed, as by name_discard_front: their blocks and charge go back.  Indices, iterators
     * and size() stay, begin() included: the first element that may be touched is (*this)[n]. */
    void discard_front(size_type n)
    {
        check(diskalloc_vector_discard_front(&v_, n));
    }
    /* As reserve, and waits for space: TIMEOUT_MS as for name_reserve_wait.  N is a total, as for reserve. */
    void reserve_wait(size_type n, int timeout_ms)
    {
        if (n > size())
            check(diskalloc_vector_reserve_wait(&v_, n - size(), timeout_ms));
    }
    /* N more elements with any content, for several threads to fill; the first of them. */
    iterator append_uninit(size_type n)
    {
        T *first = nullptr;

        check(diskalloc_vector_append_uninit(&v_, n, &first));
        return first;
    }

    iterator begin() noexcept
    {
        return v_.data;
    }
    const_iterator begin() const noexcept
    {
        return v_.data;
    }
    const_iterator cbegin() const noexcept
    {
        return v_.data;
    }
    iterator end() noexcept
    {
        return v_.data + v_.len;
    }
    const_iterator end() const noexcept
    {
        return v_.data + v_.len;
    }
    const_iterator cend() const noexcept
    {
        return v_.data + v_.len;
    }
    reverse_iterator rbegin() noexcept
    {
        return reverse_iterator(end());
    }
    const_reverse_iterator rbegin() const noexcept
    {
        return const_reverse_iterator(end());
    }
    const_reverse_iterator crbegin() const noexcept
    {
        return const_reverse_iterator(end());
    }
    reverse_iterator rend() noexcept
    {
        return reverse_iterator(begin());
    }
    const_reverse_iterator rend() const noexcept
    {
        return const_reverse_iterator(begin());
    }
    const_reverse_iterator crend() const noexcept
    {
        return const_reverse_iterator(begin());
    }

    T *data() noexcept
    {
        return v_.data;
    }
    const T *data() const noexcept
    {
        return v_.data;
    }
    bool empty() const noexcept
    {
        return v_.len == 0;
    }
    size_type size() const noexcept
    {
        return v_.len;
    }
    size_type capacity() const noexcept
    {
        return v_.cap;
    }
    /* What the region's address space has room for. */
    size_type max_size() const noexcept
    {
        return v_.region ? std::size_t(diskalloc_region_reserve(v_.region)) / sizeof(T) : 0;
    }

    T &operator[](size_type i) noexcept
    {
        return v_.data[i];
    }
    const T &operator[](size_type i) const noexcept
    {
        return v_.data[i];
    }
    T &at(size_type i)
    {
        return v_.data[in_range(i)];
    }
    const T &at(size_type i) const
    {
        return v_.data[in_range(i)];
    }
    T &front() noexcept
    {
        return v_.data[0];
    }
    const T &front() const noexcept
    {
        return v_.data[0];
    }
    T &back() noexcept
    {
        return v_.data[v_.len - 1];
    }
    const T &back() const noexcept
    {
        return v_.data[v_.len - 1];
    }

    [[gnu::always_inline]] void reserve(size_type n)
    {
        if (n > size())
            check(diskalloc_vector_reserve(&v_, n - size()));
    }
    void shrink_to_fit()
    {
        check(diskalloc_vector_shrink_to_fit(&v_));
    }
    [[gnu::always_inline]] void clear()
    {
        check(diskalloc_vector_truncate(&v_, 0));
    }
    [[gnu::always_inline]] void push_back(const T &value)
    {
        check(diskalloc_vector_push(&v_, value));
    }
    template <class... Args> [[gnu::always_inline]] T &emplace_back(Args &&...args)
    {
        push_back(T(std::forward<Args>(args)...));
        return back();
    }
    [[gnu::always_inline]] void pop_back()
    {
        check(diskalloc_vector_pop(&v_, nullptr));
    }
    void resize(size_type n)
    {
        if constexpr (std::is_trivially_default_constructible_v<T>)
            check(diskalloc_vector_resize(&v_, n));
        else
            resize(n, T());
    }
    void resize(size_type n, const T &value)
    {
        if (n <= size())
            check(diskalloc_vector_truncate(&v_, n));
        else
            append_copies(n - size(), value);
    }

    template <class Input, class = typename std::iterator_traits<Input>::iterator_category>
    void assign(Input first, Input last)
    {
        if constexpr (std::is_base_of_v<std::forward_iterator_tag,
                                        typename std::iterator_traits<Input>::iterator_category>) {
            reserve(size_type(std::distance(first, last)));
            clear();
            append(first, last);
        } else { /* how many come is not known before: those that go stay until then */
            size_type before = size();

            append(first, last);
            erase(begin(), begin() + before);
        }
    }
    void assign(size_type n, const T &value)
    {
        const T copy(value);

        reserve(n);
        clear();
        append_copies(n, copy);
    }
    void assign(std::initializer_list<T> elements)
    {
        assign(elements.begin(), elements.end());
    }
    vector &operator=(std::initializer_list<T> elements)
    {
        assign(elements);
        return *this;
    }

    iterator insert(const_iterator at, const T &value)
    {
        size_type i = index_of(at);

        check(diskalloc_vector_insert(&v_, i, value));
        return begin() + i;
    }
    template <class... Args> iterator emplace(const_iterator at, Args &&...args)
    {
        return insert(at, T(std::forward<Args>(args)...));
    }
    iterator insert(const_iterator at, size_type n, const T &value)
    {
        size_type i = index_of(at), before = size();

        append_copies(n, value);
        return put_at(i, before);
    }
    template <class Input, class = typename std::iterator_traits<Input>::iterator_category>
    iterator insert(const_iterator at, Input first, Input last)
    {
        size_type i = index_of(at), before = size();

        append(first, last);
        return put_at(i, before);
    }
    iterator insert(const_iterator at, std::initializer_list<T> elements)
    {
        return insert(at, elements.begin(), elements.end());
    }
    iterator erase(const_iterator at)
    {
        return erase(at, at + 1);
    }
    iterator erase(const_iterator first, const_iterator last)
    {
        size_type i = index_of(first), n = size_type(last - first), behind = size() - i - n;

        if (n > 0) {
            if (v_.flags & DISKALLOC_VEC_READ_ONLY)
                check(diskalloc_vec_fail("diskalloc_vector_erase", -EROFS));
            std::memmove(static_cast<void *>(v_.data + i), static_cast<const void *>(v_.data + i + n),
                         behind * sizeof(T));
            check(diskalloc_vector_truncate(&v_, i + behind));
        }
        return begin() + i;
    }

    void swap(vector &other) noexcept
    {
        std::swap(v_, other.v_);
    }
    friend void swap(vector &a, vector &b) noexcept
    {
        a.swap(b);
    }
    friend bool operator==(const vector &a, const vector &b)
    {
        return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
    }
    friend bool operator!=(const vector &a, const vector &b)
    {
        return !(a == b);
    }
    friend bool operator<(const vector &a, const vector &b)
    {
        return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
    friend bool operator>(const vector &a, const vector &b)
    {
        return b < a;
    }
    friend bool operator<=(const vector &a, const vector &b)
    {
        return !(b < a);
    }
    friend bool operator>=(const vector &a, const vector &b)
    {
        return !(a < b);
    }

  private:
    [[noreturn]] static void fail(int e)
    {
        throw diskalloc::error(e);
    }
    static int check(int e)
    {
        if (__builtin_expect(e < 0, 0))
            fail(e);
        return e;
    }
    size_type in_range(size_type i) const
    {
        if (i >= size())
            throw std::out_of_range("diskalloc::vector::at: " + std::to_string(i) + " of " + std::to_string(size()));
        return i;
    }
    size_type index_of(const_iterator at) const noexcept
    {
        return size_type(at - v_.data);
    }
    /* A copy is made first: VALUE may be an element. */
    void append_copies(size_type n, const T &value)
    {
        const T copy(value);

        for (T *at = append_uninit(n), *last = at + n; at != last; ++at)
            std::memcpy(static_cast<void *>(at), static_cast<const void *>(std::addressof(copy)), sizeof(T));
    }
    template <class Input> void append(Input first, Input last)
    {
        if constexpr (std::is_pointer_v<Input> && std::is_same_v<std::remove_cv_t<std::remove_pointer_t<Input>>, T>) {
            if (first != last)
                check(diskalloc_vector_extend(&v_, first, size_type(last - first)));
        } else {
            size_type before = size();

            if constexpr (std::is_base_of_v<std::forward_iterator_tag,
                                            typename std::iterator_traits<Input>::iterator_category>)
                reserve(before + size_type(std::distance(first, last)));
            try {
                for (; first != last; ++first)
                    push_back(T(*first));
            } catch (...) {
                v_.len = before;
                throw;
            }
        }
    }
    /* The elements behind BEFORE come to stand at I. */
    iterator put_at(size_type i, size_type before)
    {
        std::rotate(begin() + i, begin() + before, end());
        return begin() + i;
    }

    diskalloc_vector v_{};
};

#endif
