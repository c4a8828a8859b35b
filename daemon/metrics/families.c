// The table of all metrics, and the functions that write the samples of the daemon, its regions and operations; those
// of accounts and disks are in account_samples.c and disk_samples.c.  A metric that is new here needs its row in
// diskalloc-metrics(7): a test compares them.
#include "daemon/metrics/families.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/fence/fence.h"
#include "daemon/metrics/accounts.h"
#include "daemon/metrics/exposition.h"
#include "daemon/metrics/samples.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"
#include "daemon/store/store.h"
#include "daemon/work/worker.h"
#include "proto/diskalloc.pb-c.h"

// ---- The daemon ----

static void write_build(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample_of(e, "version", DISKALLOC_VERSION, 1);
}

static void write_started(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->started);
}

static void write_cpu(struct exposition *e, const struct family *f)
{
    struct timespec used = {0};

    (void)f;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    exposition_begin(e);
    exposition_seconds(e, (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000);
}

static void write_resident(struct exposition *e, const struct family *f)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size, resident;

    (void)f;
    if (file && fscanf(file, "%lu %lu", &size, &resident) == 2)
        exposition_sample(e, (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE));
    if (file)
        fclose(file);
}

static void write_workers(struct exposition *e, const struct family *f)
{
    struct worker_load load;

    worker_get_load(e->source->op->pool, &load);
    exposition_sample(e, f->argument == 0 ? load.threads : f->argument == 1 ? load.queued : load.running);
}

// A number of the tally, which lies at this offset.
static void write_tally(struct exposition *e, const struct family *f)
{
    exposition_sample(e, *(const uint64_t *)((const char *)&e->source->op->tally + f->argument));
}

static void write_reloads(struct exposition *e, const struct family *f)
{
    const struct tally *t = &e->source->op->tally;

    (void)f;
    exposition_sample_of(e, "result", "done", t->reloads[1]);
    exposition_sample_of(e, "result", "failed", t->reloads[0]);
}

// ---- Regions ----

static void write_orphans(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->op->regions->n_orphans);
}

// ---- Operations, requests, fences ----

static void write_durations(struct exposition *e, const struct family *f)
{
    (void)f;
    for (int i = 0; i < TALLY_OPERATION_N; i++)
        exposition_histogram(e, "operation", tally_operation_names[i], &e->source->op->tally.operations[i]);
}

static void write_waits(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_histogram(e, NULL, NULL, &e->source->op->tally.waits);
}

static void write_operations(struct exposition *e, const struct family *f)
{
    (void)f;
    for (int i = 0; i < TALLY_OPERATION_N; i++)
        for (int result = 0; result < TALLY_RESULT_N; result++) {
            exposition_begin(e);
            exposition_label(e, "operation", tally_operation_names[i]);
            exposition_label(e, "result", tally_result_names[result]);
            exposition_value(e, e->source->op->tally.results[i][result]);
        }
}

static void write_early(struct exposition *e, const struct family *f)
{
    const struct tally *t = &e->source->op->tally;

    (void)f;
    exposition_sample_of(e, "result", "granted", t->early[1]);
    exposition_sample_of(e, "result", "refused", t->early[0]);
}

static void write_requests(struct exposition *e, const struct family *f)
{
    const ProtobufCMessageDescriptor *d = &diskalloc__v1__request__descriptor;

    (void)f;
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && d->fields[i].id < TALLY_REQUESTS)
            exposition_sample_of(e, "request", d->fields[i].name, e->source->op->tally.requests[d->fields[i].id]);
}

static void write_errors(struct exposition *e, const struct family *f)
{
    const ProtobufCEnumDescriptor *d = &diskalloc__v1__error_code__descriptor;

    (void)f;
    for (unsigned i = 0; i < d->n_values; i++)
        if (d->values[i].value > 0 && d->values[i].value < TALLY_ERRORS)
            exposition_sample_of(e, "code", d->values[i].name, e->source->op->tally.errors[d->values[i].value]);
}

static void write_fences(struct exposition *e, const struct family *f)
{
    static const char *const fences[] = {"landlock", "passthrough", "tripwire", "project quotas"};

    (void)f;
    for (size_t i = 0; i < sizeof fences / sizeof *fences; i++) {
        bool holds = e->source->n_disks > 0;

        for (size_t k = 0; k < e->source->n_disks; k++) {
            const struct fence *fence = e->source->disks[k].fence;

            holds &= fence && strstr(fence_names(fence), fences[i]) != NULL;
        }
        exposition_sample_of(e, "fence", fences[i], holds);
    }
}

static void write_mended(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->source->op->n_mended);
}

#define TALLY(member) .write = write_tally, .argument = offsetof(struct tally, member)

// clang-format off
static const struct family families[] = {
    {"diskalloc_build", FAMILY_INFO, NULL, "The version of the daemon.", true, write_build, 0},
    {"diskalloc_start_time_seconds", FAMILY_GAUGE, "seconds", "When the daemon started, since 1970.", true, write_started, 0},
    {"process_cpu_seconds", FAMILY_COUNTER, "seconds", "Processor time of the daemon.", false, write_cpu, 0},
    {"process_resident_memory_bytes", FAMILY_GAUGE, "bytes", "Memory of the daemon.", false, write_resident, 0},
    {"diskalloc_config_reloads", FAMILY_COUNTER, NULL, "Reloads of the configuration.", false, write_reloads, 0},
    {"diskalloc_config_last_reload_successful", FAMILY_GAUGE, NULL, "Whether the last reload of the configuration was done: 1, or 0.",
     false, TALLY(reload_ok)},

    {"diskalloc_account_bytes", FAMILY_GAUGE, "bytes", "Bytes that are charged to the account.", true, samples_used, QUOTA_BYTES},
    {"diskalloc_account_limit_bytes", FAMILY_GAUGE, "bytes", "The limit of the account's bytes.", true, samples_limit, QUOTA_BYTES},
    {"diskalloc_account_soft_limit_bytes", FAMILY_GAUGE, "bytes", "Above this for longer than the grace period, growth is refused.",
     true, samples_soft_limit, 0},
    {"diskalloc_account_grace_end_timestamp_seconds", FAMILY_GAUGE, "seconds",
     "When growth is refused to an account that is above its soft limit, since 1970.", true, samples_grace_end, 0},
    {"diskalloc_account_regions", FAMILY_GAUGE, NULL, "Regions that are charged to the account.", true, samples_used, QUOTA_REGIONS},
    {"diskalloc_account_regions_limit", FAMILY_GAUGE, NULL, "The limit of the account's regions.", true, samples_limit, QUOTA_REGIONS},
    {"diskalloc_account_connections", FAMILY_GAUGE, NULL, "Connections that are charged to the account.", true, samples_used,
     QUOTA_CONNECTIONS},
    {"diskalloc_account_connections_limit", FAMILY_GAUGE, NULL, "The limit of the account's connections.", true, samples_limit,
     QUOTA_CONNECTIONS},
    {"diskalloc_account_waiters", FAMILY_GAUGE, NULL, "Requests that wait for a limit or the disk and are charged to the account.",
     true, samples_waiters, 0},
    {"diskalloc_account_refusals", FAMILY_COUNTER, NULL, "Requests that a limit of the account has refused.", true,
     samples_account_refusals, 0},
    {"diskalloc_users", FAMILY_GAUGE, NULL, "Users that have connections or regions.", false, samples_users, 0},
    {"diskalloc_accounts_hidden", FAMILY_GAUGE, NULL, "Accounts that are not shown, because others use more.", false, samples_hidden, 0},
    {"diskalloc_refusals", FAMILY_COUNTER, NULL, "Requests that were refused, by the kind of account, or the disk, and the limit.",
     false, samples_refusals, 0},

    {"diskalloc_orphans", FAMILY_GAUGE, NULL, "Regions that wait to be removed.", true, write_orphans, 0},
    {"diskalloc_foreign_files", FAMILY_GAUGE, NULL, "Entries of spill directories that are not the daemon's.", true, samples_foreign, 0},
    {"diskalloc_unreadable_files", FAMILY_GAUGE, NULL, "Files and directories of regions that could not be read when the daemon started.", true,
     samples_unreadable, 0},
    {"diskalloc_regions_lacking_blocks", FAMILY_GAUGE, NULL,
     "Regions that had granted bytes without blocks when the daemon started.", true, samples_lacking, 0},

    {"diskalloc_disk", FAMILY_INFO, NULL, "A spill directory, its file system and its guarantee.", true, samples_disk_info, 0},
    {"diskalloc_disk_size_bytes", FAMILY_GAUGE, "bytes", "Size of the file system.", true, samples_disk, DISK_SIZE},
    {"diskalloc_disk_available_bytes", FAMILY_GAUGE, "bytes", "Space of the file system that is free for the daemon.", true, samples_disk,
     DISK_AVAILABLE},
    {"diskalloc_disk_keep_free_bytes", FAMILY_GAUGE, "bytes", "Space that is never granted.", true, samples_disk, DISK_KEEP_FREE},
    {"diskalloc_disk_granted_bytes", FAMILY_GAUGE, "bytes", "Bytes that are granted on the disk.", true, samples_disk, DISK_GRANTED},
    {"diskalloc_disk_regions", FAMILY_GAUGE, NULL, "Regions on the disk.", true, samples_disk, DISK_REGIONS},
    {"diskalloc_disk_healthy", FAMILY_GAUGE, NULL, "Whether the disk is at its place, answers and can be written to: 1, or 0.", true,
     samples_healthy, 0},
    {"diskalloc_disk_quota_limit_bytes", FAMILY_GAUGE, "bytes", "Bytes that a quota of the file system itself allows.", true,
     samples_disk_limits, 0},
    {"diskalloc_disk_quota_used_bytes", FAMILY_GAUGE, "bytes", "Bytes of that quota that are in use.", true, samples_disk_limits, 2},
    {"diskalloc_disk_inodes_limit", FAMILY_GAUGE, NULL, "Inodes that the file system, or a quota of it, allows.", true,
     samples_disk_limits, 1},
    {"diskalloc_disk_inodes_used", FAMILY_GAUGE, NULL, "Inodes that are in use.", true, samples_disk_limits, 3},

    {"diskalloc_operation_duration_seconds", FAMILY_HISTOGRAM, "seconds",
     "How long operations on regions have taken that were done, without the time that they waited for a limit.", false,
     write_durations, 0},
    {"diskalloc_wait_duration_seconds", FAMILY_HISTOGRAM, "seconds",
     "How long operations have waited for a limit, for the disk or for the agreement of others.", false, write_waits, 0},
    {"diskalloc_operations", FAMILY_COUNTER, NULL, "Operations on regions, by their result.", false, write_operations, 0},
    {"diskalloc_early_growths", FAMILY_COUNTER, NULL, "Requests of space that was not needed yet.", false, write_early, 0},
    {"diskalloc_io_errors", FAMILY_COUNTER, NULL, "Operations that failed because the disk reported an error.", false,
     TALLY(io_errors)},
    {"diskalloc_requests", FAMILY_COUNTER, NULL, "Requests of clients.", false, write_requests, 0},
    {"diskalloc_request_errors", FAMILY_COUNTER, NULL, "Replies with an error, by its code.", false, write_errors, 0},
    {"diskalloc_connections", FAMILY_COUNTER, NULL, "Connections that came.", false, TALLY(connections)},

    {"diskalloc_worker_threads", FAMILY_GAUGE, NULL, "Threads for the disk.", false, write_workers, 0},
    {"diskalloc_worker_queued", FAMILY_GAUGE, NULL, "Pieces of work that wait for a thread.", false, write_workers, 1},
    {"diskalloc_worker_running", FAMILY_GAUGE, NULL, "Pieces of work that threads are doing.", false, write_workers, 2},

    {"diskalloc_fence_active", FAMILY_GAUGE, NULL, "Whether the fence around descriptors holds: 1, or 0.", true, write_fences, 0},
    {"diskalloc_fence_events", FAMILY_COUNTER, NULL, "Changes of files that the tripwire has reported, the daemon's own among them.",
     false, TALLY(fence_events)},
    {"diskalloc_fence_overflows", FAMILY_COUNTER, NULL, "Times that more changes came than the kernel keeps.", false,
     TALLY(fence_overflows)},
    {"diskalloc_fence_tampered", FAMILY_COUNTER, NULL, "Changes of regions' files behind the daemon's back.", false,
     TALLY(fence_tampered)},
    {"diskalloc_fence_frozen", FAMILY_COUNTER, NULL, "Regions that were frozen because of such changes.", false, TALLY(fence_frozen)},
    {"diskalloc_fence_mended", FAMILY_COUNTER, NULL, "Files that were made again what is granted of them.", false, write_mended, 0},
};
// clang-format on

enum { FAMILIES = sizeof families / sizeof *families };

void families_write(struct exposition *e)
{
    for (size_t i = 0; i < FAMILIES; i++)
        exposition_family(e, &families[i]);
    exposition_end(e);
}

size_t families_write_part(struct exposition *e, size_t first, size_t most)
{
    for (size_t i = first; i < FAMILIES; i++) {
        const size_t n = e->out.n;

        if (families[i].for_all)
            exposition_family(e, &families[i]);
        if (e->out.n > most && n > 0) {
            e->out.n = n;
            return i;
        }
    }
    exposition_end(e);
    return 0;
}
