// Asking those who have a region attached whether it may be cut.
//
// A part of a region is taken away only if no other process maps it (op/consent.c).  Where the others have the region
// attached, they can be asked: each gets an event, takes the access to that part away from its process, and agrees
// (AgreeShrink).  Whoever does not want that says nothing.  When all have agreed, the shrink goes on as if it was
// alone.
//
// The shrink waits in the queue of wait.c meanwhile, parked: other operations of the region go on.  It is tried again
// when an agreement has come, and from time to time, because others may have detached the region; when agree_until has
// passed, it is refused as before.  Nothing of the region has changed until then.
//
// An agreement is worth something only as long as it is true, so it has to be known at the moment of prepare:
//   - It counts for one number.  A client that attaches the region once more maps it anew: it gets a new number, and an
//     agreement under the former one, which may be on its way, does not count.  So does each newcomer.
//   - A client that had agreed and asks for a grow takes its agreement back.  So does whoever asks for a size that lies
//     behind the cut.  The shrink is refused then: its client would have to ask again.
//   - A client that does not know these events can't be asked: the shrink is refused, also when such a client comes
//     later.
//   - A connection that ends without a detach leaves a process that may map the region: holders_are_lost.
//   - Children of processes that have left the region can't be asked.  The marks tell of them (op_check_alone).
// From prepare on the operation is the region's first one: those who attach or grow the region wait behind it, and
// find the new size.
//
// A region has one asker at a time.  A second shrink is refused, as two processes that wait for each other would both
// wait in vain.  Of a user, a bounded number of shrinks ask at a time; others are refused as if nobody could be asked.
#include "daemon/op/ask.h"

#include <errno.h>

#include "daemon/news.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/user.h"

enum { MOST_OF_USER = 64 }; // asks: the queue of wait.c looks at each of them

static struct user *user_of(const struct op *op)
{
    return op->asker ? op->asker : op->region->owner;
}

static struct attachment *own_attachment(const struct op *op)
{
    return op->by ? holders_find(&op->region->holders, op->by) : NULL;
}

// The asker itself has no need to agree.
bool op_ask_is_granted(const struct op *op)
{
    const struct holders *h = &op->region->holders;

    return op->region->asker == op && own_attachment(op) && h->n_agreed == h->n_attached - 1;
}

static void ask_one(struct op_env *env, struct attachment *a)
{
    struct holders *h = &a->region->holders;

    holders_set_agreed(h, a, false);
    a->is_asked = a->ask_is_due = true;
    a->ask = ++h->last_ask;
    news_add(env->news, a);
}

void op_ask_begin(struct op *op)
{
    struct region *r = op->region;
    struct attachment *own = own_attachment(op), *a;

    // First the loop turns once: a detach of the others may lie unread in their sockets.
    if (r->asker || op->agree_until == 0 || op->wait_since == 0 || op->cancelled || !op->env->news || !own)
        return;
    if (r->holders.n_hearing < r->holders.n_attached || user_of(op)->n_asks >= MOST_OF_USER)
        return;
    r->asker = op;
    user_of(op)->n_asks++;
    TAILQ_FOREACH (a, &r->holders.attachments, of_region)
        if (a != own)
            ask_one(op->env, a);
}

// A client that was told of the ask is told the size, which ends the ask: it may have agreed.
static void tell_end(struct op_env *env, struct attachment *a)
{
    if (!a->is_asked)
        return;
    holders_set_agreed(&a->region->holders, a, false);
    if (!a->ask_is_due) {
        a->told_size = UINT64_MAX;
        news_add(env->news, a);
    }
    a->is_asked = a->ask_is_due = false;
}

void op_ask_end(struct op *op)
{
    struct region *r = op->region;
    struct attachment *a;

    if (r->asker != op)
        return;
    r->asker = NULL;
    user_of(op)->n_asks--;
    TAILQ_FOREACH (a, &r->holders.attachments, of_region)
        tell_end(op->env, a);
}

void op_ask_failed(struct op *op)
{
    if (op->region->asker == op)
        op->why = "others have the region attached, and not all of them agreed to the shrink in time";
    if (op->objection)
        op->why = op->objection;
    op_ask_end(op);
}

// The shrink of R that waits for agreement, and was not begun yet.
static struct op *waiting_asker(const struct region *r)
{
    return r->asker && r->asker->is_waiting ? r->asker : NULL;
}

static void refuse(struct op_env *env, struct op *asker, const char *why)
{
    op_ask_end(asker);
    asker->objection = why;
    asker->agree_until = 0;
    wait_retry(env->wait, asker);
}

int op_ask_agree(struct op_env *env, struct attachment *a, uint64_t number)
{
    struct op *asker = waiting_asker(a->region);

    if (!asker || !a->is_asked || a->ask_is_due || a->ask != number)
        return -ESTALE;
    holders_set_agreed(&a->region->holders, a, true);
    if (op_ask_is_granted(asker))
        wait_retry(env->wait, asker);
    return 0;
}

void op_ask_newcomer(struct op_env *env, struct attachment *a)
{
    struct op *asker = waiting_asker(a->region);

    if (!asker || a == own_attachment(asker))
        return;
    if (a->hears)
        ask_one(env, a);
    else
        refuse(env, asker, "a client that can't be asked has attached the region");
}

void op_ask_object(struct op_env *env, struct attachment *a, uint64_t size)
{
    struct op *asker = waiting_asker(a->region);

    if (asker && (a->agrees || size > asker->size))
        refuse(env, asker, "another process has asked for bytes that were to be cut");
}
