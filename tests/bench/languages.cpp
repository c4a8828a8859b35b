// Strings and C++ vectors against what a program would use otherwise, in processes that alternate:
//   - strings of 8 to 40 bytes pushed to a diskalloc_strvec, and to a std::vector<std::string>; in memory, and with
//     more of them than a memory limit leaves (then std::vector needs swap, or is killed);
//   - numbers pushed to diskalloc::vector, and to a vector of <diskalloc/vec.h>.
// Prints ratios of medians: more than 1 is faster than the one that was named last.  No test.
//
// diskalloc-bench-languages [MILLIONS [ADDRESS]]: 8 million strings, and eight times as many numbers; dir: on
// $DISKALLOC_TEST_DIR or /var/tmp by default.
#include <diskalloc/allocator.hpp>
#include <diskalloc/strvec.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
#include "tests/lib/cgroup.h"
}

DISKALLOC_VEC_DEFINE(numbers, std::uint64_t)

namespace
{
constexpr int rounds = 5;
constexpr std::size_t texts = 1 << 16; // as many different strings, which stay in the processor's caches

std::string address;
std::string text;
std::vector<std::uint32_t> places;

double now()
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

[[noreturn]] void die()
{
    std::fprintf(stderr, "diskalloc-bench-languages: %s\n", diskalloc_last_error());
    std::exit(1);
}

void make_texts()
{
    std::uint64_t state = 1;

    for (std::size_t i = 0; i <= texts; i++) {
        places.push_back(std::uint32_t(text.size()));
        state = state * 6364136223846793005 + 1442695040888963407;
        text.append(8 + (state >> 33) % 33, char('a' + i % 26));
    }
}

double push_strvec(std::size_t n)
{
    struct diskalloc_strvec v;
    diskalloc *da;

    if (diskalloc_open(address.c_str(), nullptr, &da) < 0 || diskalloc_strvec_init(&v, da) < 0)
        die();
    double begin = now();
    for (std::size_t i = 0; i < n; i++) {
        std::size_t k = i % texts;

        if (diskalloc_strvec_push(&v, text.data() + places[k], places[k + 1] - places[k]) < 0)
            die();
    }
    double seconds = now() - begin;
    diskalloc_strvec_deinit(&v);
    diskalloc_close(da);
    return seconds;
}

double push_std_strings(std::size_t n)
{
    std::vector<std::string> v;
    double begin = now();

    for (std::size_t i = 0; i < n; i++) {
        std::size_t k = i % texts;

        v.emplace_back(text.data() + places[k], places[k + 1] - places[k]);
    }
    return now() - begin;
}

double push_cpp(std::size_t n)
{
    diskalloc::client c(address.c_str());
    diskalloc::vector<std::uint64_t> v(c);
    double begin = now();

    for (std::uint64_t i = 0; i < n; i++)
        v.push_back(i);
    return now() - begin;
}

double push_c(std::size_t n)
{
    struct numbers v;
    diskalloc *da;

    if (diskalloc_open(address.c_str(), nullptr, &da) < 0 || numbers_init(&v, da) < 0)
        die();
    double begin = now();
    for (std::uint64_t i = 0; i < n; i++)
        if (numbers_push(&v, i) < 0)
            die();
    double seconds = now() - begin;
    numbers_deinit(&v);
    diskalloc_close(da);
    return seconds;
}

// In a process of its own, below GROUP if there is one.  0: it was killed.
double measured(double (*run)(std::size_t), std::size_t n, const struct cgroup *group)
{
    double *seconds = static_cast<double *>(
        mmap(nullptr, sizeof *seconds, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t pid = seconds == MAP_FAILED ? -1 : fork();

    if (pid == 0) {
        if (group && cgroup_enter(group) < 0)
            _exit(1);
        *seconds = run(n);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, nullptr, 0) < 0) {
        std::perror("a run");
        std::exit(1);
    }
    double result = *seconds;
    munmap(seconds, sizeof *seconds);
    return result;
}

void compare(const char *what, std::size_t n, double (*ours)(std::size_t), double (*other)(std::size_t),
             const struct cgroup *group)
{
    std::vector<double> ratios, ours_ns, other_ns;

    for (int i = 0; i < rounds; i++) {
        double b = measured(other, n, group), a = measured(ours, n, group);

        if (a == 0) {
            std::printf("%-64s did not end\n", what);
            return;
        }
        ours_ns.push_back(a * 1e9 / double(n));
        other_ns.push_back(b * 1e9 / double(n));
        ratios.push_back(b / a);
        if (b == 0 && i >= 1)
            break;
    }
    for (auto *v : {&ratios, &ours_ns, &other_ns})
        std::sort(v->begin(), v->end());
    std::size_t middle = ratios.size() / 2;
    if (ratios.front() == 0)
        std::printf("%-64s the other was killed; %.1f ns\n", what, ours_ns[middle]);
    else
        std::printf("%-64s %.2f (%.2f to %.2f): %.1f ns, the other %.1f ns\n", what, ratios[middle], ratios.front(),
                    ratios.back(), ours_ns[middle], other_ns[middle]);
    std::fflush(stdout);
}
} // namespace

int main(int argc, char **argv)
{
    std::size_t n = (argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 8) * 1000000;
    const char *base = std::getenv("DISKALLOC_TEST_DIR"), *why = "";
    std::string directory = std::string(base ? base : "/var/tmp") + "/diskalloc-bench-XXXXXX";
    struct cgroup group;

    if (argc > 2)
        address = argv[2];
    else if (mkdtemp(directory.data()))
        address = "dir:" + directory;
    if (n == 0 || address.empty()) {
        std::fprintf(stderr, "usage: diskalloc-bench-languages [MILLIONS [ADDRESS]]\n");
        return 2;
    }
    make_texts();
    compare("strvec push against std::vector<std::string>, in memory", n, push_strvec, push_std_strings, nullptr);
    // A string takes 32 bytes in a strvec, and 66 in the other on the average.
    if (cgroup_make(&group, n * 16, &why) == 0) {
        compare("strvec push against std::vector<std::string>, beyond memory", n, push_strvec, push_std_strings,
                &group);
        cgroup_remove(&group);
    } else {
        std::printf("beyond memory: %s\n", why);
    }
    compare("diskalloc::vector push_back against the C vector's push", 8 * n, push_cpp, push_c, nullptr);
    if (argc <= 2)
        rmdir(directory.c_str());
    return 0;
}
