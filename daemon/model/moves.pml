/*
 * A model of a region that moves between two disks, and of its clones, which Spin checks as it does promises.pml.  The daemon may be killed
 * after each step, the power may fail, steps may fail, and a disk may not be there when the next daemon starts.  See daemon/op/move.c,
 * daemon/halves.c and daemon/op/clone.c.
 *
 * There are one region, one process that uses it, and an administrator who moves it, cancels that, and removes the region.  A store is a
 * durable commit: its content is on the disk.  All else that is written may be lost in a power failure until it was synchronised: the
 * content, the name and the record of a file each for itself, as long as it is one file.
 *
 * Left out: names, several regions, parts of the content, power failures of clones, and more than one failure.  A half that lies on one
 * disk alone, because the region was removed while the other disk was away, stays there for ever.
 *
 * FAULT_... puts back a mistake that the model has to find (daemon/model/check names them).
 */
#ifndef LIMIT
#define LIMIT 2 /* regions' bytes */
#endif
#ifndef MOVES
#define MOVES 1
#endif
#ifndef CLONES
#define CLONES 0
#endif
#ifndef STORES
#define STORES 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef CUTS
#define CUTS 0 /* power failures */
#endif
#ifndef FAILURES
#define FAILURES 0
#endif
#ifndef ABSENCES
#define ABSENCES 0 /* starts that find one disk only */
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif
#define OTHER(d) (1 - (d))

mtype:step = { FREE, START, COPY, LINK, SYNC_NEW, LOOK, MARK, SYNC_OLD, GO_BACK, SYNC_BACK, COMPLETE, SYNC_COMPLETE, CUT, UNLINK, DONE, UNLINK_NEW, FAILED };
mtype:clone = { C_FREE, C_OPEN, C_COPY, C_LINK, C_DONE, C_FAILED };
mtype:start = { DOWN, JOIN, J_WRITE_OUT, J_COMPLETE, J_SYNC, J_CUT, J_UNLINK, TAKE, REST, REST_CUT, REST_UNLINK, READY };

/* On the disks, as the kernel shows them: the region's file on each, its content (the number of its last store; 0: nothing) and record. */
bool file[2];
byte content[2];
bool incoming[2], moved[2];
/* What a power failure leaves for certain.  is_other: the disk itself knows another file of that name, or none. */
bool s_file[2];
byte s_content[2];
bool s_incoming[2], s_moved[2], is_other[2];

/* The daemon's. */
mtype:start phase = READY;
bool used_disk[2] = true; /* the disk is in use */
bool half[2], whole[2];   /* found, and not in the table yet */
byte at;                  /* the disk of the half at work */
bool known;
byte on;                  /* the region's disk */
byte used;                /* charged */
mtype:step step = FREE;
byte to;
bool cancelled, has_moved, is_left;
byte copy;                /* the content of the new file, which has no name yet */
bool blocks;              /* which has blocks */
mtype:clone clone = C_FREE;
byte readers, source, asked, clone_content;
bool clone_blocks;

/* The process, and what was promised to it. */
bool attached;
byte maps;                /* 1 + the disk whose file it maps; 0: none */
byte newest = 1;
bool removed;
bool unlucky;             /* a failure has left a file that only a later start removes */

byte n_moves, n_clones, n_kills, n_cuts, n_failures, n_absences, n_removals, n_stores;

#define MAY_FAIL (n_failures < FAILURES)
#define RUNS (phase == READY)
#define HALF_LEFT (half[0] || half[1])
#ifdef FAULT_MOVE_WHILE_CLONED
#define IS_CLONED false
#else
#define IS_CLONED (readers > 0)
#endif
#ifdef FAULT_MARK_FIRST
#define MAY_LINK (moved[on] || file[to])
#else
#define MAY_LINK true
#endif
#define PLACE (has_moved && step != FREE -> to : on) /* of the region: conclude_move comes later */
#define HAS_BYTES(d) (used_disk[d] && file[d] && content[d] > 0)

inline check()
{
    /* At each moment one of the two files is the region, with the content of the last store. */
    assert(!RUNS || !known || removed || (file[PLACE] && content[PLACE] == newest));
    assert(!RUNS || known || removed || unlucky || !used_disk[0] || !used_disk[1]);
    assert(!RUNS || !known || !removed || n_cuts > 0); /* the name may not have been taken away on the disk */
    /* Each byte is charged, and no sum passes the limit.  Nothing is known of halves whose other disk is away. */
    assert(used == known + (step != FREE) + (clone != C_FREE) && used <= LIMIT);
    assert(!RUNS || HALF_LEFT || unlucky || is_left || !used_disk[0] || !used_disk[1] ||
           HAS_BYTES(0) + HAS_BYTES(1) + blocks + clone_blocks + (clone == C_DONE) <= used);
    /* Nothing that a process maps is cut or removed. */
    assert(maps == 0 || (file[maps - 1] && content[maps - 1] == newest))
}

/* A record, or a file's name, is written; SYNC makes it certain. */
inline sync(d)
{
    s_file[d] = file[d]; s_content[d] = content[d]; s_incoming[d] = incoming[d]; s_moved[d] = moved[d]; is_other[d] = false
}

/* A sync that fails may have written the record, or nothing. */
inline sync_fails(d)
{
    n_failures++;
    if
    :: !is_other[d] -> s_incoming[d] = incoming[d]; s_moved[d] = moved[d]
    :: skip
    fi
}

inline clear(d)
{
    file[d] = false; content[d] = 0; incoming[d] = false; moved[d] = false
}

inline cut(d)
{
    content[d] = 0
}

/* A power failure may bring it back, with its record. */
inline unlink(d)
{
    file[d] = false
}

/* prepare_move */
proctype move()
{
end:
    do
    :: atomic {
           RUNS && known && step == FREE && n_moves < MOVES && !attached && !IS_CLONED && used_disk[OTHER(on)] && used < LIMIT ->
           n_moves++;
#ifndef FAULT_COPY_NOT_CHARGED
           used++;
#endif
           to = OTHER(on); cancelled = false; has_moved = false; is_left = false; step = START; check()
       }
    /* start: the lease is asked for, and the new file gets blocks. */
    :: atomic {
           RUNS && step == START ->
           if
#ifndef FAULT_NO_LEASE
           :: maps > 0 -> step = FAILED
#endif
           :: else -> blocks = true; step = COPY
           fi;
           check()
       }
    :: atomic { RUNS && step == COPY -> copy = content[on]; step = LINK; check() }
    :: atomic { RUNS && step == COPY && (cancelled || MAY_FAIL) -> if :: cancelled :: else -> n_failures++ fi; step = FAILED }
#ifdef FAULT_MARK_FIRST
    :: atomic { RUNS && step == LINK && !file[to] && !moved[on] -> moved[on] = true; check() }
#endif
    :: atomic {
           RUNS && step == LINK && MAY_LINK ->
           if
           :: file[to] -> step = FAILED /* an earlier move has left it */
           :: else ->
               file[to] = true; content[to] = copy; moved[to] = false; copy = 0; blocks = false; is_other[to] = true;
#ifdef FAULT_NOT_INCOMING
               incoming[to] = false;
#else
               incoming[to] = true;
#endif
               step = SYNC_NEW
           fi;
           check()
       }
#ifdef FAULT_NEW_NOT_SYNCED
    :: atomic { RUNS && step == SYNC_NEW -> step = LOOK }
#else
    :: atomic { RUNS && step == SYNC_NEW -> sync(to); step = LOOK }
#endif
    :: atomic { RUNS && step == SYNC_NEW && MAY_FAIL -> sync_fails(to); step = UNLINK_NEW }
    /* check_unused, once more; and op_seal. */
    :: atomic {
           RUNS && step == LOOK ->
           if
           :: cancelled -> step = UNLINK_NEW
           :: else -> step = MARK
           fi
       }
    :: atomic { RUNS && step == MARK -> moved[on] = true; step = SYNC_OLD; check() }
    :: atomic { RUNS && step == MARK && MAY_FAIL -> n_failures++; step = UNLINK_NEW }
#ifdef FAULT_OLD_NOT_SYNCED
    :: atomic { RUNS && step == SYNC_OLD -> step = COMPLETE }
#else
    :: atomic { RUNS && step == SYNC_OLD -> sync(on); step = COMPLETE }
#endif
    :: atomic { RUNS && step == SYNC_OLD && MAY_FAIL -> sync_fails(on); step = GO_BACK }
#ifdef FAULT_CANCELLED_LATE
    :: atomic { RUNS && step == SYNC_OLD && cancelled -> step = UNLINK_NEW }
#endif
    /* go_back */
#ifdef FAULT_NOT_TAKEN_BACK
    :: atomic { RUNS && step == GO_BACK -> step = UNLINK_NEW }
#else
    :: atomic { RUNS && step == GO_BACK -> moved[on] = false; step = SYNC_BACK; check() }
    :: atomic { RUNS && step == GO_BACK && MAY_FAIL -> n_failures++; is_left = true; step = COMPLETE }
#endif
    :: atomic { RUNS && step == SYNC_BACK -> sync(on); step = UNLINK_NEW }
    :: atomic { RUNS && step == SYNC_BACK && MAY_FAIL -> sync_fails(on); unlucky = true; step = FAILED }
#ifdef FAULT_CUT_FIRST
    :: atomic { RUNS && step == COMPLETE && content[on] > 0 && on != to -> has_moved = true; cut(on) }
    :: atomic { RUNS && step == COMPLETE && content[on] == 0 && file[on] -> unlink(on) }
#endif
    :: atomic { RUNS && step == COMPLETE -> has_moved = true; incoming[to] = false; step = SYNC_COMPLETE }
    :: atomic { RUNS && step == COMPLETE && MAY_FAIL -> n_failures++; has_moved = true; is_left = true; step = DONE }
    :: atomic { RUNS && step == SYNC_COMPLETE -> sync(to); step = (is_left -> DONE : CUT) }
    :: atomic { RUNS && step == SYNC_COMPLETE && MAY_FAIL -> sync_fails(to); is_left = true; step = DONE }
    :: atomic { RUNS && step == CUT -> cut(on); step = UNLINK; check() }
    :: atomic { RUNS && step == UNLINK -> unlink(on); step = DONE; check() }
    :: atomic { RUNS && (step == CUT || step == UNLINK) && MAY_FAIL -> n_failures++; is_left = true; step = DONE }
    :: atomic { /* conclude_move */
           RUNS && step == DONE ->
#ifndef FAULT_COPY_NOT_CHARGED
           used--;
#endif
           unlucky = unlucky || is_left; on = to; is_left = false; step = FREE; check()
       }
    :: atomic { RUNS && step == UNLINK_NEW -> unlink(to); step = FAILED; check() }
    :: atomic {
           RUNS && step == FAILED ->
#ifndef FAULT_COPY_NOT_CHARGED
           used--;
#endif
           copy = 0; blocks = false; step = FREE; check()
       }
    :: atomic { RUNS && step != FREE && !cancelled -> cancelled = true }
    od
}

/* daemon/op/clone.c: in the queue of the copy, beside what happens to the source. */
proctype clones()
{
end:
    do
    :: atomic {
           RUNS && known && clone == C_FREE && attached && n_clones < CLONES && used < LIMIT ->
           n_clones++; used++; source = on; asked = newest; clone = C_OPEN;
#ifndef FAULT_SOURCE_NOT_HELD
           readers++;
#endif
           check()
       }
    :: atomic { RUNS && clone == C_OPEN -> clone_blocks = true; clone = C_COPY; check() }
    :: atomic { RUNS && clone == C_COPY -> clone_content = content[source]; clone = C_LINK; check() }
    :: atomic { RUNS && (clone == C_OPEN || clone == C_COPY) && MAY_FAIL -> n_failures++; clone = C_FAILED }
    :: atomic {
           RUNS && clone == C_LINK ->
           assert(clone_content >= asked && clone_content <= newest); /* no store that was done before is missing */
           clone_blocks = false; clone = C_DONE; check()
       }
    /* The copy is a region of its own, and is removed sometime. */
    :: atomic { RUNS && (clone == C_DONE || clone == C_FAILED) -> used--; clone = C_FREE; clone_blocks = false; clone_content = 0; asked = 0;
#ifndef FAULT_SOURCE_NOT_HELD
           readers--;
#endif
           check() }
    od
}

proctype process()
{
end:
    do
    :: atomic { RUNS && known && step == FREE && !attached && (maps == 0 || maps == on + 1) -> attached = true; maps = on + 1; check() }
    :: atomic { /* and a durable commit, which writes the record too */
           RUNS && attached && maps > 0 && n_stores < STORES ->
           n_stores++; newest++; content[on] = newest; incoming[on] = false; moved[on] = false; sync(on); check()
       }
    :: atomic { RUNS && attached -> attached = false; maps = 0 }
    :: atomic { RUNS && attached -> attached = false } /* its connection is lost: it maps the region all the same */
    :: atomic { maps > 0 && !attached -> maps = 0 }    /* it ends */
    :: atomic { /* the region is removed: unlinked, and then reaped */
           RUNS && known && step == FREE && !attached && maps == 0 && readers == 0 && n_removals < REMOVALS ->
           n_removals++; removed = true; cut(on); unlink(on); known = false; used--; check()
       }
    od
}

/* What the next daemon finds of a file after a power failure: of each thing that was not synchronised, the former or the present one. */
inline lose_power(d)
{
    if
    :: is_other[d] ->
        if
        :: file[d] = s_file[d]; content[d] = s_content[d]; incoming[d] = s_incoming[d]; moved[d] = s_moved[d]
        :: content[d] = 0    /* a name, without what was not synchronised */
        :: skip
        fi
    :: else ->
        if
        :: file[d] = s_file[d]
        :: skip
        fi;
        if
        :: content[d] = s_content[d]
        :: skip
        fi;
        if
        :: incoming[d] = s_incoming[d]; moved[d] = s_moved[d]
        :: skip
        fi
    fi;
    if
    :: !file[d] -> clear(d)
    :: else
    fi;
    sync(d)
}

inline forget()
{
    known = false; used = 0; step = FREE; to = 0; cancelled = false; has_moved = false; is_left = false; copy = 0; blocks = false;
    clone = C_FREE; readers = 0; source = 0; asked = 0; clone_content = 0; clone_blocks = false; attached = false;
    half[0] = false; half[1] = false; whole[0] = false; whole[1] = false; at = 0; on = 0; phase = DOWN
}

/* store_scan of a disk. */
inline scan(d)
{
    used_disk[d] = true;
    if
    :: file[d] ->
#ifdef FAULT_HALF_IS_TAKEN
        half[d] = moved[d];
#else
        half[d] = incoming[d] || moved[d];
#endif
        whole[d] = !half[d]
    :: else
    fi
}

#define IS_PAIR(d) (half[d] && incoming[d] && !moved[d] && half[OTHER(d)] && moved[OTHER(d)])

inline take(d)
{
    if
    :: whole[d] && !known -> known = true; on = d; used++
    :: else
    fi;
    whole[d] = false
}

proctype machine()
{
end:
    do
    :: atomic { phase != DOWN && n_kills < KILLS -> n_kills++; forget() }
    :: atomic {
           phase != DOWN && n_cuts < CUTS -> n_cuts++; forget(); maps = 0;
           lose_power(0); lose_power(1)
       }
    :: atomic { phase == DOWN -> used_disk[0] = false; used_disk[1] = false; unlucky = false; scan(0); scan(1); phase = JOIN }
    :: atomic { phase == DOWN && n_absences < ABSENCES && maps != 2 -> n_absences++; used_disk[0] = false; used_disk[1] = false; scan(0); phase = JOIN }
    :: atomic { phase == DOWN && n_absences < ABSENCES && maps != 1 -> n_absences++; used_disk[0] = false; used_disk[1] = false; scan(1); phase = JOIN }
    /* daemon/opening.c */
    :: atomic { RUNS && !used_disk[0] && step == FREE && clone == C_FREE -> scan(0); phase = JOIN }
    :: atomic { RUNS && !used_disk[1] && step == FREE && clone == C_FREE -> scan(1); phase = JOIN }
    /* halves_join */
    :: atomic { phase == JOIN && IS_PAIR(0) -> at = 0; phase = J_WRITE_OUT }
    :: atomic { phase == JOIN && IS_PAIR(1) -> at = 1; phase = J_WRITE_OUT }
#ifdef FAULT_MARK_NOT_WRITTEN_OUT
    :: atomic { phase == J_WRITE_OUT -> phase = J_COMPLETE }
#else
    :: atomic { phase == J_WRITE_OUT -> sync(OTHER(at)); phase = J_COMPLETE }
#endif
    :: atomic { phase == J_WRITE_OUT && MAY_FAIL -> sync_fails(OTHER(at)); unlucky = true; half[OTHER(at)] = false; phase = TAKE }
    :: atomic { phase == JOIN && !IS_PAIR(0) && !IS_PAIR(1) -> phase = TAKE }
    :: atomic { phase == J_COMPLETE -> incoming[at] = false; phase = J_SYNC }
#ifdef FAULT_JOINED_NOT_SYNCED
    :: atomic { phase == J_SYNC -> half[at] = false; whole[at] = true; phase = J_CUT }
#else
    :: atomic { phase == J_SYNC -> sync(at); half[at] = false; whole[at] = true; phase = J_CUT }
#endif
    :: atomic { phase == J_COMPLETE && MAY_FAIL -> n_failures++; unlucky = true; half[OTHER(at)] = false; phase = TAKE }
    :: atomic { phase == J_SYNC && MAY_FAIL -> sync_fails(at); unlucky = true; half[OTHER(at)] = false; phase = TAKE }
    :: atomic { phase == J_CUT -> cut(OTHER(at)); phase = J_UNLINK }
    :: atomic { phase == J_UNLINK -> unlink(OTHER(at)); half[OTHER(at)] = false; phase = TAKE }
    :: atomic { (phase == J_CUT || phase == J_UNLINK) && MAY_FAIL -> n_failures++; unlucky = true; half[OTHER(at)] = false; phase = TAKE }
    :: atomic { phase == TAKE -> take(0); take(1); phase = REST }
    /* halves_take_rest: the region is another file. */
#ifdef FAULT_REGION_NOT_WRITTEN_OUT
    :: atomic { phase == REST && known && half[OTHER(on)] -> phase = REST_CUT }
#else
    :: atomic { phase == REST && known && half[OTHER(on)] -> sync(on); phase = REST_CUT }
#endif
    :: atomic { phase == REST && known && half[OTHER(on)] && MAY_FAIL -> sync_fails(on); unlucky = true; half[OTHER(on)] = false }
    :: atomic { phase == REST_CUT -> cut(OTHER(on)); phase = REST_UNLINK }
    :: atomic { phase == REST_UNLINK -> unlink(OTHER(on)); half[OTHER(on)] = false; phase = REST }
    :: atomic { phase == REST && !(known && half[OTHER(on)]) -> at = 0; phase = READY; check() }
    od
}

init {
    atomic {
        file[0] = true; content[0] = 1; s_file[0] = true; s_content[0] = 1; known = true; used = 1;
        run move(); run clones(); run process(); run machine()
    }
}
