// A question to the user database for which nobody waits too long: see question.h.
//
// A question runs on a thread of its own, and the thread can't be stopped while the database does not answer.  So the
// questions that have no answer yet are kept in a list, of MOST at the most.  Whoever asks such a question again waits
// for the same answer.  If the list is full, another question waits until an answer makes room.
//
// There is one lock, for the list and all questions.  Nobody asks the database under it.
#include "daemon/question.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "proto/util/clock.h"
#include "proto/util/nss.h"
#include "proto/util/thread.h"

enum {
    STACK_SIZE = 512 * 1024, // bytes: modules of the user database run on it
    MOST = 4,                // threads that wait for the database, however many questions are asked
};

struct question {
    TAILQ_ENTRY(question) entry; // of the list, until DONE
    unsigned n_refs;             // the askers, and the thread until DONE
    bool done;
    bool is_user;
    int result;
    uint32_t id;
    char name[];
};
TAILQ_HEAD(question_list, question);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER; // some question is done
static struct question_list pending = TAILQ_HEAD_INITIALIZER(pending);
static unsigned n_pending;

int question_look_up(bool is_user, const char *name, uint32_t *ret)
{
    return is_user ? nss_find_user(name, ret) : nss_find_group(name, ret);
}

// The functions below, up to run_question, are called under the lock.

static void unref(struct question *q)
{
    if (--q->n_refs == 0)
        free(q);
}

static void leave_list(struct question *q)
{
    q->done = true;
    TAILQ_REMOVE(&pending, q, entry);
    n_pending--;
    pthread_cond_broadcast(&answered);
    unref(q);
}

static struct question *find(bool is_user, const char *name)
{
    struct question *q;

    TAILQ_FOREACH (q, &pending, entry)
        if (q->is_user == is_user && strcmp(q->name, name) == 0)
            return q;
    return NULL;
}

static void *run_question(void *data)
{
    struct question *q = data;
    uint32_t id = 0;
    int result = question_look_up(q->is_user, q->name, &id);

    pthread_mutex_lock(&lock);
    q->result = result;
    q->id = id;
    leave_list(q);
    pthread_mutex_unlock(&lock);
    return NULL;
}

// Under the lock.  0 or -errno.
static int begin(bool is_user, const char *name, struct question **ret)
{
    struct question *q = calloc(1, sizeof *q + strlen(name) + 1);
    pthread_t thread;
    int r;

    if (!q)
        return -ENOMEM;
    q->n_refs = 1;
    q->is_user = is_user;
    strcpy(q->name, name);
    TAILQ_INSERT_TAIL(&pending, q, entry);
    n_pending++;
    r = thread_start(&thread, STACK_SIZE, run_question, q);
    if (r < 0) {
        leave_list(q);
        return r;
    }
    pthread_detach(thread);
    *ret = q;
    return 0;
}

// Under the lock, which is released meanwhile: until some question has an answer.  0 or -ETIMEDOUT.
static int wait_for_answer(uint64_t deadline)
{
    struct timespec until = clock_timespec(deadline);

    return -pthread_cond_clockwait(&answered, &lock, CLOCK_MONOTONIC, &until);
}

// Under the lock.  Finds the question or begins it, when there is room.  0 or -errno.
static int join(bool is_user, const char *name, uint64_t deadline, struct question **ret)
{
    int r = 0;

    while (!(*ret = find(is_user, name)) && n_pending >= MOST && r == 0)
        r = wait_for_answer(deadline);
    if (!*ret && r == 0)
        r = begin(is_user, name, ret);
    return *ret ? 0 : r;
}

int question_ask(bool is_user, const char *name, uint64_t deadline, uint32_t *ret)
{
    struct question *q;
    int r;

    pthread_mutex_lock(&lock);
    r = join(is_user, name, deadline, &q);
    if (r == 0) {
        q->n_refs++;
        while (r == 0 && !q->done)
            r = wait_for_answer(deadline);
        if (q->done) {
            r = q->result;
            *ret = q->id;
        }
        unref(q);
    }
    pthread_mutex_unlock(&lock);
    return r;
}
