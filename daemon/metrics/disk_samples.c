// The samples of disks: their space, their state, and what lies there.
#include "daemon/metrics/samples.h"

#include "daemon/disk.h"
#include "daemon/metrics/exposition.h"
#include "daemon/metrics/source.h"
#include "daemon/store/store.h"

void samples_foreign(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->n_foreign);
}

void samples_unreadable(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->n_unreadable);
}

void samples_lacking(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->n_lacking_blocks);
}

void samples_disk_info(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->source->n_disks; i++) {
        const struct metrics_disk *d = &e->source->disks[i];

        exposition_begin(e);
        exposition_label(e, "disk", d->path);
        exposition_label(e, "file_system", d->guarantee->file_system);
        exposition_label(e, "guarantee", d->guarantee->hard ? "hard" : "soft");
        exposition_value(e, 1);
    }
}

static uint64_t disk_number(const struct metrics_disk *d, enum disk_number which)
{
    switch (which) {
    case DISK_SIZE:
        return d->space->total;
    case DISK_AVAILABLE:
        return d->space->available;
    case DISK_KEEP_FREE:
        return d->keep_free;
    case DISK_GRANTED:
        return d->granted;
    default:
        return d->n_regions;
    }
}

void samples_disk(struct exposition *e, const struct family *f)
{
    for (size_t i = 0; i < e->source->n_disks; i++)
        exposition_sample_of(e, "disk", e->source->disks[i].path,
                             disk_number(&e->source->disks[i], (enum disk_number)f->argument));
}

// A spill directory that is not in use is not healthy, if the configuration names it.
void samples_healthy(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->source->n_disks; i++)
        exposition_sample_of(e, "disk", e->source->disks[i].path, e->source->disks[i].health->problem[0] == '\0');
    for (const struct disk_absence *a = e->source->absences; a; a = a->next)
        if (a->is_configured)
            exposition_sample_of(e, "disk", a->dir, 0);
}

void samples_disk_limits(struct exposition *e, const struct family *f)
{
    for (size_t i = 0; i < e->source->n_disks; i++) {
        const struct metrics_disk *d = &e->source->disks[i];

        for (unsigned k = 0; k < d->health->n_limits; k++) {
            const struct full_limit *l = &d->health->limits[k];

            if (l->counts_files != (f->argument & 1) || l->limit == 0)
                continue;
            exposition_begin(e);
            exposition_label(e, "disk", d->path);
            exposition_label(e, "limit", l->name);
            exposition_value(e, f->argument & 2 ? l->used : l->limit);
        }
    }
}
