/*
 * A model of grants, charges, waiting, agreeing to a shrink, orphans, lost connections and restarts, which Spin checks in every order of events that is possible
 * within its bounds: bash daemon/model/check.  ARCHITECTURE.md has the promises that are meant here.
 *
 * There are REGIONS regions without a name, and CLIENTS processes with one connection and one request at a time.  Sizes are blocks, from 0
 * to MOST; all charges count in one account with LIMIT.  A file system call, a message, the end of a connection, of a process or of the
 * daemon is one step each.  Any run of an operation may fail.
 *
 * Left out: forked children, pieces of a long run, discarded parts, names, sole writers, several users, early growth, and claims (daemon/op/claims.c): so a
 * request that does not wait may always pass those that wait.  A client that lost its connection asks nothing new before its last request
 * has ended in the daemon.
 *
 * FAULT_... puts back a mistake that the model has to find (daemon/model/check names them).
 */
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef REGIONS
#define REGIONS 1
#endif
#ifndef LIMIT
#define LIMIT 3
#endif
#ifndef MOST
#define MOST 2
#endif
#ifndef DROPS
#define DROPS 1 /* connections that break while both sides live */
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef LOST_MOST
#define LOST_MOST 2 /* MOST_LOST of daemon/holders.c */
#endif
#ifndef HOLDERS_MOST
#define HOLDERS_MOST 3 /* RECORD_HOLDERS_MOST: so many, or more */
#endif
#define PAIRS (CLIENTS * REGIONS)
#define AT(c, r) ((c) * REGIONS + (r))

mtype:request = { NOTHING, ATTACH, GROW, SHRINK, DETACH };
mtype:stage = { ASKED, WAITS, WORKS, ANSWERED };
mtype:step = { FREE, GROW_BLOCKS, GROW_RECORD, GROW_DONE, GROW_UNDO, SHRINK_RECORD, SHRINK_CUT, SHRINK_DONE, OPEN_RECORD, OPEN_DONE,
               REAP_CUT, REAP_UNLINK, REAP_DONE };

/* On disk: stays when the daemon ends. */
bool exists[REGIONS];
byte blocks[REGIONS];  /* allocated */
byte record[REGIONS];  /* record.granted */
byte holders[REGIONS]; /* RECORD_HOLDERS of record.flags */

/* The daemon's tables: struct region, struct holders, the account.  They are lost when it ends. */
bool up = true;
byte used;
bool known[REGIONS];
byte size[REGIONS];
byte charge[REGIONS];
mtype:step step[REGIONS]; /* of the operation at work */
byte by[REGIONS];         /* whose operation that is */
byte others[REGIONS];     /* op->n_others */
bool leases[REGIONS];     /* op->asks_lease */
byte awaited[REGIONS];
bool unknown[REGIONS];
bool attached[PAIRS]; /* on the client's connection */
bool former[PAIRS];   /* on one that has ended, which the daemon has not seen yet */
bool replaced[PAIRS]; /* that one; see holders_replace */
byte lost[PAIRS];
byte asker[REGIONS]; /* 1 + the client whose shrink waits for agreement, or is at work with it; 0: none */
bool asked[PAIRS], agrees[PAIRS];
chan ops[REGIONS] = [CLIENTS] of { byte }; /* region.ops, but for the operation at work */
chan waiters = [CLIENTS] of { byte }; /* wait_queue.ops */
bool poked;

/* The processes. */
bool alive[CLIENTS] = true;
bool connected[CLIENTS];
bool ending[CLIENTS]; /* a connection has ended, and the daemon has not seen it */
mtype:request request[CLIENTS];
mtype:stage stage[CLIENTS];
bool gone[CLIENTS]; /* nobody reads the answer */
bool waits[CLIENTS], cancelled[CLIENTS], held[CLIENTS], granted[CLIENTS];
byte on[CLIENTS], want[CLIENTS], told[CLIENTS];
bool maps[PAIRS];
byte length[PAIRS]; /* bytes that the process may touch */
bool gave[PAIRS];   /* the process has taken its access away, because it was asked */

byte n_drops, n_restarts;
byte i, j, n, sum; /* scratch: 0 between steps */

#if CLIENTS > 2
#define MAPPED(r) (maps[AT(0, r)] || maps[AT(1, r)] || maps[AT(2, r)])
#define N_ATTACHED(r) (attached[AT(0, r)] + attached[AT(1, r)] + attached[AT(2, r)] + former[AT(0, r)] + former[AT(1, r)] + former[AT(2, r)])
#define IS_LOST(r) (lost[AT(0, r)] && alive[0] || lost[AT(1, r)] && alive[1] || lost[AT(2, r)] && alive[2])
#define N_LOST(r) ((lost[AT(0, r)] > 0) + (lost[AT(1, r)] > 0) + (lost[AT(2, r)] > 0))
#else
#define MAPPED(r) (maps[AT(0, r)] || maps[AT(1, r)])
#define N_ATTACHED(r) (attached[AT(0, r)] + attached[AT(1, r)] + former[AT(0, r)] + former[AT(1, r)])
#define IS_LOST(r) (lost[AT(0, r)] && alive[0] || lost[AT(1, r)] && alive[1])
#define N_LOST(r) ((lost[AT(0, r)] > 0) + (lost[AT(1, r)] > 0))
#endif
#define ATTACHED(r) (N_ATTACHED(r) > 0)
/* region_is_shared.  Processes that have ended do not count: remove_dead. */
#define IS_HELD(r) (awaited[r] > 0 || unknown[r] || IS_LOST(r)) /* by processes without a connection */
#define IS_ASKING(r) (asker[r] > 0 && stage[asker[r] - 1] == WAITS)
#define IS_SHARED(r) (N_ATTACHED(r) > 1 || awaited[r] > 0 || unknown[r] || IS_LOST(r))

/* Promises 1, 2 and 5, after each step. */
inline check()
{
    sum = 0;
    for (j : 0 .. REGIONS - 1) {
        sum = sum + charge[j];
        assert(!exists[j] || record[j] <= blocks[j] || !MAPPED(j));        /* a granted byte has a block */
        assert(!up || !known[j] || blocks[j] <= charge[j]);                             /* which is charged */
        assert(!up || !known[j] || step[j] != FREE || (charge[j] == size[j] && record[j] == size[j] && blocks[j] == size[j]));
        for (i : 0 .. CLIENTS - 1) {
            assert(!maps[AT(i, j)] || (exists[j] && length[AT(i, j)] <= blocks[j])) /* nothing that is mapped is cut or removed */
        }
    }
    assert(!up || (used == sum && used <= LIMIT));
    i = 0; j = 0; n = 0; sum = 0
}

/* request_reply and request_end: each request has one outcome.  An outcome that nobody waits for is dropped. */
inline answer(c, good)
{
    assert(request[c] != NOTHING && stage[c] != ANSWERED);
    if
    :: gone[c] -> request[c] = NOTHING; gone[c] = false
    :: else -> stage[c] = ANSWERED; granted[c] = good; told[c] = size[on[c]]
    fi;
    waits[c] = false; cancelled[c] = false
}

/* holders_count: processes that may map R, beside C, into others[R]. */
inline count_others(c, r)
{
    n = N_ATTACHED(r);
    leases[r] = n == 0;
    n = n + awaited[r] + (unknown[r] -> 1 : 0);
    for (i : 0 .. CLIENTS - 1) { n = n + (alive[i] -> lost[AT(i, r)] : 0) }
    if
    :: held[c] && (lost[AT(c, r)] > 0 || awaited[r] > 0 || former[AT(c, r)]) -> n--
    :: else
    fi;
    others[r] = (unknown[r] && n > 0 -> HOLDERS_MOST : n);
    n = 0;
    leases[r] = leases[r] && (others[r] > 0 || holders[r] > 1)
}

inline forget_holders(r)
{
    awaited[r] = 0; unknown[r] = false;
    for (i : 0 .. CLIENTS - 1) { lost[AT(i, r)] = 0 }
    i = 0
}

/* holders_lose: of a process that lives.  LOST_MOST processes are known by name. */
inline lose(c, r)
{
    if
    :: !alive[c] || replaced[AT(c, r)] || unknown[r] -> skip
    :: else ->
        if
        :: lost[AT(c, r)] > 0 || N_LOST(r) < LOST_MOST -> lost[AT(c, r)] = lost[AT(c, r)] + 1
        :: else -> unknown[r] = true
        fi
    fi
}

/* peer_attach, for an operation whose connection may have ended meanwhile. */
inline attach(c, r)
{
    if
    :: gone[c] && ending[c] -> former[AT(c, r)] = true
    :: gone[c] && !ending[c] -> skip /* request->peer is NULL */
    :: else ->
        attached[AT(c, r)] = true;
#ifndef FAULT_NEWCOMER_NOT_ASKED
        asked[AT(c, r)] = IS_ASKING(r); agrees[AT(c, r)] = false;
#endif
        if
#ifdef FAULT_NEWCOMER_IS_AWAITED
        :: lost[AT(c, r)] == 0 && awaited[r] > 0 -> awaited[r]--
#endif
        :: held[c] && lost[AT(c, r)] > 0 -> lost[AT(c, r)] = lost[AT(c, r)] - 1
#ifdef FAULT_AWAITED_FIRST
        :: held[c] && lost[AT(c, r)] == 0 && awaited[r] > 0 -> awaited[r]--
        :: held[c] && lost[AT(c, r)] == 0 && awaited[r] == 0 -> replaced[AT(c, r)] = former[AT(c, r)]
#else
        :: held[c] && lost[AT(c, r)] == 0 && former[AT(c, r)] -> replaced[AT(c, r)] = true
        :: held[c] && lost[AT(c, r)] == 0 && !former[AT(c, r)] && awaited[r] > 0 -> awaited[r]--
#endif
        :: else
        fi
    fi
}

/* prepare_grow, and wait_enter if it is refused. */
inline prepare_grow(c, r)
{
    if
    :: want[c] <= size[r] -> answer(c, true)
    :: want[c] > size[r] && used + want[c] - size[r] > LIMIT && (!waits[c] || cancelled[c]) -> answer(c, false)
    :: want[c] > size[r] && used + want[c] - size[r] > LIMIT && waits[c] && !cancelled[c] -> stage[c] = WAITS; waiters!c
    :: else ->
#ifndef FAULT_CHARGE_LATE
        used = used + want[c] - size[r]; charge[r] = want[c];
#endif
        stage[c] = WORKS; by[r] = c; step[r] = GROW_BLOCKS
    fi
}

/* op_ask_begin, and op_ask_newcomer for each. */
inline ask_others(c, r)
{
    asker[r] = c + 1; stage[c] = WAITS;
    for (i : 0 .. CLIENTS - 1) { asked[AT(i, r)] = attached[AT(i, r)] && i != c; agrees[AT(i, r)] = false }
    i = 0
}

/* op_ask_end: those who were asked are told the size. */
inline end_ask(r)
{
    asker[r] = 0;
    for (i : 0 .. CLIENTS - 1) { asked[AT(i, r)] = false; agrees[AT(i, r)] = false }
    i = 0
}

/* op_ask_is_granted, with former connections that have not been seen to end, and what the agreement does not help against. */
inline count_missing(r)
{
    n = (IS_HELD(r) || !attached[AT(asker[r] - 1, r)] -> 1 : 0);
    for (i : 0 .. CLIENTS - 1) {
        if
        :: i != asker[r] - 1 ->
#ifdef FAULT_NEWCOMER_NOT_ASKED
            n = n + (asked[AT(i, r)] && !agrees[AT(i, r)] -> 1 : 0) + (former[AT(i, r)] -> 1 : 0)
#else
            n = n + (attached[AT(i, r)] && !agrees[AT(i, r)] -> 1 : 0) + (former[AT(i, r)] -> 1 : 0)
#endif
        :: else -> n = n + (former[AT(i, r)] -> 1 : 0)
        fi
    }
    i = 0
}

inline prepare_shrink(c, r)
{
    if
    :: told[c] == size[r] && !IS_SHARED(r) -> stage[c] = WORKS; by[r] = c; step[r] = SHRINK_RECORD
    :: told[c] == size[r] && N_ATTACHED(r) > 1 && asker[r] == 0 && !gone[c] -> ask_others(c, r)
    :: told[c] != size[r] || IS_SHARED(r) -> answer(c, false) /* -ESTALE, -EBUSY; nobody has to wait */
    fi
}

/* op_ask_object: a grow by one who has agreed, or beyond the cut. */
inline object(c, r)
{
    if
#ifndef FAULT_GROW_KEEPS_AGREEMENT
    :: IS_ASKING(r) -> answer(asker[r] - 1, false); end_ask(r)
#endif
    :: else
    fi
}

/* request_create_region and request_attach_region. */
inline prepare_attach(c, r)
{
    assert(!held[c] || known[r]); /* the region of a live process is there */
    if
    :: !known[r] ->
        known[r] = true; exists[r] = true; holders[r] = 1;
        attached[AT(c, r)] = !gone[c];
        former[AT(c, r)] = gone[c] && ending[c];
        answer(c, true)
    :: else -> count_others(c, r); stage[c] = WORKS; by[r] = c; step[r] = OPEN_RECORD
    fi
}

/* request_detach_region and forget_lost. */
inline detach(c, r)
{
    if
    :: attached[AT(c, r)] -> attached[AT(c, r)] = false; asked[AT(c, r)] = false; agrees[AT(c, r)] = false
    :: !attached[AT(c, r)] && lost[AT(c, r)] > 0 -> lost[AT(c, r)] = lost[AT(c, r)] - 1
    :: else
    fi;
    answer(c, true)
}

/* conclude gave something back, failed, or another operation of the region is parked. */
inline done(r)
{
    step[r] = FREE; by[r] = 0; others[r] = 0; leases[r] = false;
#ifndef FAULT_NO_POKE
    poked = true
#endif
}


inline end_ask_of(c, r)
{
    if
    :: asker[r] == c + 1 -> end_ask(r)
    :: else
    fi
}

inline begin(c, r)
{
    if
    :: request[c] == ATTACH -> prepare_attach(c, r)
    :: request[c] == DETACH -> detach(c, r)
    :: (request[c] == GROW || request[c] == SHRINK) && (!known[r] || !attached[AT(c, r)] && !(gone[c] && former[AT(c, r)])) -> answer(c, false)
    :: request[c] == GROW && known[r] && (attached[AT(c, r)] || gone[c] && former[AT(c, r)]) -> prepare_grow(c, r)
    :: request[c] == SHRINK && known[r] && (attached[AT(c, r)] || gone[c] && former[AT(c, r)]) -> prepare_shrink(c, r)
    fi;
    check()
}
/* The queue of operations of one region (daemon/op/queue.c): prepare, run and conclude. */
proctype region(byte r)
{
    byte c;
end:
    do
    :: atomic { up && step[r] == FREE && nempty(ops[r]) -> ops[r]?c; begin(c, r); c = 0 }

    /* run_grow: blocks, then the record, which commits. */
#ifdef FAULT_RECORD_FIRST
    :: atomic { up && step[r] == GROW_BLOCKS && !cancelled[by[r]] -> record[r] = want[by[r]]; step[r] = GROW_RECORD; check() }
    :: atomic { up && step[r] == GROW_RECORD -> blocks[r] = want[by[r]]; step[r] = GROW_DONE; check() }
#else
    :: atomic { up && step[r] == GROW_BLOCKS && !cancelled[by[r]] -> blocks[r] = want[by[r]]; step[r] = GROW_RECORD; check() }
    :: atomic { up && step[r] == GROW_RECORD -> record[r] = want[by[r]]; step[r] = GROW_DONE; check() }
#endif
    :: atomic { up && (step[r] == GROW_BLOCKS || step[r] == GROW_RECORD) -> blocks[r] = size[r]; step[r] = GROW_UNDO; check() }
    :: atomic { /* conclude_grow */
           up && step[r] == GROW_DONE ->
           used = used + want[by[r]] - charge[r]; charge[r] = want[by[r]];
           size[r] = want[by[r]]; answer(by[r], true); done(r); check()
       }
    :: atomic {
           up && step[r] == GROW_UNDO ->
#ifndef FAULT_NO_UNDO
           used = used + size[r] - charge[r]; charge[r] = size[r];
#endif
           answer(by[r], false); done(r); check()
       }

    /* run_shrink: the record, then the cut. */
    :: atomic { up && step[r] == SHRINK_RECORD -> record[r] = want[by[r]]; step[r] = SHRINK_CUT; check() }
    :: atomic { up && step[r] == SHRINK_CUT -> blocks[r] = want[by[r]]; step[r] = SHRINK_DONE; check() }
    :: atomic { /* undo_shrink */
           up && (step[r] == SHRINK_RECORD || step[r] == SHRINK_CUT) ->
           record[r] = size[r]; end_ask_of(by[r], r); answer(by[r], false); done(r); check()
       }
    /* All have agreed: wait_retry and prepare. */
    :: atomic {
           up && step[r] == FREE && IS_ASKING(r) ->
           count_missing(r);
           c = asker[r] - 1;
           if
           :: n == 0 && told[c] == size[r] && !cancelled[c] -> stage[c] = WORKS; by[r] = c; step[r] = SHRINK_RECORD
           :: else -> answer(c, false); end_ask(r) /* also: agree_until has passed, at any time */
           fi;
           n = 0; c = 0; check()
       }
    :: atomic { /* conclude_shrink */
           up && step[r] == SHRINK_DONE ->
           used = used + want[by[r]] - charge[r]; charge[r] = want[by[r]];
           size[r] = want[by[r]]; end_ask_of(by[r], r); answer(by[r], true); done(r); check()
       }

    /* run_open: note_sharing writes down how many may map the file, before this client can. */
    :: atomic {
           up && step[r] == OPEN_RECORD ->
           if
           :: leases[r] && !MAPPED(r) -> others[r] = 0; holders[r] = 1
           :: else -> leases[r] = false
           fi;
#ifndef FAULT_SHARING_NOT_NOTED
           if
           :: others[r] > 0 -> holders[r] = (others[r] + 1 < HOLDERS_MOST -> others[r] + 1 : HOLDERS_MOST)
           :: else
           fi;
#endif
           step[r] = OPEN_DONE; check()
       }
    :: atomic { up && step[r] == OPEN_RECORD -> answer(by[r], false); done(r); check() }
    :: atomic { /* conclude_open, attach_op_done */
           up && step[r] == OPEN_DONE ->
           if
           :: leases[r] -> forget_holders(r)
           :: else
           fi;
           attach(by[r], r); answer(by[r], true); done(r); check()
       }

    /* daemon/op/reap.c: the lease, the cut, the end of the file.  A probe that finds the file in use changes nothing, and is left out. */
#ifdef FAULT_NO_LEASE
    :: atomic { up && known[r] && step[r] == FREE && empty(ops[r]) && !ATTACHED(r) -> step[r] = REAP_CUT; check() }
#else
    :: atomic { up && known[r] && step[r] == FREE && empty(ops[r]) && !ATTACHED(r) && !MAPPED(r) -> step[r] = REAP_CUT; check() }
#endif
    :: atomic { up && step[r] == REAP_CUT -> blocks[r] = 0; step[r] = REAP_UNLINK; check() }
    :: atomic { up && step[r] == REAP_UNLINK -> exists[r] = false; record[r] = 0; holders[r] = 0; step[r] = REAP_DONE; check() }
    :: atomic {
           up && step[r] == REAP_DONE ->
           used = used - charge[r]; charge[r] = 0; size[r] = 0; known[r] = false;
           forget_holders(r); done(r); check()
       }
    od
}

/* daemon/op/resume.c: tries those that wait, in the order in which they came, and ends those that were cancelled.  While an operation is
   at work on its region, an operation stays parked. */
inline try_first()
{
    waiters?k;
    if
    :: cancelled[k] ->
        answer(k, false);
#ifdef FAULT_CANCELLED_STAYS_QUEUED
        waiters!k
#endif
    :: !cancelled[k] && step[on[k]] != FREE -> waiters!k
    :: !cancelled[k] && step[on[k]] == FREE -> prepare_grow(k, on[k])
    fi
}

proctype resume()
{
    byte k, left;
end:
    do
    :: atomic {
           up && poked ->
           poked = false;
           left = len(waiters);
           do
           :: left > 0 -> left--; try_first()
           :: left == 0 -> break
           od;
           k = 0; check()
       }
#ifdef DEADLINES
    :: atomic { up && nempty(waiters) -> waiters?k; answer(k, false); k = 0; check() } /* wait_next_to_end; not with the check that all are served */
#endif
    od
}

/* Of process C: its connection has ended. */
inline disconnect(c)
{
    connected[c] = false; ending[c] = true;
    for (j : 0 .. REGIONS - 1) {
        former[AT(c, j)] = attached[AT(c, j)]; attached[AT(c, j)] = false;
        asked[AT(c, j)] = false; agrees[AT(c, j)] = false
    }
    if
    :: request[c] != NOTHING && stage[c] == ANSWERED -> request[c] = NOTHING
    :: request[c] != NOTHING && stage[c] != ANSWERED -> gone[c] = true
    :: else
    fi;
    j = 0
}

inline ask(c, r, what, size_wanted)
{
    request[c] = what; stage[c] = ASKED; on[c] = r; want[c] = size_wanted; ops[r]!c
}

/* What the library does with an answer (client/region, client/link). */
inline take_answer(c)
{
    if
    :: request[c] == ATTACH && granted[c] && !held[c] -> maps[AT(c, on[c])] = true; length[AT(c, on[c])] = told[c]
    :: request[c] == GROW && granted[c] -> length[AT(c, on[c])] = want[c]; gave[AT(c, on[c])] = false
    :: request[c] == SHRINK && !granted[c] -> length[AT(c, on[c])] = told[c]
    :: else
    fi;
    request[c] = NOTHING; held[c] = false; granted[c] = false; told[c] = 0; want[c] = 0; on[c] = 0
}

/* A process, and what the daemon sees of its connection. */
proctype client(byte c)
{
    byte r;
end:
    do
    :: atomic { alive[c] && up && !connected[c] && request[c] == NOTHING -> connected[c] = true }
    :: atomic {
           connected[c] && request[c] == NOTHING ->
           select(r : 0 .. REGIONS - 1);
           if
           :: !attached[AT(c, r)] -> held[c] = maps[AT(c, r)]; ask(c, r, ATTACH, 0)
           :: attached[AT(c, r)] && maps[AT(c, r)] && length[AT(c, r)] < MOST ->
               if
               :: waits[c] = true
               :: waits[c] = false
               fi;
               object(c, r);
               ask(c, r, GROW, length[AT(c, r)] + 1)
           :: attached[AT(c, r)] && maps[AT(c, r)] && length[AT(c, r)] > 0 ->
               told[c] = length[AT(c, r)]; length[AT(c, r)] = 0; ask(c, r, SHRINK, 0) /* the access goes first */
           :: attached[AT(c, r)] && maps[AT(c, r)] -> maps[AT(c, r)] = false; length[AT(c, r)] = 0; gave[AT(c, r)] = false; ask(c, r, DETACH, 0)
           :: !attached[AT(c, r)] && maps[AT(c, r)] -> maps[AT(c, r)] = false; length[AT(c, r)] = 0; gave[AT(c, r)] = false; ask(c, r, DETACH, 0)
           fi;
           r = 0; check()
       }
    :: atomic { connected[c] && request[c] != NOTHING && stage[c] == ANSWERED -> take_answer(c); check() }
    :: atomic { /* region_agree_locked; the program need not do it */
           connected[c] && request[c] == NOTHING ->
           select(r : 0 .. REGIONS - 1);
           if
           :: asked[AT(c, r)] && !agrees[AT(c, r)] && maps[AT(c, r)] ->
               gave[AT(c, r)] = gave[AT(c, r)] || length[AT(c, r)] > 0; length[AT(c, r)] = 0; agrees[AT(c, r)] = true
           :: !asked[AT(c, r)] && attached[AT(c, r)] && gave[AT(c, r)] -> /* the event that ends the ask, and a refresh */
               gave[AT(c, r)] = false; length[AT(c, r)] = size[r]
           :: else
           fi;
           r = 0; check()
       }
#ifndef NO_CANCEL
    :: atomic { /* Cancel: op_cancel */
           connected[c] && request[c] == GROW && stage[c] != ANSWERED && !cancelled[c] ->
           cancelled[c] = true; poked = true
       }
#endif
    :: atomic { connected[c] && !ending[c] && n_drops < DROPS -> n_drops++; disconnect(c); check() }
    :: atomic { /* the process ends */
           alive[c] && !ending[c] && n_drops < DROPS ->
           n_drops++;
           alive[c] = false;
           for (j : 0 .. REGIONS - 1) { maps[AT(c, j)] = false; length[AT(c, j)] = 0; gave[AT(c, j)] = false }
           if
           :: connected[c] -> disconnect(c)
           :: else
           fi;
           j = 0; check()
       }
    :: atomic { /* peer_deinit and request_forget_peer */
           up && ending[c] ->
           for (j : 0 .. REGIONS - 1) {
               if
               :: former[AT(c, j)] ->
                   former[AT(c, j)] = false;
#ifndef FAULT_END_IS_DETACH
                   lose(c, j);
#endif
                   replaced[AT(c, j)] = false
               :: else
               fi
           }
           ending[c] = false;
           if
           :: gone[c] -> cancelled[c] = true; poked = true
           :: else
           fi;
           j = 0; check()
       }
    od
}

/* The daemon is killed, and started: daemon/store/repair and daemon/recovery. */
inline kill()
{
    up = false; used = 0; poked = false;
    do
    :: nempty(waiters) -> waiters?_
    :: empty(waiters) -> break
    od;
    for (j : 0 .. REGIONS - 1) {
        do
        :: nempty(ops[j]) -> ops[j]?_
        :: empty(ops[j]) -> break
        od;
        known[j] = false; size[j] = 0; charge[j] = 0; step[j] = FREE; by[j] = 0; others[j] = 0; leases[j] = false;
        forget_holders(j);
        end_ask(j);
        for (i : 0 .. CLIENTS - 1) { attached[AT(i, j)] = false; former[AT(i, j)] = false; replaced[AT(i, j)] = false }
    }
    for (i : 0 .. CLIENTS - 1) {
        connected[i] = false; ending[i] = false; gone[i] = false; waits[i] = false; cancelled[i] = false; held[i] = false;
        request[i] = NOTHING; granted[i] = false; told[i] = 0; want[i] = 0; on[i] = 0
    }
    i = 0; j = 0
}

inline start()
{
    for (j : 0 .. REGIONS - 1) {
        if
        :: exists[j] ->
            blocks[j] = record[j]; known[j] = true; size[j] = record[j]; charge[j] = record[j]; used = used + record[j];
#ifndef FAULT_RECORD_NOT_BELIEVED
            unknown[j] = holders[j] == HOLDERS_MOST; awaited[j] = (unknown[j] -> 0 : holders[j])
#endif
        :: else
        fi
    }
    up = true
}

proctype machine()
{
end:
    do
    :: atomic { up && n_restarts < RESTARTS -> n_restarts++; kill(); check() }
    :: atomic { !up -> start(); check() }
    od
}

init {
    atomic {
        for (i : 0 .. CLIENTS - 1) { request[i] = NOTHING; stage[i] = ASKED; run client(i) }
        for (j : 0 .. REGIONS - 1) { step[j] = FREE; run region(j) }
        i = 0; j = 0;
        run resume();
        run machine()
    }
}

/* A request that waits and could be granted is tried, if the daemon goes on. */
#define FITS (up && request[0] == GROW && stage[0] == WAITS && step[on[0]] == FREE && known[on[0]] && used + want[0] <= LIMIT + size[on[0]])
ltl served { !(<> [] FITS) }
/* A Cancel, or the end of the connection, ends the request. */
ltl ended { [] (cancelled[0] -> <> !cancelled[0]) }
