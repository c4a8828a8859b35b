// The disks of the running daemon: see disks.h.
#include "daemon/disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/fences.h"
#include "daemon/log.h"
#include "daemon/state.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

int disks_open(struct daemon *d, const struct config *config)
{
    _cleanup_free_ char *error = NULL;
    struct daemon_disk *x = calloc(1, sizeof *x);
    int r = x ? 0 : -ENOMEM;

    if (r == 0) {
        x->daemon = d;
        d->home = d->request.op.disks = &x->disk;
        r = store_open(config->spill_dir, config->spill_dir_require_mount, &file_ops_system, &x->disk.store, &error);
    }
    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r;
}

int disks_fence(struct daemon *d, const struct config *config)
{
    int r = 0;

    for (struct disk *disk = d->request.op.disks; r == 0 && disk; disk = disk->next)
        r = fences_add(container_of(disk, struct daemon_disk, disk), config);
    return r;
}

void disks_configure(struct daemon *d, const struct config *config)
{
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        disk->keep_free = config_value_bytes(&config->keep_free, disk->space.total);
}

void disks_close(struct daemon *d)
{
    struct disk *disk;

    while ((disk = d->request.op.disks)) {
        struct daemon_disk *x = container_of(disk, struct daemon_disk, disk);

        d->request.op.disks = disk->next;
        fences_remove(x);
        store_close(disk->store);
        free(x);
    }
}
