// Uses what <diskalloc/allocator.hpp> has, as programs do: allocator_uses ADDRESS [LIMITED].  Any second argument says
// that 90 MiB are all there is.  Compiled by allocator.py with each compiler and standard.
#include <diskalloc/allocator.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#if __cplusplus >= 202002L
#include <ranges>
#include <span>
#endif

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (0)

template <class Exception, class Function> static std::string thrown(Function f)
{
    try {
        f();
    } catch (const Exception &e) {
        return e.what();
    }
    return "";
}

using numbers = diskalloc::vector<std::uint64_t>;

static void a_vector_is_one_of_the_standard(const diskalloc::client &c)
{
    numbers v(c);
    std::vector<std::uint64_t> w;
    const std::uint64_t *data = v.data();
    unsigned random = 1;

    EXPECT(v.empty() && v.size() == 0 && v.begin() == v.end());
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        std::size_t at = w.empty() ? 0 : random / 7 % w.size();
        auto here = std::ptrdiff_t(at);

        switch (random >> 28) {
        case 0:
            EXPECT(*v.insert(v.begin() + at, random) == random);
            w.insert(w.begin() + here, random);
            break;
        case 1:
            if (w.empty())
                break;
            v.erase(v.begin() + at);
            w.erase(w.begin() + here);
            break;
        case 2: {
            std::list<std::uint64_t> some{1, 2, random};

            EXPECT(v.insert(v.cbegin() + at, some.begin(), some.end()) == v.begin() + at);
            w.insert(w.begin() + here, some.begin(), some.end());
            break;
        }
        case 3:
            v.insert(v.begin() + at, 5, v.empty() ? 7 : v[at]);
            w.insert(w.begin() + here, 5, w.empty() ? 7 : w[at]);
            break;
        case 4: {
            std::size_t n = std::min<std::size_t>(w.size() - at, 20);

            v.erase(v.begin() + at, v.begin() + at + n);
            w.erase(w.begin() + here, w.begin() + here + std::ptrdiff_t(n));
            break;
        }
        case 5:
            v.resize(at + 10);
            w.resize(at + 10);
            break;
        case 6:
            v.resize(w.size() + 3, 9);
            w.resize(w.size() + 3, 9);
            break;
        case 7:
            EXPECT(v.emplace_back(random) == random);
            w.emplace_back(random);
            break;
        case 8:
            if (w.empty())
                break;
            EXPECT(v.front() == w.front() && v.back() == w.back() && v.at(at) == w.at(at));
            v.pop_back();
            w.pop_back();
            break;
        default:
            v.push_back(random);
            w.push_back(random);
        }
        EXPECT(v.size() == w.size());
    }
    EXPECT(std::equal(v.begin(), v.end(), w.begin(), w.end()));
    EXPECT(std::equal(v.rbegin(), v.rend(), w.rbegin(), w.rend()));
    std::sort(v.begin(), v.end());
    std::sort(w.begin(), w.end());
    EXPECT(std::equal(v.cbegin(), v.cend(), w.cbegin(), w.cend()));
    v.reserve(1000000);
    EXPECT(v.capacity() >= 1000000 && v.max_size() > v.capacity());
    v.shrink_to_fit();
    EXPECT(v.capacity() == v.size());
    EXPECT(v.data() == data); // it never moves
    v.assign({3, 1, 2});
    v.assign(v.size(), v[0]);
    EXPECT(v == numbers(c, {3, 3, 3}) && v != numbers(c, {3, 3}) && v < numbers(c, {4}) && v >= numbers(c, {3, 3}));
    v = {5, 6};
    v.clear();
    EXPECT(v.empty());
    EXPECT(thrown<std::out_of_range>([&] { v.at(0); }).find("0 of 0") != std::string::npos);
    EXPECT(thrown<diskalloc::error>([&] { v.pop_back(); }).find("empty") != std::string::npos);
}

static void a_vector_moves_and_swaps(const diskalloc::client &c)
{
    numbers a(c, {1, 2, 3}), b(c, {4});
    std::uint64_t *data = a.data();
    numbers moved(std::move(a));

    EXPECT(moved.data() == data && moved.size() == 3 && a.empty()); // NOLINT
    EXPECT(!thrown<diskalloc::error>([&] { a.push_back(1); }).empty());
    swap(moved, b);
    EXPECT(b.data() == data && moved.front() == 4);
    a = std::move(b);
    EXPECT(a.data() == data && a.back() == 3 && a.region());
    static_assert(!std::is_copy_constructible_v<numbers> && !std::is_copy_assignable_v<numbers>);
    static_assert(std::is_nothrow_move_constructible_v<numbers>);
}

static void elements_are_made_as_their_type_says(const diskalloc::client &c)
{
    struct point {
        int x = 7, y = 8;
        bool operator==(const point &o) const
        {
            return x == o.x && y == o.y;
        }
    };
    struct alignas(64) wide {
        char bytes[64];
    };
    diskalloc::vector<point> v(c);
    diskalloc::vector<wide> w(c);
    diskalloc::vector<std::pair<int, double>> pairs(c);

    v.resize(100);
    EXPECT(v[99] == point());
    w.resize(100);
    EXPECT(w[99].bytes[63] == 0 && reinterpret_cast<std::uintptr_t>(w.data()) % 64 == 0);
    EXPECT(pairs.emplace_back(1, 0.5).second == 0.5);
}

static void a_named_vector_is_there_again(const diskalloc::client &c)
{
    diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    {
        numbers v(c, "numbers");
        for (std::uint64_t i = 0; i < 1000; i++)
            v.push_back(i);
        v.commit();
        v.push_back(7);
    }
    {
        numbers v(c, "numbers");
        EXPECT(v.size() == 1001 && v[999] == 999);
        v.pop_back();
        v.commit(DISKALLOC_DURABLE);
    }
    o.flags = DISKALLOC_REGION_READ_ONLY;
    numbers reader(c, "numbers", o);
    EXPECT(reader.size() == 1000 && std::accumulate(reader.begin(), reader.end(), std::uint64_t(0)) == 499500);
    EXPECT(!thrown<diskalloc::error>([&] { reader.push_back(1); }).empty());
    EXPECT(!thrown<diskalloc::error>([&] { reader.erase(reader.begin()); }).empty());
    EXPECT(reader.size() == 1000 && !reader.refresh());
    EXPECT(thrown<diskalloc::error>([&] { diskalloc::vector<char>(c, "numbers"); }).find("elements of 8") !=
           std::string::npos);
    EXPECT(diskalloc_region_unlink(c.get(), "numbers") == 0);
}

static void several_threads_fill_and_read(const diskalloc::client &c)
{
    numbers v(c);
    std::uint64_t *all = v.append_uninit(400000), sums[4] = {};
    std::vector<std::thread> threads;

    for (unsigned t = 0; t < 4; t++)
        threads.emplace_back([=] { std::iota(all + t * 100000, all + (t + 1) * 100000, t * 100000); });
    for (auto &t : threads)
        t.join();
    threads.clear();
    for (unsigned t = 0; t < 4; t++)
        threads.emplace_back([&v, &sums, t] {
            const numbers &shared = v;
            for (std::size_t i = t; i < shared.size(); i += 4)
                sums[t] += shared[i];
        });
    for (auto &t : threads)
        t.join();
    EXPECT(sums[0] + sums[1] + sums[2] + sums[3] == std::uint64_t(400000) * 399999 / 2);
#if __cplusplus >= 202002L
    static_assert(std::ranges::contiguous_range<numbers> && std::ranges::sized_range<const numbers>);
    std::ranges::sort(v, std::greater<>());
    std::span<const std::uint64_t> span(v);
    EXPECT(span.front() == 399999 && std::ranges::is_sorted(v, std::greater<>()));
#endif
}

template <class T> using on_disk = diskalloc::allocator<T>;

static void the_containers_of_the_standard_work(const diskalloc::client &c)
{
    on_disk<int> allocator(c);
    std::vector<int, on_disk<int>> vector(allocator);
    std::deque<int, on_disk<int>> deque(allocator);
    std::list<int, on_disk<int>> list(allocator);
    std::map<int, int, std::less<>, on_disk<std::pair<const int, int>>> map(allocator);
    std::set<int, std::less<>, on_disk<int>> set(allocator);
    std::unordered_map<int, int, std::hash<int>, std::equal_to<>, on_disk<std::pair<const int, int>>> hash(allocator);
    std::basic_string<char, std::char_traits<char>, on_disk<char>> string(allocator);

    for (int i = 0; i < 100000; i++) {
        vector.push_back(i ^ 0x5555); // beyond 1 MiB in between: from the heap to regions
        deque.push_front(i);
        list.push_back(i);
        map[i * 7919 % 100003] = i;
        set.insert(i / 2);
        hash[i] = i;
        string += char('a' + i % 26);
    }
    std::vector<int, on_disk<int>> more(1000000, 1, allocator);
    EXPECT(diskalloc_owns(more.data()) && std::accumulate(more.begin(), more.end(), 0) == 1000000);
    std::sort(vector.begin(), vector.end());
    EXPECT(std::is_sorted(vector.begin(), vector.end()) && deque.back() == 0 && list.size() == 100000);
    EXPECT(map.size() == 100000 && set.size() == 50000 && hash[777] == 777 && string.size() == 100000);
    auto copy = vector;
    EXPECT(copy == vector && copy.get_allocator() == allocator && copy.get_allocator() == on_disk<char>(c));
    EXPECT(on_disk<int>(diskalloc::client(c.address())) != allocator);
    vector = std::move(copy);
    EXPECT(!thrown<std::bad_alloc>([&] { allocator.allocate(SIZE_MAX / 2); }).empty());

    diskalloc::memory_resource resource(c), same(c);
    std::pmr::map<int, std::pmr::string> words(&resource);
    std::pmr::vector<std::array<double, 8>> arrays(100000, &resource);
    for (int i = 0; i < 10000; i++)
        words[i] = "a word that is too long to lie in the string itself " + std::to_string(i);
    EXPECT(words[9999].size() > 50 && arrays[99999][7] == 0);
    EXPECT(resource == same && resource != *std::pmr::get_default_resource());
    for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
        for (std::size_t bytes : {1, 100, 5000, 2000000}) {
            void *p = resource.allocate(bytes, alignment);

            EXPECT(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
            resource.deallocate(p, bytes, alignment);
        }
}

// What was made from a client stays when the client goes.
static void a_client_lives_as_long_as_what_was_made_from_it(const char *address)
{
    auto make = [address] {
        diskalloc::client c(address);
        return std::vector<int, on_disk<int>>(1000, 5, on_disk<int>(c));
    };
    auto vector = make();
    numbers v{diskalloc::client(address)};

    vector.resize(500000, 5);
    EXPECT(std::accumulate(vector.begin(), vector.end(), 0) == 2500000);
    v.push_back(1);
}

static void the_struct_of_c_is_still_there(const diskalloc::client &c)
{
    struct diskalloc *with_struct = c.get();
    diskalloc *without = c.get();
    ::diskalloc *global = c.get();

    EXPECT(with_struct == without && without == global && diskalloc_address(global) == std::string(c.address()));
}

// Numbers from one to another; as many passes as one likes, or a single one.
template <class Category> struct counter {
    using iterator_category = Category;
    using value_type = std::uint64_t;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::uint64_t *;
    using reference = std::uint64_t;

    std::uint64_t at;

    std::uint64_t operator*() const
    {
        return at;
    }
    counter &operator++()
    {
        at++;
        return *this;
    }
    counter operator++(int)
    {
        return counter{at++};
    }
    bool operator==(const counter &other) const
    {
        return at == other.at;
    }
    bool operator!=(const counter &other) const
    {
        return at != other.at;
    }
};
using counting = counter<std::forward_iterator_tag>;
using counted_once = counter<std::input_iterator_tag>;

static void elements_are_assigned_from_any_range(const diskalloc::client &c)
{
    numbers v(c, {7, 8});

    v.assign(counting{1}, counting{5});
    EXPECT(v == numbers(c, {1, 2, 3, 4}));
    v.assign(counted_once{2}, counted_once{4});
    EXPECT(v == numbers(c, {2, 3}));
    v.assign(counted_once{2}, counted_once{2});
    EXPECT(v.empty());
}

// What was moved from can be used again.
template <class Container> static void moved_from(Container container, typename Container::value_type value)
{
    container.insert(container.end(), value);
    Container other(std::move(container));

    container.clear(); // NOLINT
    container.insert(container.end(), value);
    EXPECT(other.size() == 1 && container.size() == 1 && container.get_allocator() == other.get_allocator());
}

static void containers_can_be_used_again_when_they_were_moved_from(const diskalloc::client &c)
{
    on_disk<int> allocator(c), other(std::move(allocator));
    diskalloc::memory_resource resource(c), same(std::move(resource));
    diskalloc::client client(c), again(std::move(client));

    EXPECT(allocator == other && resource == same && client.get() == again.get()); // NOLINT
    moved_from(std::vector<int, on_disk<int>>(allocator), 1);
    moved_from(std::deque<int, on_disk<int>>(allocator), 1);
    moved_from(std::list<int, on_disk<int>>(allocator), 1);
    moved_from(std::set<int, std::less<>, on_disk<int>>(allocator), 1);
    moved_from(std::map<int, int, std::less<>, on_disk<std::pair<const int, int>>>(allocator), {1, 1});
    moved_from(std::basic_string<char, std::char_traits<char>, on_disk<char>>(allocator), 'a');
}

static void refusals_are_exceptions_with_numbers(const diskalloc::client &c, bool limited)
{
    EXPECT(thrown<std::system_error>([] { diskalloc::client("nonsense:"); }).find("diskalloc_open: ") == 0);
    try {
        numbers(c, "no such name/");
        EXPECT(false);
    } catch (const diskalloc::error &e) {
        EXPECT(e.code() == std::errc::invalid_argument && e.limit_name()[0] == '\0' && e.limit() == 0);
    }
    if (!limited)
        return;
    numbers v(c);
    on_disk<char> allocator(c);
    diskalloc::memory_resource resource(c);
    std::function<void()> too_much[] = {
        [&] { v.reserve(100 << 17); },
        [&] { v.resize(100 << 17); },
        [&] { v.append_uninit(100 << 17); },
        [&] { v.reserve_wait(100 << 17, 10); },
        [&] { v.resize(100 << 17, 5); },
        [&] { v.assign(100 << 17, 5); },
        [&] { v.assign(counting{0}, counting{100 << 17}); },
        [&] { v.assign(counted_once{0}, counted_once{100 << 17}); },
        [&] { v.insert(v.begin(), 100 << 17, 5); },
        [&] { v.insert(v.begin() + 1, counted_once{0}, counted_once{100 << 17}); },
        [&] { allocator.allocate(100 << 20); },
        [&] { static_cast<void>(resource.allocate(100 << 20)); },
        [&] {
            for (;;)
                v.push_back(1);
        },
    };
    for (auto &f : too_much) {
        v.assign({1, 2, 3});
        try {
            f();
            EXPECT(false);
        } catch (const diskalloc::error &e) {
            EXPECT(e.code().value() == EDQUOT && e.limit() > 0 && e.asked() > 0);
            EXPECT(std::string(e.limit_name()).find("bytes") != std::string::npos);
            EXPECT(std::string(e.what()).find("limit ") != std::string::npos);
            diskalloc::error copy(e);
            EXPECT(std::string(copy.what()) == e.what() && copy.used() == e.used());
        }
        // Only the pushes that succeeded have changed anything.
        EXPECT((v.size() == 3 || &f == std::end(too_much) - 1) && v[0] == 1 && v[1] == 2 && v[2] == 3);
        v.clear();
        v.shrink_to_fit();
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    diskalloc::client c(argv[1]);

    a_vector_is_one_of_the_standard(c);
    a_vector_moves_and_swaps(c);
    elements_are_made_as_their_type_says(c);
    a_named_vector_is_there_again(c);
    several_threads_fill_and_read(c);
    elements_are_assigned_from_any_range(c);
    the_containers_of_the_standard_work(c);
    containers_can_be_used_again_when_they_were_moved_from(c);
    a_client_lives_as_long_as_what_was_made_from_it(argv[1]);
    the_struct_of_c_is_still_there(c);
    refusals_are_exceptions_with_numbers(c, argc > 2);
    std::puts("well");
    return 0;
}
