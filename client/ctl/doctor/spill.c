// `doctor`: the spill directories and their disks.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "client/ctl/doctor/parts.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"

enum { NEARLY_FULL = 95 }; // percent

// The daemon calls a directory that it does not use a problem only if the configuration names it.
static bool is_problem(const Diskalloc__V1__Status *s, const Diskalloc__V1__Disk *d)
{
    size_t n = d->dir.len;

    return d->problem.len > 0 && (d->in_use || (s->problem.len > n && memcmp(s->problem.data, d->dir.data, n) == 0 &&
                                                s->problem.data[n] == ':'));
}

static void look_at_problem(const Diskalloc__V1__Status *s, const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice advice = {
        "Nothing new is granted there; what programs have, they keep.",
        "bring the disk back (mount, fsck, a new cable): the daemon notices within seconds"};
    static const struct advice absent = {"The regions there are unavailable.",
                                         "bring the disk back, or name the directory in the configuration again; then: "
                                         "systemctl reload diskallocd"};
    static const struct advice leaving = {
        "Nothing new is made there.", "diskallocctl move takes its regions elsewhere, before the daemon is restarted"};
    char text[TEXT_MAX];

    if (d->problem.len > 0)
        finding(f, is_problem(s, d) ? FINDING_WRONG : FINDING_NOTE, "spill-directory", d->in_use ? advice : absent,
                "%s", text_escape(d->problem.data, d->problem.len, text));
    else
        finding_well(f, "spill-directory", "the daemon can use it");
    if (d->is_leaving)
        finding(f, FINDING_NOTE, "leaving", leaving, "the configuration does not name it any more");
}

static void look_at_guarantee(const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice soft = {
        "A store to granted memory may end a program by SIGBUS when the disk is full.",
        "use a spill directory on ext4, or xfs made with reflink=0, on a disk of its own: "
        "diskallocd(8)"};
    char reason[TEXT_MAX];

    if (d->guarantee == DISKALLOC__V1__GUARANTEE__HARD)
        finding_well(f, "guarantee", "hard");
    else
        finding(f, FINDING_NOTE, "guarantee", soft, "soft: %s",
                text_escape(d->guarantee_reason, strlen(d->guarantee_reason), reason));
}

static void look_at_fences(const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice none = {"Programs can change the files of regions behind the daemon's back.",
                                       "set fence = auto in diskallocd.conf(5) and restart the daemon"};
    static const struct advice some = {"These fences would be stronger.",
                                       "diskallocd(8), FENCES, says what each needs"};
    char text[TEXT_MAX];

    if (!*d->fences)
        finding(f, FINDING_NOTE, "fences", none, "there are none");
    else
        finding_well(f, "fences", "%s", text_escape(d->fences, strlen(d->fences), text));
    if (*d->fences_missing)
        finding(f, FINDING_NOTE, "fences-missing", some, "%s",
                text_escape(d->fences_missing, strlen(d->fences_missing), text));
}

static unsigned percent(uint64_t used, uint64_t limit)
{
    return limit > 0 ? (unsigned)((double)used * 100 / (double)limit) : 100;
}

static void look_at_space(const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice full = {"Growth is refused with \"no space\", whatever the quotas allow.",
                                       "free space on this disk; diskallocctl regions, or top, shows what takes it"};
    static const struct advice tight = {"Growth will be refused soon, whatever the quotas allow.",
                                        "free space on this disk, or move the spill directory to a larger one"};
    uint64_t usable = d->total > d->keep_free ? d->total - d->keep_free : 0;
    uint64_t used = d->total > d->available ? d->total - d->available : 0;
    uint64_t others = used > d->bytes ? used - d->bytes : 0;
    char available[TEXT_MAX], kept[TEXT_MAX], by_others[TEXT_MAX];

    text_size(d->available, true, available);
    text_size(d->keep_free, true, kept);
    text_size(others, true, by_others);
    if (d->available <= d->keep_free)
        finding(f, FINDING_WRONG, "disk", full,
                "%s are free, and keep_free keeps %s; %s of the disk are not the daemon's", available, kept, by_others);
    else if (percent(used, usable) >= NEARLY_FULL)
        finding(f, FINDING_NOTE, "disk", tight,
                "%u%% of what may be granted is in use; %s of the disk are not the daemon's", percent(used, usable),
                by_others);
    else
        finding_well(f, "disk", "%s are free", available);
}

static void look_at_limits_of_disk(const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice inodes = {
        "Each region is a file: without inodes no region can be made.",
        "remove files from this file system, or make it anew with more inodes (mkfs -N)"};
    static const struct advice quota = {"The file system refuses before the daemon's quotas do.",
                                        "raise that quota: setquota(8), xfs_quota(8)"};
    uint64_t used = d->inodes > d->inodes_available ? d->inodes - d->inodes_available : 0;

    if (d->inodes > 0 && percent(used, d->inodes) >= NEARLY_FULL)
        finding(f, FINDING_WRONG, "inodes", inodes, "%u%% of them are in use", percent(used, d->inodes));
    else if (d->inodes > 0)
        finding_well(f, "inodes", "%u%% of them are in use", percent(used, d->inodes));
    if (d->fs_quota_limit > 0 && percent(d->fs_quota_used, d->fs_quota_limit) >= NEARLY_FULL)
        finding(f, FINDING_WRONG, "file-system-quota", quota, "%u%% of the file system's own quota are in use",
                percent(d->fs_quota_used, d->fs_quota_limit));
}

static void look_at_files(const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice lacking = {"A store to such bytes may end a program by SIGBUS.",
                                          "free space on the disk, then: systemctl restart diskallocd"};
    static const struct advice foreign = {
        "The daemon leaves them alone; they take space that is nobody's.",
        "as root, look into the spill directory and remove what does not belong there"};
    static const struct advice unreadable = {
        "The regions there are unavailable, and charged to nobody; nothing of them is removed.",
        "journalctl -u diskallocd names them; if permission is denied, give them to the daemon's user (chown), else "
        "check the disk (dmesg, fsck); then: systemctl restart diskallocd"};

    if (d->unreadable_files > 0)
        finding(f, FINDING_WRONG, "unreadable-files", unreadable,
                "when the daemon started, %llu files or directories of regions could not be read",
                (unsigned long long)d->unreadable_files);
    if (d->lacking_blocks > 0)
        finding(f, FINDING_WRONG, "lacking-blocks", lacking,
                "%llu regions have granted bytes without blocks on the disk", (unsigned long long)d->lacking_blocks);
    if (d->foreign_files > 0)
        finding(f, FINDING_NOTE, "foreign-files", foreign,
                "when the daemon started, %llu entries of the spill directory were not its own",
                (unsigned long long)d->foreign_files);
}

static void look_at_regions(const Diskalloc__V1__Status *s, struct findings *f)
{
    static const struct advice orphans = {
        "Nobody has them attached; the daemon removes each as soon as no process maps it.",
        "diskallocctl regions shows them as orphaned, or mapped if a process still has them"};
    static const struct advice mended = {"A program changes its files otherwise than through its memory.",
                                         "journalctl -u diskallocd names the users; diskallocctl disconnect USER"};

    if (s->orphans > 0)
        finding(f, FINDING_NOTE, "orphans", orphans, "%llu regions wait to be removed", (unsigned long long)s->orphans);
    if (s->mended > 0)
        finding(f, FINDING_NOTE, "mended", mended,
                "%llu files were changed and made good again since the daemon started", (unsigned long long)s->mended);
}

// As it looks from here: the caller may see less, or in a container something else.
static void look_at_directory(const Diskalloc__V1__Status *s, const Diskalloc__V1__Disk *d, struct findings *f)
{
    static const struct advice open = {"Other users can look at the names of the files, or worse.",
                                       "chmod 0700 that directory"};
    static const struct advice owner = {"The daemon's own user has to own it.",
                                        "chown it to the user that the daemon runs as"};
    static const struct advice read_only = {
        "Nothing can be made or grown there.",
        "mount it read-write; journalctl -k says whether the kernel has remounted it"};
    _cleanup_free_ char *path = strndup((const char *)d->dir.data, d->dir.len);
    char process[64], text[TEXT_MAX];
    struct stat st, daemon;
    struct statvfs fs;

    if (!path || stat(path, &st) < 0)
        return;
    text_escape(path, strlen(path), text);
    snprintf(process, sizeof(process), "/proc/%u", s->pid);
    if (st.st_mode & 077)
        finding(f, FINDING_WRONG, "spill-directory-mode", open, "%s has the mode %04o", text, st.st_mode & 07777);
    else
        finding_well(f, "spill-directory-mode", "%04o", st.st_mode & 07777);
    if (stat(process, &daemon) == 0 && daemon.st_uid != st.st_uid && daemon.st_uid != 0)
        finding(f, FINDING_WRONG, "spill-directory-owner", owner, "%s belongs to uid %u, the daemon runs as uid %u",
                text, st.st_uid, daemon.st_uid);
    if (statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY)
        finding(f, FINDING_WRONG, "spill-directory-read-only", read_only, "%s is on a file system that is read-only",
                text);
}

static void look_at_clock(const Diskalloc__V1__Status *s, struct findings *f)
{
    static const struct advice advice = {"Expiry and grace periods go by the clock.", "set the clock: timedatectl"};
    char text[TEXT_MAX];
    time_t now = time(NULL);

    if (now < 0 || (uint64_t)now + 60 < s->started)
        finding(f, FINDING_WRONG, "clock", advice, "the daemon started at %s, which is still to come",
                text_time(s->started, text));
    else
        finding_well(f, "clock", "it is later than the daemon's start");
}

static void look_at_disk(const Diskalloc__V1__Status *s, const Diskalloc__V1__Disk *d, struct findings *f)
{
    look_at_problem(s, d, f);
    if (!d->in_use)
        return;
    look_at_guarantee(d, f);
    look_at_fences(d, f);
    look_at_space(d, f);
    look_at_limits_of_disk(d, f);
    look_at_files(d, f);
    look_at_directory(s, d, f);
}

void doctor_spill(const Diskalloc__V1__Status *s, struct findings *f)
{
    Diskalloc__V1__Disk only;
    char where[TEXT_MAX];

    if (s->n_disks == 0) {
        query_first_disk(s, &only);
        look_at_disk(s, &only, f);
    }
    for (size_t i = 0; i < s->n_disks; i++) {
        f->where = s->n_disks > 1 ? text_escape(s->disks[i]->dir.data, s->disks[i]->dir.len, where) : NULL;
        look_at_disk(s, s->disks[i], f);
    }
    f->where = NULL;
    look_at_regions(s, f);
    look_at_clock(s, f);
}
