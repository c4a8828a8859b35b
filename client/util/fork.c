// pthread_atfork calls the three functions below on the thread that forks.  The lock is taken before the fork and
// released after it, in the parent and in the child.  The lists of hooks are therefore whole in the child.
//
// Before the fork each client brings its background thread to a point where nothing is half done
// (client/util/background.c); that may take as long as one piece of the thread's work.  In the child the connections
// are closed first, then the clients get new locks, then the regions.
#include "client/util/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

TAILQ_HEAD(fork_hooks, fork_hook);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic unsigned generation;
static void (*_Atomic before)(void); // called before the lock is taken; NULL: nothing is
static struct fork_hooks hooks[FORK_ORDER_N] = {
    [FORK_CONNECTION] = TAILQ_HEAD_INITIALIZER(hooks[FORK_CONNECTION]),
    [FORK_CLIENT] = TAILQ_HEAD_INITIALIZER(hooks[FORK_CLIENT]),
    [FORK_REGION] = TAILQ_HEAD_INITIALIZER(hooks[FORK_REGION]),
};

// Calls the function at OFFSET in each hook.  The next hook is read first: a hook may unregister itself.
static void call_all(size_t offset)
{
    for (int order = 0; order < FORK_ORDER_N; order++)
        for (struct fork_hook *hook = TAILQ_FIRST(&hooks[order]), *next; hook; hook = next) {
            void (*function)(struct fork_hook *) = *(void (**)(struct fork_hook *))((char *)hook + offset);

            next = TAILQ_NEXT(hook, entry);
            if (function)
                function(hook);
        }
}

static void prepare(void)
{
    void (*first)(void) = before;

    if (first)
        first();
    pthread_mutex_lock(&lock);
    call_all(offsetof(struct fork_hook, prepare));
}

static void parent(void)
{
    call_all(offsetof(struct fork_hook, parent));
    pthread_mutex_unlock(&lock);
}

static void child(void)
{
    generation++;
    call_all(offsetof(struct fork_hook, child));
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    pthread_atfork(prepare, parent, child);
}

void fork_lock(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
}

void fork_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void fork_register(struct fork_hook *hook, enum fork_order order)
{
    hook->order = order;
    TAILQ_INSERT_TAIL(&hooks[order], hook, entry);
}

void fork_unregister(struct fork_hook *hook)
{
    TAILQ_REMOVE(&hooks[hook->order], hook, entry);
}

void fork_call_before(void (*function)(void))
{
    before = function;
}

unsigned fork_generation(void)
{
    return atomic_load(&generation);
}
