// See prefetch_state.h.
#include "tests/lib/prefetch_state.h"

#include <pthread.h>
#include <sched.h>

#include "client/diskalloc.h"
#include "client/region/region.h"
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/proc_self.h"

uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

bool is_idle(void *data)
{
    struct diskalloc_region *r = data;
    struct background *b = &r->da->background;
    bool idle;

    pthread_mutex_lock(&b->lock);
    idle = !r->prefetch.task.queued && !r->prefetch.task.running;
    pthread_mutex_unlock(&b->lock);
    return idle;
}

size_t present(const struct u64s *v, uint64_t from, uint64_t to)
{
    return from < to ? count_present((const char *)v->data, from, to) : 0;
}

bool cannot_help(void)
{
    cpu_set_t set;

    if (prefetch_is_possible() && sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
        return false;
    print_message("skipped: one processor, or a kernel that can't make pages ahead\n");
    return true;
}
