// See fake_proc.h.
#include "tests/lib/fake_proc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/memory/pressure.h"
#include "tests/lib/scratch.h"

void tree_start(struct tree *t)
{
    *t = (struct tree){0};
    scratch_make_dir(t->dir, sizeof(t->dir));
    pressure_init(&t->p, t->dir);
}

void tree_end(struct tree *t)
{
    pressure_deinit(&t->p);
    pressure_deinit(&t->p);
    scratch_remove_tree(t->dir);
}

void put(struct tree *t, const char *path, const char *text, ...)
{
    char full[512];
    va_list args;
    FILE *f;

    assert_true((size_t)snprintf(full, sizeof(full), "%s%s", t->dir, path) < sizeof(full));
    for (char *slash = strchr(full + strlen(t->dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    f = fopen(full, "we");
    assert_non_null(f);
    va_start(args, text);
    assert_true(vfprintf(f, text, args) >= 0);
    va_end(args);
    assert_int_equal(fclose(f), 0);
}

void take(struct tree *t, const char *path)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s", t->dir, path);
    scratch_remove_tree(full);
}

void put_mounts(struct tree *t, const char *v1_root, const char *v2_root)
{
    char v1[256] = "", v2[256] = "";

    if (v1_root)
        snprintf(v1, sizeof(v1),
                 "34 31 0:30 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                 "35 31 0:32 %s /sys/fs/cgroup/memory rw,relatime shared:10 master:1 - cgroup cgroup rw,memory\n",
                 v1_root);
    if (v2_root)
        snprintf(v2, sizeof(v2), "41 31 0:38 %s /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n",
                 v2_root);
    put(t, "/proc/self/mountinfo", "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,memory\n%s%s", v1, v2);
}

void put_v1(struct tree *t, const char *dir, unsigned limit, unsigned usage, unsigned file, unsigned dirty,
            unsigned writeback, unsigned above)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", dir);
    put(t, path, "%llu\n", limit ? limit * (unsigned long long)MIB : 9223372036854771712ULL);
    snprintf(path, sizeof(path), "%s/memory.usage_in_bytes", dir);
    put(t, path, "%llu\n", usage * (unsigned long long)MIB);
    snprintf(path, sizeof(path), "%s/memory.stat", dir);
    put(t, path,
        "cache 1\ndirty 2\nwriteback 3\ninactive_file 4\nactive_file 5\nhierarchical_memory_limit %llu\n"
        "hierarchical_memsw_limit 4096\ntotal_dirty %llu\ntotal_writeback %llu\ntotal_inactive_file %llu\n"
        "total_active_file %llu\n",
        above ? above * (unsigned long long)MIB : 9223372036854771712ULL, dirty * (unsigned long long)MIB,
        writeback * (unsigned long long)MIB, (file - file / 4) * (unsigned long long)MIB,
        file / 4 * (unsigned long long)MIB);
}

void put_v2(struct tree *t, const char *dir, const char *max, const char *high, unsigned usage, unsigned file,
            unsigned dirty, unsigned writeback)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/memory.max", dir);
    put(t, path, "%s\n", max);
    snprintf(path, sizeof(path), "%s/memory.high", dir);
    put(t, path, "%s\n", high);
    snprintf(path, sizeof(path), "%s/memory.current", dir);
    put(t, path, "%llu\n", usage * (unsigned long long)MIB);
    snprintf(path, sizeof(path), "%s/memory.stat", dir);
    put(t, path,
        "anon 1\nfile 2\nfile_mapped 3\nfile_dirty %llu\nfile_writeback %llu\ninactive_anon 9\nactive_anon 9\n"
        "inactive_file %llu\nactive_file %llu\nslab_reclaimable %llu\nslab 1\n",
        dirty * (unsigned long long)MIB, writeback * (unsigned long long)MIB,
        (file - file / 4) * (unsigned long long)MIB, file / 4 * (unsigned long long)MIB, 10 * (unsigned long long)MIB);
}

void expect(struct tree *t, uint64_t room, uint64_t most)
{
    pressure_look(&t->p, &t->s);
    assert_int_equal(t->s.room, room);
    assert_int_equal(t->s.most, most);
}

void expect_after_a_search(struct tree *t, uint64_t room, uint64_t most)
{
    for (int i = 0; i < 64; i++)
        pressure_look(&t->p, &t->s);
    expect(t, room, most);
}

void put_v1_group(struct tree *t, const char *path)
{
    put(t, "/proc/self/cgroup", "9:name=systemd:/x\n5:memory_not:/wrong\n4:cpu,memory:%s\n1:cpuset:/\n", path);
}
