/* diskalloc for C++17: vectors, an allocator and a memory resource, whose bytes lie on disk.  Header only.
 *
 *     diskalloc::client c;
 *     diskalloc::vector<std::uint64_t> v(c);                  // or v(c, "name"): there again the next time
 *     v.push_back(42);                                        // throws diskalloc::error
 *     std::sort(v.begin(), v.end());
 *
 *     std::vector<double, diskalloc::allocator<double>> w{diskalloc::allocator<double>(c)};
 *     diskalloc::memory_resource m(c);
 *     std::pmr::map<int, std::pmr::string> words(&m);
 *
 * `diskalloc` is the struct of <diskalloc/client.h> at the same time.  A C++ program can't have a class and a namespace
 * of one name, so all of this is members of that struct, which is never made: diskalloc::vector<T> is spelled as if it
 * were in a namespace, and `struct diskalloc *` or `diskalloc *` is what it is in C.  The difference is seen in three
 * places: there is no `using namespace diskalloc`, no `namespace other = diskalloc`, and a program can't add to it, but
 * by specialising diskalloc::is_bytes<T>.  (`using numbers = diskalloc::vector<int>` is fine.)  A real namespace,
 * with the struct in another one that a using-directive opens, was tried: `diskalloc *` and `::diskalloc *` are
 * ambiguous then to g++ and clang++, and diskalloc::is_bytes to clang++.
 *
 * Errors: what the library refuses is thrown as diskalloc::error, a std::system_error whose code() is an errno, whose
 * what() is the sentence of diskalloc_last_error(), and which has the limit in numbers; also by the allocator and the
 * memory resource.  After an exception everything is as it was.
 *
 * Threads: as with std::vector: one thread changes a vector, or several read it.  Any thread may use a client,
 * an allocator or a memory resource. */
#ifndef DISKALLOC_ALLOCATOR_HPP
#define DISKALLOC_ALLOCATOR_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "diskalloc/allocator.hpp needs C++17"
#endif

#include <diskalloc/client.h>
#include <diskalloc/heap.h>
#include <diskalloc/vec.h> /* declares the classes below */

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>

#define DISKALLOC_HAVE_ALLOCATOR_HPP 1

/* What a call of the library was refused for. */
class diskalloc::error : public std::system_error
{
  public:
    /* CODE: a negative errno.  The sentence and the numbers are those of this thread's last error, if they belong to
     * CODE. */
    explicit error(int code) : error(code, last_info())
    {
    }

    const char *what() const noexcept override
    {
        return text_->c_str();
    }
    /* "user:alice bytes", "disk keep_free", ...; "": no limit was involved. */
    const char *limit_name() const noexcept
    {
        return info_.limit_name;
    }
    std::uint64_t limit() const noexcept
    {
        return info_.limit;
    }
    std::uint64_t used() const noexcept
    {
        return info_.used;
    }
    std::uint64_t asked() const noexcept
    {
        return info_.asked;
    } /* in addition to used */

  private:
    error(int code, const diskalloc_error_info &info)
        : std::system_error(-code, std::generic_category()), info_(info.code == code ? info : diskalloc_error_info()),
          text_(std::make_shared<const std::string>(info.code == code ? diskalloc_last_error()
                                                                      : std::system_error::what()))
    {
    }
    static diskalloc_error_info last_info()
    {
        diskalloc_error_info info = diskalloc_error_info();

        diskalloc_last_error_info(&info, sizeof info);
        return info;
    }

    diskalloc_error_info info_;
    std::shared_ptr<const std::string> text_; /* copying an exception must not throw */
};

/* A client of the daemon or of a directory: see diskalloc_open.  Copies are the same client; it is closed with the last
 * of them, and of the vectors, allocators and memory resources that were made from it. */
class diskalloc::client
{
  public:
    /* ADDRESS as for diskalloc_open; OPTIONS may be nullptr.  Throws error. */
    explicit client(const char *address = nullptr, const diskalloc_options *options = nullptr)
        : shared_(std::make_shared<shared>(address, options))
    {
    }
    /* Moving copies: what was moved from is the same client still. */
    client(const client &) noexcept = default;
    client &operator=(const client &) noexcept = default;

    ::diskalloc *get() const noexcept
    {
        return shared_->da;
    }
    const char *address() const noexcept
    {
        return diskalloc_address(get());
    }

  private:
    friend class diskalloc::memory_resource;
    template <class> friend class diskalloc::allocator;

    struct shared {
        ::diskalloc *da = nullptr;

        shared(const char *address, const diskalloc_options *options)
        {
            int e = diskalloc_open(address, options, &da);

            if (e < 0)
                throw diskalloc::error(e);
        }
        shared(const shared &) = delete;
        shared &operator=(const shared &) = delete;
        ~shared()
        {
            diskalloc_heap_close(heap.load());
            diskalloc_close(da);
        }

        /* Blocks of 1 MiB and more are regions of their own; smaller ones share a heap, which the first one makes. */
        static constexpr std::size_t region_from = std::size_t(1) << 20;

        void *allocate(std::size_t bytes, std::size_t alignment)
        {
            void *block;

            if (bytes >= region_from && alignment <= 2 * region_from)
                block = diskalloc_malloc(da, bytes);
            else if (alignment <= 16)
                block = diskalloc_heap_malloc(small_blocks(), bytes);
            else
                block = diskalloc_heap_memalign(small_blocks(), alignment, bytes);
            if (!block)
                throw diskalloc::error(-errno);
            return block;
        }
        void deallocate(void *block, std::size_t bytes, std::size_t alignment) noexcept
        {
            if (bytes >= region_from && alignment <= 2 * region_from)
                diskalloc_free(block);
            else
                diskalloc_heap_free(heap.load(std::memory_order_relaxed), block);
        }

      private:
        std::atomic<diskalloc_heap *> heap{nullptr};
        std::mutex making;

        diskalloc_heap *small_blocks()
        {
            diskalloc_heap *h = heap.load(std::memory_order_acquire);

            return h ? h : make_heap();
        }
        diskalloc_heap *make_heap()
        {
            std::lock_guard<std::mutex> lock(making);
            diskalloc_heap *h = heap.load();

            if (!h) {
                int e = diskalloc_heap_new(da, &h);

                if (e < 0)
                    throw diskalloc::error(e);
                heap.store(h, std::memory_order_release);
            }
            return h;
        }
    };
    std::shared_ptr<shared> shared_;
};

/* For the containers of the standard.  Blocks of 1 MiB and more are regions of their own, smaller ones share a heap of
 * the client's.  Allocators of one client are equal.  A std::vector copies its elements when it grows, and has both
 * blocks meanwhile: diskalloc::vector does neither. */
template <class T> class diskalloc::allocator
{
  public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    explicit allocator(const client &c) noexcept : shared_(c.shared_)
    {
    }
    /* Moving copies, as the standard asks: a container that was moved from can be used again. */
    allocator(const allocator &) noexcept = default;
    allocator &operator=(const allocator &) noexcept = default;
    template <class U> allocator(const allocator<U> &other) noexcept : shared_(other.shared_)
    {
    }

    /* Throws error; std::bad_array_new_length: no block can be that large. */
    T *allocate(std::size_t n)
    {
        if (n > std::size_t(PTRDIFF_MAX) / sizeof(T))
            throw std::bad_array_new_length();
        return static_cast<T *>(shared_->allocate(n * sizeof(T), alignof(T)));
    }
    void deallocate(T *block, std::size_t n) noexcept
    {
        shared_->deallocate(block, n * sizeof(T), alignof(T));
    }

    template <class U> bool operator==(const allocator<U> &other) const noexcept
    {
        return shared_ == other.shared_;
    }
    template <class U> bool operator!=(const allocator<U> &other) const noexcept
    {
        return shared_ != other.shared_;
    }

  private:
    template <class> friend class diskalloc::allocator;
    std::shared_ptr<client::shared> shared_;
};

/* The same for std::pmr. */
class diskalloc::memory_resource : public std::pmr::memory_resource
{
  public:
    explicit memory_resource(const client &c) noexcept : shared_(c.shared_)
    {
    }
    memory_resource(const memory_resource &) noexcept = default; /* moving copies */
    memory_resource &operator=(const memory_resource &) noexcept = default;

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        if (bytes > std::size_t(PTRDIFF_MAX))
            throw std::bad_array_new_length();
        return shared_->allocate(bytes, alignment);
    }
    void do_deallocate(void *block, std::size_t bytes, std::size_t alignment) override
    {
        shared_->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const memory_resource *same = dynamic_cast<const memory_resource *>(&other);

        return same && same->shared_ == shared_;
    }

    std::shared_ptr<client::shared> shared_;
};

#include <diskalloc/vector.hpp> /* diskalloc::vector */

#endif
