// See scripted_task.h.
#include "tests/lib/scripted_task.h"

#include <semaphore.h>

#include "client/util/background.h"
#include "tests/lib/proc_self.h"

uint64_t read_blocked(pid_t tid)
{
    char path[64], line[256];
    unsigned long long mask = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            break;
    if (f)
        fclose(f);
    return mask;
}

enum background_result run(struct background_task *t)
{
    struct job *j = (struct job *)t;

    j->inside = true;
    j->tid = gettid();
    j->blocked = read_blocked(j->tid);
    if (j->notes)
        j->notes[strlen(j->notes)] = j->name;
    j->n_run++;
    if (j->waits) {
        sem_post(&j->started);
        sem_wait(&j->go);
    }
    j->inside = false;
    if (j->n_left > 0)
        j->n_left--;
    return j->n_left > 0 ? BACKGROUND_MORE : BACKGROUND_DONE;
}

enum background_result run_and_go(struct background_task *t)
{
    return run(t) == BACKGROUND_MORE ? BACKGROUND_MORE : BACKGROUND_GONE;
}

void gone(struct background_task *t)
{
    ((struct job *)t)->n_gone++;
}

void forked(struct background_task *t)
{
    ((struct job *)t)->n_forked++;
}

void job_init(struct job *j, struct background *b, unsigned n_pieces)
{
    *j = (struct job){.task = {.run = run, .forked = forked}, .background = b, .n_left = n_pieces};
    sem_init(&j->started, 0, 0);
    sem_init(&j->go, 0, 0);
}

void start_at(struct background *b, struct job *j, unsigned n_pieces)
{
    background_init(b, true);
    job_init(j, b, n_pieces);
    j->waits = true;
    assert_true(background_start(b));
    background_submit(b, &j->task);
    sem_wait(&j->started);
    j->waits = false;
}

bool waiter_is_at_rest(void *data)
{
    struct waiter *w = data;

    return w->returned || (w->tid != 0 && is_asleep(w->tid));
}
