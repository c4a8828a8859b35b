// See user_database.h.
#include "tests/lib/user_database.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

static void replace(const char *path, const char *text)
{
    _cleanup_free_ char *new = NULL;
    FILE *f;

    assert_true(asprintf(&new, "%s.new", path) > 0);
    f = fopen(new, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(new, 0644), 0);
    assert_int_equal(rename(new, path), 0);
}

static void replace_in(const struct user_database *u, const char *name, const char *text)
{
    _cleanup_free_ char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", u->dir, name) > 0);
    replace(path, text);
}

// Writes each line NAME:NUMBER:MORE as NAME:x:NUMBER:MORE, with END behind it.
static void replace_lines(const struct user_database *u, const char *file, const char *lines, const char *end)
{
    _cleanup_free_ char *copy = strdup(lines), *text = NULL;
    char *rest = copy, *line;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    while ((line = strsep(&rest, "\n"))) {
        const char *name = strsep(&line, ":"), *id = strsep(&line, ":");

        if (!id)
            continue;
        fprintf(f, "%s:x:%s:%s", name, id, line ? line : "");
        fputs(end, f);
    }
    assert_int_equal(fclose(f), 0);
    replace_in(u, file, text);
}

void user_database_users(const struct user_database *u, const char *users)
{
    replace_lines(u, "passwd", users, ":made up:/:/usr/sbin/nologin\n");
}

void user_database_groups(const struct user_database *u, const char *groups)
{
    replace_lines(u, "group", groups, "\n");
}

void user_database_subuid(const struct user_database *u, const char *ranges)
{
    replace_in(u, "etc/subuid", ranges);
}

void user_database_mode(const struct user_database *u, const char *mode)
{
    replace_in(u, "mode", mode);
}

size_t user_database_asked(const struct user_database *u)
{
    _cleanup_free_ char *path = NULL;
    struct stat st;

    assert_true(asprintf(&path, "%s/asked", u->dir) > 0);
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

// Copies /etc.  useradd of another test creates, replaces and removes the files of the user database at any time: of
// those the copy has only passwd and group, which useradd replaces as a whole.
static void copy_etc(const struct user_database *u)
{
    static const char command[] =
        "cd %s && umask 022 && mkdir etc && cat /etc/passwd >etc/passwd && cat /etc/group >etc/group && "
        "find /etc -mindepth 1 -maxdepth 1 -ignore_readdir_race "
        "! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -name 'sub[ug]id*' "
        "! -name .pwd.lock "
        "-exec cp -a --target-directory=etc {} +";
    _cleanup_free_ char *text = NULL;

    assert_true(asprintf(&text, command, u->dir) > 0);
    assert_int_equal(system(text), 0);
}

void user_database_make(struct user_database *u)
{
    char command[400];

    if (geteuid() != 0)
        test_skip_all("a user database of its own needs root");
    scratch_make_dir(u->dir, sizeof u->dir);
    copy_etc(u);
    replace_in(u, "etc/nsswitch.conf", "passwd: files datest\ngroup: files datest\n");
    user_database_users(u, "");
    user_database_groups(u, "");
    user_database_subuid(u, "");
    user_database_mode(u, "");
    snprintf(command, sizeof command, "%s/etc", u->dir);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(command, "/etc", NULL, MS_BIND, NULL) < 0)
        test_skip_all("no mount namespace");
    setenv("DISKALLOC_TEST_USERS", u->dir, 1);
    setenv("LD_LIBRARY_PATH", TEST_NSS_DIR, 1);
}

void user_database_remove(struct user_database *u)
{
    assert_int_equal(umount2("/etc", MNT_DETACH), 0);
    unsetenv("LD_LIBRARY_PATH");
    scratch_remove_tree(u->dir);
}

struct user_database database;

int make_database(void **state)
{
    (void)state;
    user_database_make(&database);
    return 0;
}

int remove_database(void **state)
{
    (void)state;
    user_database_remove(&database);
    return 0;
}
