// The disk itself, as the limit: fio reads a file of the same size past the page cache.  Each part of READING is asked
// for in the way that leaves the disk most: random reads one at a time a thread, updates as reads with as many writes
// beside them, announced reads 128 at a time, scans by 1 MiB, four at a time.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum { PIECE = 1 << 20 };

static const char *obstacle(void)
{
    static int found = -1;

    if (found < 0)
        found = system("command -v fio >/dev/null 2>&1") == 0;
    return found ? NULL : "fio is not installed";
}

static void write_file(const char *path, size_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char *piece = malloc(PIECE);

    if (fd < 0 || !piece)
        bench_die(path);
    memset(piece, 1, PIECE);
    for (size_t done = 0; done < bytes; done += PIECE)
        if (write(fd, piece, PIECE) != PIECE)
            bench_die(path);
    if (fdatasync(fd) < 0)
        bench_die(path);
    free(piece);
    close(fd);
}

// Field N, from 0, of fio's terse line.
static double field(const char *line, int n)
{
    for (; line && n > 0; n--) {
        line = strchr(line, ';');
        line = line ? line + 1 : NULL;
    }
    return line ? strtod(line, NULL) : 0;
}

// Fields of version 3: 6 is KiB a second, 7 reads a second.
static double ask(const char *path, const struct bench_settings *s, const char *engine, const char *how, int n)
{
    char command[8192], line[4096] = "";
    FILE *f;

    snprintf(command, sizeof command,
             "fio --name=r --filename='%s' --size=%zu --direct=1 --ioengine=%s --runtime=%dms --time_based --thread "
             "--numjobs=%zu --group_reporting --output-format=terse --terse-version=3 %s 2>/dev/null",
             path, s->n * 8, engine, (int)(s->read_seconds * 1000), s->threads, how);
    f = popen(command, "re");
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        pclose(f);
    return field(line, n);
}

static double rate_of(const char *path, const struct bench_settings *s, const char *how, int n)
{
    static const char *const engines[] = {"io_uring", "libaio", "psync"};
    double rate = 0;

    for (size_t i = 0; i < sizeof engines / sizeof *engines && !(rate > 0); i++)
        rate = ask(path, s, engines[i], how, n);
    return rate;
}

static void run(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    static const struct {
        int part;
        const char *how;
        int field;
    } parts[] = {
        {READ_SCAN, "--rw=read --bs=1M --iodepth=4", 6},
        {READ_RANDOM, "--rw=randread --bs=4k --iodepth=1 --norandommap", 7},
        {READ_UPDATE, "--rw=randrw --bs=4k --iodepth=1 --norandommap", 7},
        {READ_ANNOUNCED, "--rw=randread --bs=4k --iodepth=128 --norandommap", 7},
    };
    char path[4096];

    (void)w;
    snprintf(path, sizeof path, "%s/bench-fio-%ld", s->dir, (long)getpid());
    write_file(path, s->n * 8);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double rate = s->parts & 1u << parts[i].part ? rate_of(path, s, parts[i].how, parts[i].field) : 0;

        if (rate > 0) // 6: KiB to MB
            ret->part[parts[i].part] = 1 / (parts[i].field == 6 ? rate * 1.024e-3 : rate);
    }
    unlink(path);
}

const struct contender contender_fio = {
    .name = "fio",
    .what = "R: the limit: fio with io_uring past the page cache (depth 1, for announced reads 128)",
    .run = run,
    .disk = 1,
    .cannot = ~(1u << READING),
    .cannot_because = "reads files only",
    .obstacle = obstacle,
};
