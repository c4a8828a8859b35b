// See program.h.
#include "client/ctl/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "client/ctl/output.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"

enum { SCRIPTS_MAX = 5, LINE_MAX_BYTES = 256 };

#if defined __x86_64__
#define MACHINE EM_X86_64
#elif defined __aarch64__
#define MACHINE EM_AARCH64
#endif

// Why nothing can be preloaded; NULL: it can.
typedef const char *reason;

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int complain(const char *name, const char *why)
{
    char text[TEXT_MAX];

    ctl_complain("%s %s", text_escape(name, strlen(name), text), why);
    return EXIT_REFUSED;
}

int program_find(const char *name, char path[static PATH_MAX])
{
    const char *dirs = getenv("PATH");

    if (strchr(name, '/')) {
        if (strlen(name) >= PATH_MAX || access(name, F_OK) < 0)
            return complain(name, "is not there");
        strcpy(path, name);
        return is_program(path) ? EXIT_DONE : complain(name, "can't be run: it is no program, or you may not run it");
    }
    for (dirs = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *name; dirs += strcspn(dirs, ":") + 1) {
        int n = (int)strcspn(dirs, ":");

        if (snprintf(path, PATH_MAX, "%.*s/%s", n > 0 ? n : 1, n > 0 ? dirs : ".", name) < PATH_MAX && is_program(path))
            return EXIT_DONE;
        if (dirs[n] == '\0')
            break;
    }
    return complain(name, "is in no directory of $PATH");
}

static bool is_within(size_t size, uint64_t offset, uint64_t length)
{
    return offset <= size && length <= size - offset;
}

// The tables that the loader reads lie where their addresses say; in the file that is elsewhere.
static const char *at_address(const char *file, size_t size, const Elf64_Phdr *segments, unsigned n, uint64_t address,
                              uint64_t length)
{
    for (unsigned i = 0; i < n; i++) {
        const Elf64_Phdr *s = &segments[i];

        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr <= s->p_filesz &&
            is_within(size, s->p_offset + (address - s->p_vaddr), length))
            return file + s->p_offset + (address - s->p_vaddr);
    }
    return NULL;
}

static bool is_sanitizer(const char *name)
{
    static const char *const names[] = {"libasan.so", "libtsan.so", "liblsan.so", "libhwasan.so", "libclang_rt."};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

// Whether STRINGS, names that end in NUL, have the function with which a sanitizer begins.
static bool names_sanitizer(const char *strings, uint64_t length)
{
    static const char *const names[] = {"__asan_init", "__tsan_init", "__msan_init", "__lsan_init", "__hwasan_init"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (memmem(strings, length, names[i], strlen(names[i]) + 1))
            return true;
    return false;
}

// Whether one of the libraries that the program names is a sanitizer's.
static bool needs_sanitizer(const char *file, size_t size, const Elf64_Phdr *segments, unsigned n,
                            const Elf64_Phdr *dynamic)
{
    const Elf64_Dyn *entries = (const Elf64_Dyn *)(const void *)(file + dynamic->p_offset);
    size_t n_entries = dynamic->p_filesz / sizeof(*entries);
    uint64_t strings_at = 0, strings_length = 0;
    const char *strings;

    for (size_t i = 0; i < n_entries && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_STRTAB)
            strings_at = entries[i].d_un.d_ptr;
        if (entries[i].d_tag == DT_STRSZ)
            strings_length = entries[i].d_un.d_val;
    }
    strings = at_address(file, size, segments, n, strings_at, strings_length);
    if (!strings || strings_length == 0 || strings[strings_length - 1] != '\0')
        return false;
    for (size_t i = 0; i < n_entries && entries[i].d_tag != DT_NULL; i++)
        if (entries[i].d_tag == DT_NEEDED && entries[i].d_un.d_val < strings_length &&
            is_sanitizer(strings + entries[i].d_un.d_val))
            return true;
    return names_sanitizer(strings, strings_length);
}

// Whether a sanitizer is linked in (-static-libasan), as the program's own symbols say unless they were stripped.
static bool contains_sanitizer(const char *file, size_t size)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)(file + head->e_shoff);

    if (head->e_shentsize != sizeof(*sections) || head->e_shoff % sizeof(uint64_t) != 0 ||
        !is_within(size, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections)))
        return false;
    for (unsigned i = 0; i < head->e_shnum; i++) {
        const Elf64_Shdr *strings = sections[i].sh_link < head->e_shnum ? &sections[sections[i].sh_link] : NULL;

        if (sections[i].sh_type == SHT_SYMTAB && strings && is_within(size, strings->sh_offset, strings->sh_size) &&
            names_sanitizer(file + strings->sh_offset, strings->sh_size))
            return true;
    }
    return false;
}

static reason check_elf(const char *file, size_t size)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)(const void *)file;
    const Elf64_Phdr *segments, *dynamic = NULL;
    bool has_loader = false;

    if (size < sizeof(*head) || head->e_ident[EI_CLASS] != ELFCLASS64)
        return "is a program of 32 bits; only programs of 64 bits can have their memory on disk";
#ifdef MACHINE
    if (head->e_machine != MACHINE)
        return "is a program for another machine";
#endif
    if (head->e_phentsize != sizeof(*segments) || head->e_phoff % sizeof(uint64_t) != 0 ||
        !is_within(size, head->e_phoff, (uint64_t)head->e_phnum * sizeof(*segments)))
        return "is a damaged program";
    segments = (const Elf64_Phdr *)(const void *)(file + head->e_phoff);
    for (unsigned i = 0; i < head->e_phnum; i++) {
        has_loader |= segments[i].p_type == PT_INTERP;
        if (segments[i].p_type == PT_DYNAMIC && segments[i].p_offset % sizeof(uint64_t) == 0 &&
            is_within(size, segments[i].p_offset, segments[i].p_filesz))
            dynamic = &segments[i];
    }
    if (!has_loader)
        return "is linked statically, so no library can be preloaded into it";
    if ((dynamic && needs_sanitizer(file, size, segments, head->e_phnum, dynamic)) || contains_sanitizer(file, size))
        return "was built with a sanitizer, which has to be the first library and brings its own malloc";
    return NULL;
}

// A program that gets rights of its file gets no library of its caller's.
static reason check_rights(const char *path, const struct stat *st)
{
    bool other_user = st->st_mode & S_ISUID && st->st_uid != geteuid();
    bool other_group = st->st_mode & S_ISGID && st->st_mode & S_IXGRP && st->st_gid != getegid();
    bool capable = geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;

    if (!other_user && !other_group && !capable)
        return NULL;
    return "runs with the rights of its file (set-uid), so the system's loader preloads no library into it";
}

// The program that runs the script LINE begins with, in LINE; false: there is none.
static bool read_interpreter(char *line, char path[static PATH_MAX])
{
    char *name = line + 2, *end;

    name += strspn(name, " \t");
    end = name + strcspn(name, " \t\n");
    if (end == name || end - name >= PATH_MAX)
        return false;
    memcpy(path, name, (size_t)(end - name));
    path[end - name] = '\0';
    return true;
}

// *RET_AGAIN: PATH is a script, and is now the program that runs it.
static reason check(char path[static PATH_MAX], bool *ret_again)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char line[LINE_MAX_BYTES] = "";
    struct stat st;
    const char *file;
    reason why;

    *ret_again = false;
    if (fd < 0) // a program that one may run and not read
        return stat(path, &st) == 0 ? check_rights(path, &st) : NULL;
    if (fstat(fd, &st) < 0 || pread(fd, line, sizeof(line) - 1, 0) < 4)
        return NULL;
    if (line[0] == '#' && line[1] == '!') {
        *ret_again = read_interpreter(line, path);
        return NULL;
    }
    if (memcmp(line, ELFMAG, SELFMAG) != 0)
        return NULL;
    why = check_rights(path, &st);
    if (why)
        return why;
    file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED)
        return NULL;
    why = check_elf(file, (size_t)st.st_size);
    munmap((void *)file, (size_t)st.st_size);
    return why;
}

int program_check(const char *path)
{
    char program[PATH_MAX];
    bool again = true;

    snprintf(program, sizeof(program), "%s", path);
    for (int i = 0; again && i < SCRIPTS_MAX; i++) {
        reason why = check(program, &again);

        if (why)
            return complain(program, why);
    }
    return EXIT_DONE;
}
