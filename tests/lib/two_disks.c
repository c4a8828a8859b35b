// See two_disks.h.
#include "tests/lib/two_disks.h"

void two_disks_init(struct two_disks *t)
{
    char *error = NULL;

    *t = (struct two_disks){0};
    fixture_init(&t->f);
    scratch_make_dir(t->dir, sizeof t->dir);
    assert_int_equal(store_open(t->dir, false, &t->f.ops, &t->second.store, &error), 0);
    t->second.number = 1;
    t->f.disk.next = &t->second;
}

void two_disks_deinit(struct two_disks *t)
{
    fixture_deinit(&t->f);
    store_close(t->second.store);
    scratch_remove_tree(t->dir);
}

ino_t inode_of_region(const struct region *r)
{
    int fd = store_open_file(r->disk->store, r->record.owner_uid, &r->record.handle, O_RDONLY);
    struct stat st;

    assert_true(fd >= 0);
    assert_return_code(fstat(fd, &st), errno);
    close(fd);
    return st.st_ino;
}
