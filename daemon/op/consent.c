// Taking bytes away only while no other process maps them: that process would die of SIGBUS.
//
// The holders of the region are asked first (region_is_shared).  Others who have it attached may have agreed (ask.c).
//  After a restart of the daemon they know only how many
// processes may map the region.  If the client that asks is the only one that has it attached, the marks on the file
// tell whether any of the others still lives.  An attachment of another client may be without a mapping, and still
// counts.  The marks also tell of the children of processes that have detached the region or have ended.
//
// Regions that an older daemon has made have descriptors without marks.  They get marks from then on when a client
// attaches them while nobody uses the file (note_sharing in access.c).
//
// Descriptors of the passthrough fence take no marks, but the fence knows of all that it has opened, until its server
// or the daemon ends (generation).  All that is known afterwards is the record, and who comes back.  A region that only
// one process ever had (its record does not say RECORD_SHARED) is that process's again when it comes back: it looks
// after its own children.  Of any other one nothing is taken away before the kernel says, at an attach, that nobody
// uses the file.  So a process that attaches a region after another one has left it is asked about at once, while the
// record can still be written (op_has_unknown_children).  Nor is anything taken away there by agreement after a process
// has left: the fence can tell one process from others, but not several.
#include "daemon/op/consent.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/fence/fence.h"
#include "daemon/op/ask.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"

static bool has_passthrough(const struct op *op)
{
    return op->region->disk->fence && fence_waits(op->region->disk->fence);
}

void op_note_unused(struct op *op)
{
    op->record.flags &= ~(uint32_t)(RECORD_MARKED | RECORD_PASSTHROUGH);
    op->record.flags |= has_passthrough(op) ? RECORD_PASSTHROUGH : RECORD_MARKED;
}

void op_note_used(struct op *op)
{
    if (!has_passthrough(op))
        return;
    op->record.flags &= ~(uint32_t)RECORD_MARKED;
    op->record.flags |= RECORD_PASSTHROUGH;
}

bool op_has_unknown_children(const struct op *op)
{
    // A process that maps the region already hides its children and those of others.
    return has_passthrough(op) && op->region->holders.left && op->claim != HOLDER_MAPS;
}

// Whether somebody knows of each process that maps the region: the marks, or the fence.
static bool is_known(const struct op *op)
{
    const struct region *r = op->region;

    if (r->record.flags & RECORD_MARKED)
        return true;
    return r->generation != 0 && has_passthrough(op) && r->generation == fence_generation(op->region->disk->fence);
}

// Only marks tell several processes from further ones.
static bool knows_several(const struct region *r)
{
    return r->holders.n_attached <= 1 || r->record.flags & RECORD_MARKED;
}

// Whether the marks have to be asked, because nobody else knows.  SHARED: by what the holders know.  GRANTED: the
// others who have the region attached have agreed.  A process that can't be told from others has no marks of its own:
// it would never be alone.
static bool asks_marks(const struct op *op, bool shared, bool granted)
{
    const struct holders *h = &op->region->holders;

    if ((h->n_attached > 1 && !granted) || !is_known(op) || !knows_several(op->region))
        return false;
    return shared ? holders_are_uncertain(h) : h->left && op->identity != 0;
}

// Whether processes that have left the region may have left children behind, and nobody can tell.
static bool is_left_unknown(const struct op *op)
{
    const struct region *r = op->region;

    return r->record.flags & RECORD_PASSTHROUGH && r->holders.left && (!is_known(op) || !knows_several(r));
}

static int compare_identities(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int list_identities(struct op *op)
{
    const struct holders *h = &op->region->holders;
    const struct attachment *a;
    size_t n = 0;

    op->identities = calloc(h->n_attached, sizeof *op->identities);
    if (!op->identities)
        return -ENOMEM;
    TAILQ_FOREACH (a, &h->attachments, of_region)
        op->identities[n++] = holder_identity(&a->holder);
    qsort(op->identities, n, sizeof *op->identities, compare_identities);
    op->n_identities = n;
    return 0;
}

int op_prepare_alone(struct op *op)
{
    bool granted = op_ask_is_granted(op);
    bool shared = granted ? holders_are_lost(&op->region->holders) : region_is_shared(op->region);

    op->asks_marks = asks_marks(op, shared, granted);
    if (op->asks_marks)
        op->instant = false;
    if ((shared && !op->asks_marks) || is_left_unknown(op)) {
        op_ask_begin(op);
        return -EBUSY;
    }
    free(op->identities);
    op->identities = NULL;
    return op->asks_marks && op->region->holders.n_attached > 1 ? list_identities(op) : 0;
}

int op_check_alone(struct op *op)
{
    const struct region *region = op->region;
    int r = 1;

    if (op->asks_marks && op->identities)
        r = store_are_alone(op->file, op->identities, op->n_identities);
    else if (op->asks_marks && region->record.flags & RECORD_MARKED)
        r = store_is_alone(op->file, op->identity);
    else if (op->asks_marks)
        r = fence_is_alone(op->region->disk->fence, region->generation, &region->record.handle, op->identity);
    return r < 0 ? r : r == 0 ? -EBUSY : 0;
}

// If the client is not attached any more, its connection has ended meanwhile, and its process is lost and may map the
// region.
void op_conclude_alone(struct op *op)
{
    if (op->asks_marks && op->result == 0 && op->region->holders.n_attached == 1)
        holders_forget(&op->region->holders);
}
