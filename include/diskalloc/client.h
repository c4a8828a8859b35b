/* diskalloc: memory for really big vectors, on disk, shared fairly between users.
 *
 * A region is a piece of address space whose bytes are blocks of a file on disk.  It grows and shrinks in place and its
 * address never changes.  A daemon, diskallocd, makes the files and keeps everybody within limits; without one the
 * library can do the same in a directory.
 *
 * Functions that can fail return 0 or a negative errno; `ret` arguments are written only on success; close functions
 * accept NULL; unknown flags and a zero struct_size are -EINVAL.  After a failure every region is as it was before
 * (after -ECONNRESET: as the daemon has it; the library takes that over when it is connected again, and until then
 * bytes that may be gone are not accessible).  diskalloc_last_error() then says in a sentence what was refused
 * and by which limit.
 *
 * Any thread may use any client and any region; resizes of one region are carried out one after the other.  Closing is
 * the exception: nobody else may be using what is closed.  The library itself has one thread a client at most, none
 * before the first large growth, and more while a vector is sorted; all signals are blocked in them.
 *
 * Descriptors: a program may close descriptors that it does not know, as daemons do, and open its own on their numbers.
 * The library looks before it uses a descriptor of its own, opens the file again, and leaves the program's alone.  One
 * file can't be opened again without root's rights: that of a region that has no daemon and no name ("dir:", or from_fd
 * of a file that was unlinked).  Its memory stays; what would need the file is -EBADF.
 *
 * mlockall(2): MCL_FUTURE locks no region: regions may be larger than memory.  MCL_CURRENT locks those that exist, as
 * far as they have grown, and an ordinary user's is refused by the kernel (ENOMEM) for the address space that they
 * reserve: call mlockall before the first region is made, or reserve less.
 *
 * fork: the memory of a region is shared with the child, as with mmap(MAP_SHARED).  The child may use its `struct
 * diskalloc` (it gets a connection of its own) and read and write what it inherited; before it changes the size it
 * attaches the region by its handle.  Closing what was inherited only unmaps it in the child.  As long as a child (or a
 * child of a child) lives that has not run another program, the parent can't shrink a region that it had before the
 * fork, nor discard a part of it: -EBUSY, 100 ms after the fork at the latest.  For that each child keeps a descriptor
 * of a pipe, and maps a file.  Where there are no descriptors to be had, or no /proc after many forks, a child counts
 * for ever.  The library can't see a child that was made without fork handlers (vfork, clone), nor one that has closed
 * all its descriptors where there is no /proc or the parent has changed its uid since: memory is cut under these
 * (SIGBUS).  Other processes can take no part away either while a child lives, also when its parent has closed the
 * region or ended: -EBUSY, after up to a second.  (Two exceptions: a region of an older daemon, and a process in a pid
 * namespace of its own whose pid the daemon can't see.)  A child that outlives its parent attaches the region, and
 * closes what it inherited before it takes a part away. */
#ifndef DISKALLOC_CLIENT_H
#define DISKALLOC_CLIENT_H

#if !defined(__linux__) || !defined(__LP64__)
#error "diskalloc needs 64-bit Linux"
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Marks what a later version will not have, with a sentence that says what to use instead.  Whoever defines
 * DISKALLOC_NO_DEPRECATION_WARNINGS before including this header hears nothing of it. */
#if defined(__GNUC__) && !defined(DISKALLOC_NO_DEPRECATION_WARNINGS)
#define DISKALLOC_DEPRECATED(sentence) __attribute__((deprecated(sentence)))
#else
#define DISKALLOC_DEPRECATED(sentence)
#endif

/* There is a macro for every addition to this header after which a program may want to ask. */
#define DISKALLOC_HAVE_REGION 1        /* create, open, attach, close, unlink, resize, refresh, sync */
#define DISKALLOC_HAVE_COMMIT 1        /* diskalloc_region_commit, diskalloc_region_used */
#define DISKALLOC_HAVE_FROM_FD 1       /* diskalloc_region_from_fd */
#define DISKALLOC_HAVE_USAGE 1         /* diskalloc_get_usage */
#define DISKALLOC_HAVE_ERROR_INFO 1    /* diskalloc_last_error_info */
#define DISKALLOC_HAVE_MALLOC 1        /* diskalloc_malloc and its family */
#define DISKALLOC_HAVE_WAIT 1          /* diskalloc_region_resize_wait */
#define DISKALLOC_HAVE_DISCARD 1       /* diskalloc_region_discard, diskalloc_region_restore */
#define DISKALLOC_HAVE_ADVISE 1        /* diskalloc_region_advise */
#define DISKALLOC_HAVE_EVENTS 1        /* diskalloc_event_fd, diskalloc_next_event */
#define DISKALLOC_HAVE_DAEMON_EVENTS 1 /* DISKALLOC_EVENT_DAEMON_GONE and _BACK */
#define DISKALLOC_HAVE_RESERVE 1       /* $DISKALLOC_RESERVE */
#define DISKALLOC_HAVE_SOLE_WRITER 1   /* DISKALLOC_REGION_SOLE_WRITER */
#define DISKALLOC_HAVE_PREFETCH 1      /* diskalloc_region_prefetch */
#define DISKALLOC_HAVE_ADAPTATION 1    /* diskalloc_get_adaptation; ADVICE_NORMAL adapts */
#define DISKALLOC_HAVE_GUARD 1         /* diskalloc_guard_enable */
#define DISKALLOC_HAVE_NEXT_REGION 1   /* diskalloc_next_region */
#define DISKALLOC_HAVE_REGION_EVENTS 1 /* DISKALLOC_EVENT_REGION_RESIZED, _SHRINK_ASKED, and agreeing to a shrink */
#define DISKALLOC_HAVE_EXPIRY 1        /* expires_s of struct diskalloc_region_info */
#define DISKALLOC_HAVE_CLONE 1         /* diskalloc_region_clone, DISKALLOC_EVENT_CLONE_PROGRESS */

struct diskalloc;
struct diskalloc_region;

/* The library's version, "MAJOR.MINOR.PATCH".
 * Takes nothing; the text is static.
 * Any thread.
 * Never NULL. */
const char *diskalloc_version(void);

/* ---- Clients ---- */

enum {
    DISKALLOC_NO_THREADS = 1 /* the library starts no thread */
};

struct diskalloc_options {
    size_t struct_size;
    const char *client_name; /* shown to administrators; NULL: the program's name */
    /* How long a call keeps trying to reach a daemon that has gone, before it returns -ECONNRESET: 300,000 ms (five
     * minutes) by default; -1: for ever; 0: it does not try.  Meanwhile the call blocks; after 3 s there is an event,
     * DISKALLOC_EVENT_DAEMON_GONE, for a program that polls for events.  The error in the end says why the daemon could
     * not be reached. */
    int reconnect_timeout_ms;
    uint32_t flags; /* DISKALLOC_NO_THREADS */
};

/* An initialiser: struct diskalloc_options o = DISKALLOC_OPTIONS_INIT; */
#define DISKALLOC_OPTIONS_INIT                                       \
    {                                                                \
        sizeof(struct diskalloc_options), (const char *)0, 300000, 0 \
    }

/* Opens a client of the daemon, or of a directory.
 * ADDRESS is "unix:/path.sock", a daemon; or "dir:/path", spill files made by this process in that directory, without a
 * daemon and without quotas.  NULL: $DISKALLOC_ADDRESS (unless the program is set-uid), else the daemon at
 * /run/diskalloc/diskallocd.sock; and only if that socket does not exist, and for anonymous regions only, "dir:" on
 * $TMPDIR or /var/tmp, whichever first is no tmpfs.  OPTIONS may be NULL and is copied.  *RET is closed by
 * diskalloc_close.  With DISKALLOC_PREFETCH=0 in the environment no memory is made before it is touched, and the
 * library starts no thread: diskalloc-performance(7).
 * Any thread.
 * 0; -EINVAL: no such kind of address, relative path, bad options; -ECONNREFUSED: no daemon there, or it does not
 * answer within 5 s; -EACCES: the socket or directory is not for this user; -EDQUOT: too many connections; -EPROTO: the
 * daemon speaks another version; -ENOENT, -ENOTDIR: no such directory; -EROFS; -EOPNOTSUPP: the directory's file system
 * has no O_TMPFILE; -ENAMETOOLONG: longer than a socket's path may be; -EMFILE; -ENOMEM. */
int diskalloc_open(const char *address, const struct diskalloc_options *options, struct diskalloc **ret);

/* Closes a client.  Its regions stay usable until they are closed themselves.
 * DA may be NULL.
 * No other thread may be in a call with DA.
 * Tells the daemon which regions were closed, and waits for room in the socket, a second at most, if the daemon is
 * slow.
 * Leaves the last error alone. */
void diskalloc_close(struct diskalloc *da);

/* The address that is really used: "unix:/..." or "dir:/...".
 * The text belongs to DA.
 * Any thread.
 * Never NULL. */
const char *diskalloc_address(const struct diskalloc *da);

/* Says what went wrong in this thread's last call that could fail: a sentence that begins with the call's name and has
 * the limit, what is used of it and what was asked for, if a limit it was.
 * The text is valid until this thread's next call.
 * Per thread.
 * "" after a success.  The inlined part of <diskalloc/vec.h> (a push that fits) and the functions that can't fail leave
 * it as it is. */
const char *diskalloc_last_error(void);

struct diskalloc_error_info {
    int code;                    /* what the call returned; 0 after a success */
    char limit_name[64];         /* "user:alice bytes", "disk keep_free", ...; "": no limit was involved */
    uint64_t limit, used, asked; /* asked: in addition to used */
    char handle[33];             /* of the region; "": none */
};

/* The same as numbers.
 * RET gets at most SIZE = sizeof *ret bytes; what a newer program asks for beyond is zero.
 * Per thread; does not change the last error.
 * 0; -EINVAL: RET is NULL or SIZE is 0. */
int diskalloc_last_error_info(struct diskalloc_error_info *ret, size_t size);

/* ---- Regions ---- */

enum {
    DISKALLOC_REGION_SPARSE = 1,      /* reserve no blocks: cheap, and SIGBUS when the disk is full */
    DISKALLOC_REGION_READ_ONLY = 2,   /* of this attachment */
    DISKALLOC_REGION_CREATE = 4,      /* diskalloc_region_open: make it when it is not there */
    DISKALLOC_REGION_EXCLUSIVE = 8,   /* with CREATE: -EEXIST when it is there */
    DISKALLOC_REGION_SOLE_WRITER = 16 /* of this attachment: nobody else may attach it for writing meanwhile */
};

enum {
    DISKALLOC_DURABLE = 1 /* diskalloc_region_commit: on stable storage before it returns */
};

enum {
    DISKALLOC_ADVICE_NORMAL = 0, /* the library watches how a region larger than memory is read, and adapts */
    DISKALLOC_ADVICE_SEQUENTIAL = 1,
    DISKALLOC_ADVICE_RANDOM = 2,
    DISKALLOC_ADVICE_WILLNEED = 3, /* soon: read it ahead */
    DISKALLOC_ADVICE_COLD = 4      /* not soon: its memory may go first */
};

struct diskalloc_region_options {
    size_t struct_size;
    uint64_t size; /* first size in bytes of a region that is made; 0 is fine */
    uint64_t
        reserve; /* bytes of address space, the most it can grow to; 0: $DISKALLOC_RESERVE ("32G": K, M, G, T; unless the
                       * program is set-uid), or else 512 GiB, less once much is taken; twice the size, if more */
    uint32_t mode;  /* of a named region that is made: who else may attach it, as chmod's bits; no umask */
    uint32_t flags; /* DISKALLOC_REGION_... */
};

/* An initialiser: struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT; */
#define DISKALLOC_REGION_OPTIONS_INIT                          \
    {                                                          \
        sizeof(struct diskalloc_region_options), 0, 0, 0600, 0 \
    }

/* Makes an anonymous region: it goes when the last process that has it is gone.
 * O may be NULL; of its flags SPARSE is for this call.  All bytes are zero.  *RET is closed by diskalloc_region_close.
 * Any thread.
 * 0; -EINVAL: bad options, $DISKALLOC_RESERVE is no size; -EDQUOT: a limit on bytes, regions or the size of one region;
 * -ENOSPC: the disk, or what is kept free on it; -ENOMEM: address space, memory, or `size` above `reserve`; -EOVERFLOW:
 * no file can be that big; -EMFILE; -EIO; -EPROTO; -ECONNRESET: the daemon has gone and did not come back in time. */
int diskalloc_region_create(struct diskalloc *da, const struct diskalloc_region_options *o,
                            struct diskalloc_region **ret);

/* Opens a named region; with CREATE makes it when it is not there.  Named regions stay until they are unlinked.
 * NAME is [A-Za-z0-9._-]{1,128} with no leading dot and not 32 hex digits, or USER/NAME for another user's (USER a name
 * or +uid).  Of O, size, mode and SPARSE matter only when the region is made.  Several may have one region open, in one
 * process or in many.
 * SOLE_WRITER: while another has the region attached for writing, or a process still maps it so (a forked child
 * counts), this is -EBUSY; once it has succeeded, others get -EBUSY when they open or attach the region for writing,
 * also while the connection to the daemon is lost or the daemon starts anew.  READ_ONLY is for everybody at any time.
 * Both in the same process too; the two flags together are -EINVAL.  In a directory, a region whose mode lets others
 * read and not write has an empty file .HANDLE.lock beside it, on which its writers lock each other out; where that
 * file is missing, and where the mode lets nobody read alone, a lock of any program on the region's file keeps a sole
 * writer away.
 * In a directory ("dir:") that several users share, a name exists once: what another user owns is -EACCES, with the
 * owner's name, unless it is asked for as USER/NAME and its mode permits.  Whoever may write to a region can also make
 * it shorter while nobody has it open.  Links, and files that are no regions, are -EEXIST.  Programs that remove old
 * files from temporary directories pass by a directory that is open here (systemd-tmpfiles; but not by files in /tmp or
 * /var/tmp itself).  Where a file is removed all the same, its holders keep their memory, and their further operations
 * are -ESTALE.
 * Any thread.
 * 0; as diskalloc_region_create, and: -EBUSY: SOLE_WRITER, of this call or of another's, or in a directory, another
 * process keeps it locked; -ENOENT: it is not there, and no CREATE; -ETIMEDOUT: the same, but it may be on a disk of
 * the daemon that does not answer; -EEXIST: it is there, and EXCLUSIVE; or in a directory, a file of that name is no
 * region; -EINVAL: name, or EXCLUSIVE without CREATE; -ENAMETOOLONG; -EACCES: its owner does not let you;
 * -EOPNOTSUPP: in a directory, of a user that nobody knows; -EIO: in a directory, of a user by name, and the user
 * database does not answer; -ECONNREFUSED: there is no daemon and DA has fallen back to a directory. */
int diskalloc_region_open(struct diskalloc *da, const char *name, const struct diskalloc_region_options *o,
                          struct diskalloc_region **ret);

/* Attaches a region that another process (or this one) has, by its handle.
 * HANDLE is what diskalloc_region_handle gave, no secret: the owner's uid or the mode's permission is needed.  Of O,
 * `reserve`, READ_ONLY and SOLE_WRITER (see diskalloc_region_open) are for this call.  With "dir:", anonymous regions
 * can be attached by the process that made them and its forked children.
 * Any thread.
 * 0; -ENOENT: no such region; -EACCES; -EBUSY: SOLE_WRITER; -EINVAL; -ESTALE: it was unlinked;
 * -EOPNOTSUPP: a region of another directory than DA's, for writing, whose mode lets others read and not write; else as
 * diskalloc_region_create. */
int diskalloc_region_attach(struct diskalloc *da, const char *handle, const struct diskalloc_region_options *o,
                            struct diskalloc_region **ret);

/* Makes a region of a file of the caller's, whose content is kept.
 * FD is a regular file open for reading and writing, or for reading: then the region is read-only.  It is duplicated
 * and stays the caller's.  Of O, `reserve`, READ_ONLY and SPARSE are for this call.  The file grows with blocks
 * reserved where its file system can do that; no quota of the daemon's counts.  Holes that the file has, and blocks
 * that it shares with a copy, get blocks of their own at the first resize (also to the size that the file has), or when
 * a vector adopts the region: until then a store there is SIGBUS on a full disk.
 * Any thread.
 * 0; -EINVAL: no regular file, bad options; -EACCES: open for writing only; -EBADF; -EMFILE; -ENOMEM: address space. */
int diskalloc_region_from_fd(int fd, const struct diskalloc_region_options *o, struct diskalloc_region **ret);

/* Makes a region that is a copy of R as it is now, charged to the caller as its own.
 * NAME, as in diskalloc_region_open but without USER/, is the copy's; NULL: it is anonymous.  O may be NULL: `reserve`,
 * `mode`, READ_ONLY (of the copy) and SOLE_WRITER are for this call; CREATE and EXCLUSIVE are implied: a name that is
 * there is -EEXIST.  R may be attached for reading only.  The copy has R's size, its last commit (used, element size)
 * and its discarded parts; of a SPARSE region it is SPARSE.  What a vector has not committed is in the bytes of the
 * copy, and not in its record.
 * Stores that any program has done before the call are in it; those done during the call may be or not, each for
 * itself: a program that needs all or none of them keeps them out.  Others may resize R meanwhile; bytes that they cut
 * or discard may be zero in the copy.
 * The blocks are copied, since a store to a granted byte must never need a new one; it takes as long as the disk takes.
 * Of a SPARSE region, and where the file system promises nothing anyway (diskallocctl status: "soft"), the two share
 * their blocks until one is stored to, if the file system can do that.  About once a second there is an event,
 * DISKALLOC_EVENT_CLONE_PROGRESS.  A program that ends meanwhile leaves nothing of the copy, a daemon neither.
 * Any thread.  Other threads may use R meanwhile, and must not close it.
 * 0; as diskalloc_region_create; -EEXIST: the caller has a region of that name; -ESTALE: R was unlinked; -EBUSY: R was
 * inherited through fork, or a child shares the bytes of a small vector; -EINVAL: a size, SPARSE, USER/NAME;
 * -EOPNOTSUPP: R is the region of a caller's file, or the daemon is too old; -ETIMEDOUT: a process holds R's file up;
 * -ENAMETOOLONG; -ECONNREFUSED: NAME, and the client has fallen back to a directory. */
int diskalloc_region_clone(struct diskalloc_region *r, const char *name, const struct diskalloc_region_options *o,
                           struct diskalloc_region **ret);

/* Unmaps a region and gives it up.  An anonymous region's blocks and charge are given back when nobody else has it;
 * never is anything cut that others have.
 * REGION may be NULL.  Does not wait for the daemon.
 * No other thread may be using REGION.
 * Leaves the last error alone. */
void diskalloc_region_close(struct diskalloc_region *region);

/* Takes a named region's name away.  Those who have it open keep their memory; further operations of theirs are
 * -ESTALE, and the charge stays until the last has gone.
 * NAME as in diskalloc_region_open.
 * Any thread.
 * 0; -ENOENT; -EINVAL; -ENAMETOOLONG; -EACCES: it is not yours; -EEXIST: in a directory, that file is no region;
 * -EOPNOTSUPP; -ECONNREFUSED; -EIO; -ECONNRESET. */
int diskalloc_region_unlink(struct diskalloc *da, const char *name);

/* Where the region's bytes are, aligned to 2 MiB.  Bytes from size on are not accessible (SIGSEGV, from the next page
 * on).
 * The memory belongs to the region.
 * Any thread.
 * Never NULL; never changes. */
void *diskalloc_region_data(const struct diskalloc_region *r);

/* The size in bytes: exactly what was asked for.
 * Any thread.
 * As this process last saw it: diskalloc_region_refresh takes over another's change. */
uint64_t diskalloc_region_size(const struct diskalloc_region *r);

/* The most bytes that the region can grow to.
 * Any thread.
 * The bytes that were asked for as `reserve`, or chosen, rounded up to 2 MiB. */
uint64_t diskalloc_region_reserve(const struct diskalloc_region *r);

/* A file descriptor of the region's file, for splice, send or the like.  Never truncate or allocate through it.
 * Where the daemon has the passthrough fence, the descriptor can be mapped and read, and fails with ENOTCONN after the
 * daemon's end; this function then makes the same descriptor work again.
 * The descriptor belongs to the region and is closed with it.
 * Any thread.
 * The descriptor, >= 0; -EBUSY: inherited through fork; -ESTALE; -EMFILE; -ECONNRESET. */
int diskalloc_region_fd(struct diskalloc_region *r);

/* 32 hex digits by which other processes attach this region.
 * The text belongs to the region.  A small vector (<diskalloc/vec.h>) gets its file by this call.
 * Any thread; of a small vector, the one that uses it.
 * Never NULL; "" for a region made from a file descriptor, and of a small vector if its file can't be had: then
 * diskalloc_last_error says why. */
const char *diskalloc_region_handle(const struct diskalloc_region *r);

/* Grows or shrinks a region in place.  New bytes are zero.  When it returned 0, storing to any accessible byte never
 * raises SIGBUS for want of disk space (SPARSE and file systems that can't promise it aside).
 * SIZE in bytes, 0 is fine.  When another process has grown the region further it has the size that it really has.
 * A shrink of a region that others have attached asks them (DISKALLOC_EVENT_SHRINK_ASKED) and waits for their agreement
 * for a second; meanwhile the bytes behind SIZE are not accessible, and other calls for this region wait.  With a
 * directory nobody is asked.
 * Where the program then fills new bytes in order, the library's thread makes memory ahead of it, 64 MiB at most:
 * diskalloc-performance(7), FILLING.
 * Any thread; calls for one region wait for each other.
 * 0; -EDQUOT; -ENOSPC; -ETIMEDOUT: a process that has the region's file open holds the file's lock in the kernel for
 * more than ten seconds, which every change through a daemon can meet; -ENOMEM: above the region's reserve, both are
 * named; -EOVERFLOW: no file can be that big, or with a directory or a caller's file, none of this process (ulimit -f);
 * -EROFS; -EBUSY: inherited through fork, or a shrink while others have it attached who do not agree (this process
 * twice counts too: nobody is asked then) or may still map it (a process whose connection was lost, a forked child), or
 * another process keeps the file of a directory locked (after 10 s; a lock of a process that may only read the file
 * keeps nobody from growing); -ESTALE: it was unlinked; -EIO: a shrink of several GiB may have been done in
 * part, if the disk does not give back what it has freed; -EMFILE; -EPROTO; -ECONNRESET. */
int diskalloc_region_resize(struct diskalloc_region *r, uint64_t size);

/* As diskalloc_region_resize, and where a limit or the disk refuses what others use up, waits until there is space.
 * A size that can never be granted is refused at once.  A shrink waits as long for the agreement of others who have the
 * region attached; after that time it is -EBUSY.
 * TIMEOUT_MS in milliseconds; -1: for ever, 0: as diskalloc_region_resize.  While there is no daemon to wait for, the
 * wait goes on with what is left of it; without one in the end it is -ECONNRESET.
 * Any thread; other calls, also for this region, do not wait for this one, unless it is a shrink.
 * 0; -ETIMEDOUT: with the limit that refused to the end; -EINVAL: TIMEOUT_MS; else as diskalloc_region_resize. */
int diskalloc_region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms);

/* Gives the blocks and the charge of a part of the region back, and the content with them.  The size stays; those bytes
 * are not accessible any more (SIGSEGV).
 * OFFSET and LENGTH in bytes, within the size; only whole blocks of 4 KiB (whole pages, where the
 * kernel's are larger) between them are discarded, none is fine.
 * Any thread; nobody may be using that part.
 * 0; -EINVAL: beyond the size; -EBUSY: others have it attached, this process twice counts too, or may still map it (a
 * process whose connection was lost, a forked child), or inherited through fork; -EROFS; -EOPNOTSUPP: a SPARSE region,
 * or a file system that can't do it; -EMFILE: it would be in more than 4,096 pieces ("discarded ranges"); -ENOMEM: the
 * process has too many mappings; -ENOSPC: a directory's disk has no room to note that there are such parts; -ESTALE;
 * -EIO: what the disk has freed, and does not give back, is discarded; -ECONNRESET. */
int diskalloc_region_discard(struct diskalloc_region *r, uint64_t offset, uint64_t length);

/* Grants discarded bytes again, as zeros.  What of it was not discarded keeps its content.
 * OFFSET and LENGTH in bytes, within the size; rounded outward to blocks of 4 KiB, or pages.  Advice given about them
 * is forgotten.
 * Any thread.
 * 0; as diskalloc_region_resize when it grows; -EINVAL: beyond the size; -EOPNOTSUPP: a SPARSE region. */
int diskalloc_region_restore(struct diskalloc_region *r, uint64_t offset, uint64_t length);

/* Tells the kernel how this process will use a part of the region, as madvise(2).
 * OFFSET and LENGTH in bytes, within the size; ADVICE: DISKALLOC_ADVICE_...  NORMAL is the default; SEQUENTIAL and
 * RANDOM stand until there is other advice about the same bytes, whatever the program does.
 * Any thread.
 * 0; -EINVAL: beyond the size, unknown advice; -EOPNOTSUPP: a kernel without it; -ENOMEM: too many mappings; -EIO. */
int diskalloc_region_advise(struct diskalloc_region *r, uint64_t offset, uint64_t length, int advice);

/* Starts reading LENGTH bytes at each of N places, side by side, and does not wait for them.  Announce a batch (64
 * places and more) while the batch before is used.  This is a hint: when memory is short, or very many reads wait
 * already, some are dropped, and those bytes are read when they are touched.
 * OFFSETS in bytes, in any order; places may overlap.
 * Any thread.  The call sends the reads until it has to wait, since the disk's queue is full, and leaves the rest to
 * the library's thread; without that thread (DISKALLOC_NO_THREADS, a forked child, a caller's file) it waits on.
 * 0; -EINVAL: a place is not within the size, and no read was started. */
int diskalloc_region_prefetch(struct diskalloc_region *r, const uint64_t *offsets, size_t n, uint64_t length);

/* Takes over another process's resize, or what it restored.  With a daemon this is cheap while nothing has changed: the
 * daemon is not asked then.
 * When another process asks whether the region may be cut (DISKALLOC_EVENT_SHRINK_ASKED), this call agrees: the bytes
 * behind that size are not accessible any more when it returns, and nobody may be using them.  If not all agree, the
 * region is not cut, and a later call gives the access back.  A process that has forked children agrees to nothing as
 * long as they may use the memory; nor does a region that a heap or a vector of strings uses.  To resize the region
 * takes the agreement back.
 * Any thread.
 * 0: the same size; 1: it has changed; -ENOMEM: it is larger than this region's reserve; -EBUSY: inherited through
 * fork;
 * -ESTALE; -ECONNRESET. */
int diskalloc_region_refresh(struct diskalloc_region *r);

/* Writes the region's bytes to its file on disk, and waits for it.
 * Any thread.
 * 0; -EIO and other errors of msync(2): from then on every sync of this region, for what was lost stays lost; -EIO:
 * the guard (diskalloc_guard_enable) has replaced a page. */
int diskalloc_region_sync(struct diskalloc_region *r);

/* Records how many bytes are used and of what element size, for whoever opens the region later.
 * USED <= size in bytes; ELEMENT_SIZE in bytes, 0: not said; FLAGS: DISKALLOC_DURABLE, the bytes and the record are on
 * stable storage before it returns.  For a region made from a file descriptor only this process remembers it.
 * Any thread.
 * 0; -EINVAL; -EROFS; -EBUSY: inherited through fork; -ESTALE; -EIO; -EOPNOTSUPP; -ECONNRESET. */
int diskalloc_region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags);

/* The bytes used, as last committed.
 * Any thread.
 * 0 when nothing was committed yet. */
uint64_t diskalloc_region_used(const struct diskalloc_region *r);

/* ---- I/O errors ---- */

/* Enables the guard of this process, for all its regions: without it, a load or store that meets an I/O error of the
 * disk is SIGBUS (as one is beyond the end of a caller's file that another program has made shorter, or where the
 * machine's memory is broken).  With it the page at that place is replaced by one that is this process's alone: what
 * can't be read is zero, and the program goes on.  From then on every sync and commit of that region is -EIO, also a
 * commit that is not durable: what is stored in the page does not reach the disk, nor others that have the region.  An
 * error that has passed when the page is tried again replaces nothing.
 * TOLD is called after each replacement, with the region, the byte OFFSET of the page and DATA.  It runs in a signal
 * handler, on the thread that met the error, and may use only what is safe there (signal-safety(7): write(2), atomic
 * variables; no other function of this library); NULL: nobody is told.
 * Installs a handler of SIGBUS.  A SIGBUS that has nothing to do with a region goes to the handler that was there
 * before, or ends the process as it did.  A program that installs a handler of its own later turns the guard off,
 * unless its handler calls the one that was there before; calling this function again turns the guard on.  The library
 * must stay loaded.  Forked children inherit the guard, and replace pages for themselves.  A call of the kernel that is
 * given such memory, as read(2) or write(2), still fails with EFAULT.
 * Any thread; called again, the last TOLD and DATA count.
 * 0; -ENOMEM. */
int diskalloc_guard_enable(void (*told)(struct diskalloc_region *r, uint64_t offset, void *data), void *data);

/* ---- Usage ---- */

struct diskalloc_usage {
    uint64_t bytes, bytes_limit; /* UINT64_MAX: no limit */
    uint64_t regions, regions_limit;
    uint64_t connections, connections_limit;
    uint64_t warn_bytes;
    uint64_t waiters;
    uint64_t grantable_bytes; /* a grow by that much would succeed now */
};

/* Tells what is used, and of what limits.
 * SUBJECT: "total", "user:NAME", "user:+UID", "group:NAME"; NULL: the caller.  RET gets at most SIZE = sizeof *ret
 * bytes.
 * Any thread.
 * 0; -EINVAL; -ENOENT: no such subject; -EACCES: not for you; -EOPNOTSUPP: a subject, with a directory; -ECONNRESET. */
int diskalloc_get_usage(struct diskalloc *da, const char *subject, struct diskalloc_usage *ret, size_t size);

struct diskalloc_region_info {
    char handle[33];
    char name[129];               /* "": anonymous, or unlinked */
    uint32_t owner, mode;         /* uid; permission bits */
    uint32_t flags;               /* DISKALLOC_REGION_SPARSE */
    uint32_t element_size;        /* bytes, as last committed; 0: not said */
    uint32_t attached;            /* by so many connections; with a directory, so many times by this process */
    uint64_t size, granted, used; /* bytes; used as last committed, 0: never */
    uint64_t created_s;           /* seconds since 1970; 0: not known */
    uint64_t expires_s; /* seconds without use after which it is removed (diskallocctl set-expiry); 0: never */
};

/* Lists regions: with a daemon those that the caller may see, with a directory its named ones that the caller may read,
 * and the anonymous ones of this process.
 * *CURSOR begins as 0, and says where the next call goes on.  RET gets at most SIZE = sizeof *ret bytes, and only when
 * there is a region.  Each region that is there all the time comes once; one that comes or goes meanwhile may be left
 * out.
 * Any thread.
 * 1: a region; 0: no more; -EINVAL; -ECONNRESET; -EPROTO; -EMFILE; -ENOMEM; -EIO: the directory can't be read. */
int diskalloc_next_region(struct diskalloc *da, uint64_t *cursor, struct diskalloc_region_info *ret, size_t size);

/* ---- Adaptive reading ---- */

/* Parts of regions larger than memory that have ADVICE_NORMAL are read by single pages while the program reads them at
 * scattered places, and by large pages again when it reads them in runs: see diskalloc-performance(7). */
struct diskalloc_adaptation {
    uint64_t rounds;    /* of looks at the client's regions */
    uint64_t to_single; /* changes of parts to single pages */
    uint64_t to_large;  /* changes of parts back to large pages */
};

/* Counts the decisions since the client was opened (in a forked child: since the parent opened it).
 * RET gets at most SIZE = sizeof *ret bytes.
 * Any thread.
 * 0; -EINVAL. */
int diskalloc_get_adaptation(struct diskalloc *da, struct diskalloc_adaptation *ret, size_t size);

/* ---- Events ---- */

enum {
    DISKALLOC_EVENT_NONE = 0,
    DISKALLOC_EVENT_QUOTA_WARNING = 1, /* an account of this user has reached its warn_at */
    DISKALLOC_EVENT_DAEMON_GONE = 2,   /* there has been no daemon for 3 s; calls that need one wait for it */
    DISKALLOC_EVENT_DAEMON_BACK = 3,   /* after the former: there is one again */
    /* About a region that the program has attached, by another process: handle and size say which, and how large it is.
     * There is one event of a kind for each region, with the newest size, until the program takes it. */
    DISKALLOC_EVENT_REGION_RESIZED = 4, /* it was resized: diskalloc_region_refresh takes that over */
    /* Another process wants to cut it to `size` bytes.  If the program can do without the rest, it stops using that and
     * calls diskalloc_region_refresh, or name_refresh of its vector, which agree.  If not, it does nothing: after a
     * time, a second by default, the other process gets -EBUSY.  DISKALLOC_EVENT_REGION_RESIZED tells the outcome. */
    DISKALLOC_EVENT_SHRINK_ASKED = 5,
    /* diskalloc_region_clone is copying the region `handle`: `used` of `limit` bytes are done.  A newer one replaces an
     * older one that nobody took. */
    DISKALLOC_EVENT_CLONE_PROGRESS = 6
};

struct diskalloc_event {
    int kind;                   /* DISKALLOC_EVENT_...; programs ignore what they do not know */
    char limit_name[64];        /* "user:alice bytes" */
    uint64_t limit, used, warn; /* warn: the mark that was reached */
    char handle[33];            /* of the region; "": of none in particular */
    uint64_t size;              /* bytes, of the events about regions */
};

/* A descriptor to poll(2) for reading: when it is readable, call diskalloc_next_event until there is none.  It stays
 * the same when the connection is lost and made again; while there is none, it asks for a call now and then.
 * The descriptor belongs to DA and is closed with it.  A forked child asks for one of its own; so does a program that
 * has closed descriptors that it did not know.
 * Any thread.
 * The descriptor, >= 0; with a directory, where there are events of clones only; -EMFILE; -ENOMEM. */
int diskalloc_event_fd(struct diskalloc *da);

/* The oldest event that nobody took yet.  When the connection is lost it tries to connect, once.
 * RET gets at most SIZE = sizeof *ret bytes, and only when there is an event.  The library keeps 32; then the oldest
 * goes.
 * Any thread.  Does not wait.
 * 1: an event; 0: none; -EINVAL; -ECONNRESET: the daemon has been gone for reconnect_timeout_ms; calling again tries
 * again; -EPROTO. */
int diskalloc_next_event(struct diskalloc *da, struct diskalloc_event *ret, size_t size);

/* ---- For containers that take a realloc ---- */

/* A block of memory: a region of its own, 4 KiB at least.  For few and large blocks.
 * SIZE in bytes; 0 gives a block too.  Aligned to 2 MiB, all zero bytes, freed by diskalloc_free.
 * Any thread.
 * The block, or NULL and errno. */
void *diskalloc_malloc(struct diskalloc *da, size_t size);

/* Changes a block's size, in place unless it outgrows its reservation (64 times its first size, 1 to 64 GiB).
 * BLOCK may be NULL: as diskalloc_malloc.  SIZE 0 frees it.  DA may be NULL for a known block.  Shrinking never fails.
 * Any thread; one at a time for one block.
 * The block, perhaps elsewhere; or NULL and errno (EINVAL: not a block of diskalloc_malloc), BLOCK is as before;
 * or NULL after SIZE 0. */
void *diskalloc_realloc(struct diskalloc *da, void *block, size_t size);

/* Frees a block.
 * BLOCK may be NULL.  What is no block ends the program with a message, as free does.
 * Any thread.
 * Leaves errno and the last error alone. */
void diskalloc_free(void *block);

/* How many bytes of BLOCK may be used.
 * BLOCK may be NULL.
 * Any thread.
 * Bytes; 0: not a block. */
size_t diskalloc_usable_size(const void *block);

/* Whether BLOCK is the beginning of a block of diskalloc_malloc.
 * Any pointer may be asked about.
 * Any thread.
 * 1 or 0. */
int diskalloc_owns(const void *block);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
