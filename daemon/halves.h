// Files that a move between two disks has left: halves of a region.  See the essay in halves.c.
#pragma once
#include <stdbool.h>

#include "daemon/state.h"

struct half {
    struct half *next;
    struct daemon_disk *x;
    struct store_found found;
    bool is_new;          // RECORD_INCOMING, and not RECORD_MOVED
    struct store *region; // halves_take_rest's: has the file that is the region; NULL: that file is on the disk already
};

bool half_is(const struct record *record); // whether a file with this record is a half
// Adds what was found to the list.  Takes FOUND->discarded.  0 or -ENOMEM.
int halves_add(struct half **list, struct daemon_disk *x, struct store_found *found);
// Blocks.  Makes a region of each new file whose old one is in the list too: such a new file stays in the list, without
// RECORD_INCOMING, and TAKE makes a region of it later; the old one is removed.
void halves_join(struct half **list);
// Takes the first file out of the list that is the region by its record.  NULL: there is none.
struct half *halves_take_whole(struct half **list);
// Takes the first file out of the list whose region is another file, in the table.  NULL: there is none.
struct half *halves_take_rest(struct half **list, struct region_table *regions);
// Blocks: removes the file of a half, when the record of the region's file is on the disk.
void half_remove(const struct half *h);
void half_free(struct half *h);
// Frees the halves on the disk X; NULL: on all disks.
void halves_forget(struct half **list, const struct daemon_disk *x);
// Tells the log of the halves whose other disk is not there.
void halves_tell(const struct half *list);
