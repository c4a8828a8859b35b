#!/usr/bin/python3
"""seeds.py DIR: writes a few inputs for each target into DIR/TARGET, from which fuzzers go on and by which the targets are tested."""
import os
import struct
import sys
import zlib

HANDLE, OTHER = bytes([1] * 16), bytes([2] * 16)
RIGHT_ID, WITH_FD = 1, 2
NO_WAIT, HONEST_HELLO, SECOND, KEEP_FD = 1, 2, 4, 8
LAST = 2**64 - 1  # see conversation.c


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def message(*fields):
    """Fields are (number, value): an int, bytes, or str."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def packet(flags, body):
    return struct.pack("<BH", flags, len(body)) + body


def requests():
    """One of each kind, in an order in which most of them succeed."""
    kinds = [
        (3, (1, HANDLE), (2, 100000)),  # CreateRegion
        (3, (1, HANDLE), (2, 100000)),  # again: the same region
        (4, (1, "name"), (2, OTHER), (3, 5000), (4, 4), (5, 0o644)),  # OpenRegion, CREATE
        (5, (1, HANDLE), (2, 2)),  # AttachRegion, READ_ONLY
        (7, (1, HANDLE), (2, 300000)),  # GrowRegion
        (7, (1, HANDLE), (2, 15 << 20), (3, 1)),  # with wait_ms
        (7, (1, HANDLE), (2, 1 << 62)),  # above the limit
        (17, (1, HANDLE), (2, 4096), (3, 8192)),  # DiscardRegion
        (19, (1, HANDLE)),  # ListDiscarded
        (18, (1, HANDLE), (2, 8192), (3, 4096)),  # RestoreRegion
        (8, (1, HANDLE), (2, 50000), (3, 15 << 20)),  # ShrinkRegion
        (8, (1, HANDLE), (2, 40000), (3, 50000), (4, 1)),  # with wait_ms
        (25, (1, HANDLE), (2, 1)),  # AgreeShrink
        (9, (1, HANDLE)),  # StatRegion
        (9, (1, HANDLE), (2, 1)),  # which watches
        (26, (1, "name"), (3, 3600)),  # SetExpiry
        (10, (1, OTHER), (2, 800), (3, 8), (4, 1)),  # CommitRegion, DURABLE
        (12, (1, HANDLE)),  # OpenFile
        (13,),  # GetUsage
        (13, (1, "total")),
        (14, (3, 1)),  # ListRegions
        (15,),  # GetStatus
        (29,),  # GetMetrics
        (29, (2, 1)),  # as text
        (29, (1, struct.pack("<QQ", 1, 64512))),  # its second page
        (21,),  # ListQuota
        (22, (1, "user:+4242"), (2, message((1, "bytes"), (2, "1M")))),  # SetQuota
        (23, (1, "user:+4242"), (2, "bytes")),  # UnsetQuota
        (20, (1, "name")),  # RemoveRegion, attached
        (20, (1, "name"), (4, 1)),  # forced
        (11, (1, "name")),  # UnlinkRegion
        (16, (1, 3)),  # Cancel
        (6, (1, HANDLE)),  # DetachRegion
        (27, (1, HANDLE), (2, bytes([3] * 16)), (3, "copy"), (4, 2), (5, 0o640)),  # CloneRegion
        (28, (1, "copy"), (4, "1")),  # MoveRegion
        (24, (1, "+4242")),  # DisconnectUser
        (30,),  # WatchEvents
        (31,),  # ListUsage
        (31, (1, struct.pack("<II", 2, 0))),  # from the users on
    ]
    return [message((1, 2 + i), (kind[0], message(*kind[1:]))) for i, kind in enumerate(kinds)]


HELLO = message((1, 1), (2, message((1, 1), (2, 1), (3, 15), (4, "seed"))))


def cancelled():
    """Requests that are cancelled while they are in flight and have no operation: a change of quotas, a look-up, a Cancel."""
    kinds = [(22, (1, "user:+4242"), (2, message((1, "bytes"), (2, "1M")))), (4, (1, "name"), (2, OTHER), (6, "+4243")), (13, (1, "user:+4244"))]
    out = [packet(HONEST_HELLO | NO_WAIT, message((1, 2), (14, b"")))]
    for i in range(60):
        kind, at = kinds[i % 3], 10 + 4 * i
        out.append(packet(NO_WAIT, message((1, at), (kind[0], message(*kind[1:])))))
        out += [packet(NO_WAIT, message((1, at + n), (16, message((1, at + n - 1))))) for n in (1, 2)]
        out.append(packet(0, message((1, at + 3), (13, b""))))
    return b"".join(out)


def conversation(*steps):
    """Steps are (flags, kind, field...); the ids are those of the places."""
    return b"".join(packet(flags | (0 if i else HONEST_HELLO), message((1, 10 + i), (kind, message(*fields))))
                    for i, (flags, kind, *fields) in enumerate(steps))


CREATE, OPEN, ATTACH, DETACH, GROW, SHRINK, STAT, COMMIT, UNLINK = range(3, 12)
GET_USAGE, LIST_REGIONS, CANCEL, DISCARD, RESTORE, LIST_DISCARDED, REMOVE, LIST_QUOTA, SET_QUOTA, UNSET_QUOTA = 13, 14, 16, 17, 18, 19, 20, 21, 22, 23
DISCONNECT, AGREE, SET_EXPIRY, CLONE, MOVE, GET_METRICS, WATCH, LIST_USAGE = 24, 25, 26, 27, 28, 29, 30, 31
THIRD = bytes([3] * 16)


def named(size, flags=0, **more):
    """Opens the region `name`, and makes it."""
    return (flags, OPEN, (1, "name"), (2, OTHER), (3, size), (4, more.get("how", 4)), (5, 0o644))


def moves():
    """To the other disk and back; refused; cancelled; beside a process that has the file open, and beside a clone."""
    to = lambda disk, flags=0: (flags, MOVE, (1, "name"), (4, disk))
    gone = (0, DETACH, (1, OTHER))
    return [
        conversation(named(300000), gone, to("1"), (0, MOVE, (2, OTHER), (4, "0")), to("0"), named(0), (0, STAT, (1, OTHER)),
                     (0, REMOVE, (1, "name"), (4, 1))),
        conversation(named(5000), to("1"), gone, to("2"), to("nowhere"), (0, CREATE, (1, HANDLE), (2, 4096)),
                     (0, MOVE, (2, HANDLE), (4, "1")), (0, MOVE, (1, "other"), (4, "1")),
                     (0, MOVE, (1, "name"), (3, "+4242"), (4, "1"))),
        conversation(named(8 << 20), gone, to("1", NO_WAIT), (0, CANCEL, (1, 12)), to("1", NO_WAIT), (0, UNLINK, (1, "name"))),
        conversation(named(8 << 20), gone, to("1", NO_WAIT), (SECOND | NO_WAIT, ATTACH, (1, OTHER)), to("1"), named(0), (0, GROW, (1, OTHER), (2, 9 << 20))),
        conversation(named(300000, KEEP_FD), gone, to("1"), (0, STAT, (1, OTHER))),
        conversation(named(12 << 20), gone, (0, CREATE, (1, HANDLE), (2, 4 << 20)), to("1"), (0, GET_USAGE,)),
        conversation(named(300000), (0, DISCARD, (1, OTHER), (2, 8192), (3, 65536)), (0, COMMIT, (1, OTHER), (2, 800), (3, 8)),
                     (0, SET_EXPIRY, (1, "name"), (3, 3600)), gone, to("1"), named(0), (0, LIST_DISCARDED, (1, OTHER))),
        conversation(named(4 << 20), (NO_WAIT, CLONE, (1, OTHER), (2, HANDLE), (3, "copy"), (5, 0o600)), (NO_WAIT, DETACH, (1, OTHER)), to("1")),
    ]


def clones():
    copy = (0, CLONE, (1, HANDLE), (2, OTHER), (3, "copy"), (5, 0o600))
    made = (0, CREATE, (1, HANDLE), (2, 300000))
    sparse = (0, CREATE, (1, HANDLE), (2, 300000), (3, 1))
    return [
        conversation(made, (0, DISCARD, (1, HANDLE), (2, 4096), (3, 65536)), (0, COMMIT, (1, HANDLE), (2, 800), (3, 8)), copy, copy,
                     (0, CLONE, (1, HANDLE), (2, THIRD), (3, "copy")), (0, CLONE, (1, HANDLE), (2, THIRD)), (0, LIST_DISCARDED, (1, OTHER)),
                     (0, STAT, (1, THIRD)), (0, UNLINK, (1, "copy")), (0, CLONE, (1, OTHER), (2, bytes(16)))),
        conversation(sparse, copy, (0, STAT, (1, OTHER)), (0, CLONE, (1, THIRD), (2, bytes(16)))),
        conversation((0, CREATE, (1, HANDLE), (2, 7 << 20)), (NO_WAIT, *copy[1:]), (0, CANCEL, (1, 11)), (NO_WAIT, *copy[1:]), (NO_WAIT, SHRINK, (1, HANDLE), (2, 0), (3, 7 << 20)),
                     (0, DETACH, (1, HANDLE)), (0, STAT, (1, OTHER))),
        conversation((0, CREATE, (1, HANDLE), (2, 9 << 20)), copy, (0, GET_USAGE,)),
        conversation(made, (SECOND, ATTACH, (1, HANDLE), (2, 2)), (SECOND | NO_WAIT, *copy[1:]), (0, GROW, (1, HANDLE), (2, 400000)), (SECOND, STAT, (1, OTHER))),
    ]


def shared():
    """Two connections with one region: agreed shrinks, news of changes, sole writers."""
    made, joined = (0, CREATE, (1, HANDLE), (2, 300000)), (SECOND, ATTACH, (1, HANDLE))
    cut = (NO_WAIT, SHRINK, (1, HANDLE), (2, 4096), (3, LAST), (4, 1000))
    agree = (SECOND, AGREE, (1, HANDLE), (2, 0))
    stat = (0, STAT, (1, HANDLE))
    return [
        conversation(made, joined, cut, (SECOND, STAT, (1, HANDLE)), agree, stat, agree),
        conversation(made, joined, cut, agree, agree, (SECOND, DETACH, (1, HANDLE)), stat),
        conversation(made, joined, cut, (SECOND, GROW, (1, HANDLE), (2, 400000)), stat),
        conversation(made, joined, cut, (0, CANCEL, (1, 12)), agree, (NO_WAIT, SHRINK, (1, HANDLE), (2, 8192), (3, LAST), (4, 1)), stat, stat),
        conversation(made, joined, (SECOND | NO_WAIT, SHRINK, (1, HANDLE), (2, 0), (3, 300000), (4, 1000)), cut, (0, AGREE, (1, HANDLE), (2, 0)), stat),
        conversation(made, joined, (SECOND, STAT, (1, HANDLE), (2, 1)), (0, COMMIT, (1, HANDLE), (2, 9), (3, 1)), (SECOND, STAT, (1, HANDLE), (2, 1)),
                     (0, GROW, (1, HANDLE), (2, 400000)), (SECOND, STAT, (1, HANDLE))),
        conversation(named(5000, how=4 | 16), (SECOND, OPEN, (1, "name"), (2, THIRD)), (SECOND, ATTACH, (1, OTHER), (2, 16)), (0, DETACH, (1, OTHER), (2, 1)),
                     (SECOND, ATTACH, (1, OTHER), (2, 16)), (0, DETACH, (1, OTHER)), (SECOND, ATTACH, (1, OTHER), (2, 16))),
        conversation(made, joined, (SECOND | NO_WAIT, GROW, (1, HANDLE), (2, 15 << 20)), (NO_WAIT, GROW, (1, HANDLE), (2, 16 << 20), (3, 50)), (0, DISCONNECT, (1, "+0")), stat),
    ]


def watches():
    """The second connection is told of everything that the first one does."""
    quota = lambda *settings: (0, SET_QUOTA, (1, "user:+0"), *[(2, message((1, key), (2, text))) for key, text in settings])
    watch, read = (SECOND, WATCH), (SECOND, GET_USAGE)
    made = (0, CREATE, (1, HANDLE), (2, 300000))
    return [
        conversation(named(5000), watch, made, (0, GROW, (1, HANDLE), (2, 1 << 40)), (NO_WAIT, GROW, (1, HANDLE), (2, 16 << 20), (3, 20)), read,
                     quota(("bytes", "8M"), ("warn_at", "10%")), (0, GROW, (1, HANDLE), (2, 6 << 20)), (0, UNLINK, (1, "name")), (0, DETACH, (1, OTHER)),
                     (0, REMOVE, (2, HANDLE), (4, 1)), (0, UNSET_QUOTA, (1, "user:+0")), read, watch, read),
        conversation(quota(("soft_bytes", "1M"), ("grace", "0s")), made, watch, (0, GROW, (1, HANDLE), (2, 2 << 20)), (0, GROW, (1, HANDLE), (2, 3 << 20)),
                     (0, GET_USAGE,), read, (0, LIST_QUOTA,), (0, UNSET_QUOTA, (1, "user:+0"), (2, "soft_bytes"), (2, "grace"))),
        conversation(named(5000), (0, SET_EXPIRY, (1, "name"), (3, 1)), (0, SET_EXPIRY, (1, "name"), (3, 0)), (0, SET_EXPIRY, (1, "name"), (3, 1 << 32)),
                     (0, SET_EXPIRY, (1, "name"), (2, "+4242"), (3, 1)), (0, STAT, (1, OTHER)), (0, LIST_REGIONS,)),
        conversation((0, WATCH), (0, WATCH), *[(SECOND, CREATE, (1, bytes([n] * 16)), (2, 4096)) for n in range(8)], (0, LIST_USAGE,)),
    ]


def pages():
    """Lists to their ends."""
    regions = [(0, CREATE, (1, bytes([n] * 16)), (2, 0)) for n in range(5)]
    return [
        conversation(*regions, (0, LIST_REGIONS, (3, 2)), *[(0, LIST_REGIONS, (2, "*"), (3, 2))] * 3, (0, LIST_REGIONS, (1, "+0"), (3, 1))),
        conversation((0, GET_METRICS,), *[(0, GET_METRICS, (1, "*"))] * 3, (0, GET_METRICS, (2, 1)), (0, GET_METRICS, (1, "*"), (2, 1)), (0, GET_METRICS, (2, 2))),
        conversation((0, LIST_USAGE,), (0, LIST_USAGE, (1, "*")), (0, LIST_QUOTA,), (0, LIST_QUOTA, (1, "*")),
                     *[(0, SET_QUOTA, (1, f"user:+{n}"), (2, message((1, "regions"), (2, "9")))) for n in range(5000, 5012)], (0, LIST_QUOTA,), (0, LIST_QUOTA, (1, "*"))),
        conversation(*[(0, GET_USAGE, (1, subject)) for subject in ("total", "unlisted", "default", "user:root", "user:+77", "group:root", "cgroup:/", "members:root")]),
    ]


def fronts():
    """The front of a region is discarded, as one that is consumed; parts of it come back; growth that is asked for early."""
    discard = lambda at, n: (0, DISCARD, (1, HANDLE), (2, at), (3, n))
    made = (0, CREATE, (1, HANDLE), (2, 1 << 20))
    return [
        conversation(made, *[discard(0, n << 16) for n in (1, 3, 8, 16)], (0, LIST_DISCARDED, (1, HANDLE)), (0, RESTORE, (1, HANDLE), (2, 65536), (3, 65536)),
                     (0, LIST_DISCARDED, (1, HANDLE), (2, 65536)), (0, SHRINK, (1, HANDLE), (2, 100000), (3, LAST)), (0, GROW, (1, HANDLE), (2, 2 << 20)), (0, STAT, (1, HANDLE))),
        conversation(made, *[discard(n << 13, 4096) for n in range(40)], (0, LIST_DISCARDED, (1, HANDLE)), (SECOND, ATTACH, (1, HANDLE)), discard(0, 8192),
                     (0, RESTORE, (1, HANDLE), (2, 0), (3, 1 << 20)), discard(1, 2), discard(1 << 40, 4096)),
        conversation((0, CREATE, (1, HANDLE), (2, 4096), (4, 1)), (0, GROW, (1, HANDLE), (2, 1 << 20), (4, 1)), (0, GROW, (1, HANDLE), (2, 15 << 20), (4, 1)),
                     (0, GROW, (1, HANDLE), (2, 15 << 20), (3, 5), (4, 1)), (0, CREATE, (1, OTHER), (2, 15 << 20), (4, 1))),
    ]


def region(size, *more):
    return message((5, message((1, HANDLE), (2, size), (3, -size % 4096 + size), *more)))


def refused():
    return message((2, message((1, 10), (2, "there is no such region"))))


def usage_packet():
    return packet(RIGHT_ID, message((6, message((2, 4096), (3, 1 << 30), (5, 1000)))))


def replies():
    hello = message((4, message((1, 1), (3, bytes(16)), (4, 65536), (5, 64), (6, 4096), (7, 1), (8, "0.1.0"))))
    usage = message((6, message((2, 4096), (3, 1 << 30), (5, 1000))))
    refusal = message((2, message((1, 7), (2, "a limit is reached"), (3, "user:+0 bytes"), (4, 9), (5, 8), (6, 7))))
    made = packet(RIGHT_ID | WITH_FD, message((3, 1)) + region(8192))
    knows = packet(RIGHT_ID, message((4, message((1, 1), (2, 127), (3, bytes(16)), (4, 65536), (5, 64), (6, 4096), (7, 1), (8, "0.2.0")))))
    event = lambda kind, *fields: packet(0, message((12, message((1, kind), *fields))))
    same = packet(RIGHT_ID, region(8192))
    copy = packet(RIGHT_ID | WITH_FD, message((3, 1), (5, message((1, OTHER), (2, 8192), (3, 8192), (11, "copy")))))
    report = message((1, 3), (2, 1700000000000000), (3, 1), (4, 0), (5, "root"), (8, HANDLE), (10, 8192))
    ranges = packet(RIGHT_ID, message((9, message((1, message((1, 0), (2, 4096))), (2, 0)))))
    listed = packet(RIGHT_ID, message((7, message((1, message((1, HANDLE), (2, 8192), (11, "name"), (13, 1), (19, 3600), (20, "/spill"))), (2, "next")))))
    last = packet(RIGHT_ID, message((7, message((1, message((1, OTHER), (2, 0), (15, 1), (24, 1)))))))
    # Up to the third region, of which there is a copy: see fuzz-client.c.
    before = [knows, made] + [same] * 5 + [usage_packet(), packet(RIGHT_ID, refused()), packet(RIGHT_ID, b"")]
    busy = packet(RIGHT_ID, message((2, message((1, 13), (2, "others have it")))))
    stale = packet(RIGHT_ID, message((2, message((1, 12), (2, "it was cut"), (7, 4096)))))
    return [
        before + [made, event(5, (3, 8192), (4, 4096), (6, HANDLE)), copy, same, ranges, same, listed, last],
        before + [made, event(2, (6, HANDLE), (7, 4096)), event(4, (6, HANDLE)), copy, same, same, same, last],
        before + [made, event(3, (6, HANDLE), (7, 0), (8, 9)), event(3, (6, HANDLE), (7, 4096), (8, 1 << 63)), busy, busy, stale],
        before + [made, event(7, (9, report)), event(1, (2, "user:+0 bytes"), (3, 9), (4, 8), (5, 7)), event(6, (3, 1)), event(99), copy, stale],
        [knows, made, packet(RIGHT_ID, region(12288)), event(3, (6, HANDLE), (7, 0), (8, 1)), busy, event(2, (6, HANDLE), (7, 12288)), same, same, same],
        [knows, packet(RIGHT_ID | WITH_FD, message((3, 1), (5, message((1, HANDLE), (2, 8192), (3, 4096), (17, 4096), (18, 1), (7, 16))))), ranges, same, same],
        [packet(RIGHT_ID, hello), made]
        + [packet(RIGHT_ID, region(n)) for n in (12288, 4096, 4096)]
        + [packet(RIGHT_ID, region(4096, (4, 0), (5, 8), (6, 1))), made, packet(RIGHT_ID, usage)],
        [packet(RIGHT_ID, hello), made, packet(RIGHT_ID, refusal), packet(RIGHT_ID, refusal)],
        [packet(RIGHT_ID, hello), packet(RIGHT_ID, refusal), packet(RIGHT_ID, usage)],
        [packet(RIGHT_ID, hello), packet(RIGHT_ID, message((12, message((1, 1), (2, "user:+0 bytes"), (3, 9)))))],
        [packet(RIGHT_ID, refusal)],
        [packet(0, message((1, 0), (2, message((1, 1), (2, "no")))))],
        [],
    ]


def record(name, version=3, flags=None, expires=(3600, 1700000000), committed=(800, 8)):
    """FLAGS say whether there are an expiry (256) and a commit (2)."""
    head = b"DAr1" + struct.pack("<BBHII", version, len(name), 0o600, 1000, 1000) + HANDLE
    if flags is None:
        flags, committed = (2, committed) if name else (0, (0, 0))
    if version < 3:
        head += struct.pack("<QQII", 1700000000, *committed, flags) + bytes(16)
    else:
        head += struct.pack("<IIQQ", 1700000000, flags, 8192, 12)
        head += struct.pack("<QI", *committed) if flags & 2 else b""
        head += struct.pack("<IQ", *expires) if flags & 256 else b""
    head += name.encode()
    return head + struct.pack("<I", zlib.crc32(head))


# Sparse, unlinked, shared by 3, a sole writer's, marked, behind passthrough; that expire, and that do and are unused; halves of moves.
RECORDS = [record("name", 3, flags) for flags in (1, 4, 3 << 24 | 16, 255 << 24 | 16, 32, 64, 128, 8 | 2)]
RECORDS += [record("name", 4, 256), record("name", 4, 256 | 512 | 2), record("name", 4, 256 | 512, (0xFFFFFFFF, 2**64 - 1)), record("", 4, 256)]
RECORDS += [record("name", 5, flags) for flags in (1024, 2048, 1024 | 2, 2048 | 256, 1024 | 2048, 1024 | 256 | 512 | 2, 0, 256)]
RECORDS += [record("name", version, flags) for version, flags in ((3, 256), (3, 1024), (4, 0), (4, 1024), (6, 0), (0, 0))]


CONFIGS = [
    "",
    "# all of it\n[daemon]\nsocket = /run/a.sock\nsocket_mode = 0666\nspill_dir = /var/lib/a\nspill_dir_require_mount = no\n"
    "admin_group = root\nkeep_free = 5%\nfence = auto\n",
    "[daemon]\nmetrics_listen = localhost:9090\nmetrics_socket_mode = 0600\n",
    "[daemon]\nmetrics_listen = [::1]:0\n", "[daemon]\nmetrics_listen = 127.0.0.1.1:99999\n", "[daemon]\nmetrics_listen = /run/m.sock\n",
    "[quota total]\nbytes = 80%\nregions = 100000\nconnections = 10000\n\n[quota default]\nbytes = 50G\nregion_bytes = unlimited\n"
    "warn_at = 80%\n\n[quota user:root]\nbytes = 500G\n[quota members:root]\nbytes = 200G\n[quota group:root]\nbytes = 2T\n",
    "[daemon]\nspill_dir = /a\nspill_dir = /b//\n[disk /b]\nkeep_free = 1G\nrequire_mount = yes\nnew_regions = no\nusers = root +0\n"
    "min_bytes = 1M\n[disk /c]\n",
    "[daemon]\nspill_dir = /a\n[disk /a/]\nnew_regions = maybe\n", "[disk a]\n", "[disk /a]\n[disk /a/]\n", "[disk /a]\nusers = root,daemon\n",
    "[disk /a]\nusers = +4294967296\n", "[disk /a]\nkeep_free = unlimited\n", "[disk /a]\nmin_bytes = 10%\n",
    "[quota cgroup:/]\nbytes = 10G\nregions = 5\n[quota cgroup:batch.slice]\nbytes = 80%\n[quota cgroup:user-1000.slice]\nsoft_bytes = 1G\n"
    "[quota cgroup:/system.slice/a.service]\nwarn_at = 90%\n[quota cgroup:-.slice]\nconnections = 7\n",
    "[quota cgroup:a/b]\n", "[quota cgroup:/a/../b]\n", "[quota cgroup:a--b.slice]\n", "[quota cgroup:]\n", "[quota cgroup:/a//b]\n",
    "[quota default]\nsoft_bytes = 10G\ngrace = 7d\n[quota user:root]\nsoft_bytes = 50%\ngrace = unlimited\n[quota members:root]\ngrace = 1h 30min\n",
    "[quota default]\ngrace = 90\n", "[quota default]\ngrace = 1 fortnight\n", "[quota default]\ngrace = 99999999999999999999s\n", "[quota total]\nsoft_bytes = unlimited\n",
    "[daemon]\nmetrics_listen = off\n", "[daemon]\nmetrics_listen = 127.1.2.3:65535\n", "[daemon]\nmetrics_listen = 10.0.0.1:9464\n", "[daemon]\nfence = passthrough\n",
    "[quota user:+1000]\nbytes = 0\n",
    "[quota unlisted]\nbytes = 1G\nregions = 10\n",
    "[quota group:no such]\nregions = 18446744073709551615\n",
    "[daemon]\nsocket = /a ; not a comment\n",
    "[daemon\n", "[daemon]\nkey\n", "[quota default]\nbytes = -1\n", "[daemon]\n[daemon]\n", "[quota default]\nbytes = 101%\n",
]
VALUES = [
    "0", "1024", "4K", "50g", "2T", "18446744073709551614", "18446744073709551615", "16777216T", "1.5G", "-1", " 1", "1 ",
    "name", ".hidden", "a" * 128, "a" * 129, "0123456789abcdef0123456789ABCDEF", "0123456789abcdef0123456789ABCDE", "user/name",
    "0s", "90", "30min", "1h 30min", "7d", "2weeks", "18446744073709551615s", "3y", "1h1h", "cgroup:/", "cgroup:/a/b", "cgroup:batch.slice", "cgroup:-.slice",
    "cgroup:a-b-c.slice", "cgroup:/a/./b", "cgroup:" + "/a" * 130, "total", "default", "unlisted", "user:alice", "user:+1000", "members:analysts", "group:analysts", "group:", "user:+", "DOMAIN\\user",
]


EVENTS = [b"\x01" + e for e in (
    b"", b"\x01\x00", b"\x24" + b"0123456789abcdef0123456789ABCDEF\x00" * 3, b"\x20" + b"0" * 32 + b"\x20" + b"@" + b"1" * 31,
    b"\x02\x04x", b"\x27" + b"f" * 39, b"\x21" + b"\x83" + b"0" * 32)]


def tripwire():
    """Scripts of a holder, a step of four bytes each: see fuzz-tripwire.c."""
    size, cut, write, store, resize, discard, restore, fault, look = 128, 7, 8, 9, 10, 11, 12, 13, 14
    allocate, allocate_behind, punch, zero, zero_behind, collapse, insert = range(7)
    attacks = [(cut, 0, 0, 0), (cut, 200, 0, 1), (write, 0, 255, 3), (write, 100, 255, 0), (store, 4, 1, 2), (allocate, 100, 32, 0),
               (allocate_behind, 100, 32, 0), (punch, 2, 4, 0), (zero, 1, 3, 0), (zero_behind, 60, 32, 0), (collapse, 2, 4, 0), (insert, 2, 4, 0), (allocate_behind, 2, 60, 0)]
    own = [(resize, 200, 0, 7), (resize, 10, 0, 0), (discard, 4, 8, 0), (discard, 4, 56, 0), (restore, 5, 2, 0)]
    scripts = [[a] for a in attacks] + [[o, a, (look, 1, 0, 0)] for o in own for a in attacks] + [[a, o] for o in own for a in attacks]
    scripts += [[a, (fault, kind, 0, error), (look, 1, 0, 0)] for a in attacks for kind in (1, 2, 3) for error in (0, 1)]
    scripts += [[], own, attacks, [x for a in attacks for x in (a, (look, 3, 0, 0))]]
    return [b"\x00" + bytes([size]) + b"".join(bytes(step) for step in script) for script in scripts] + [b"\x00"] + EVENTS


DELIVER, CONNECT, GO_TO, HALF_CLOSE, CLOSE, RECEIVE, WAIT, REPEAT, LITERAL = (bytes([n]) for n in range(0xF0, 0xF9))


def http():
    """Requests and orders: see fuzz-http.c."""
    get = lambda path, *lines, version="1.1": "\r\n".join((f"GET {path} HTTP/{version}", *lines, "", "")).encode()
    local = "Host: localhost"
    whole = [get(path, local) for path in ("/", "/metrics", "/metrics?a=b#c", "/state.json", "/big", "/nothing")]
    whole += [get("/metrics", "host:\t127.0.0.1:9464 ", f"Accept: {accept}") for accept in (
        "application/openmetrics-text; version=1.0.0; charset=utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain",
        "application/openmetrics-text;q=0,text/plain;q=0.000", "application/openmetrics-text; q=1.000 ;q=0.3, text/plain;q=9", ";;,,q=")]
    whole += [get("http://localhost:9464/metrics"), get("http://evil.example/", local), get("http://localhost"), get("/", version="1.0"), get("/"),
              get("/", "Host: evil.example"), get("/", "Host: 127.0.0.1.evil.example"), get("/", "Host: [::1]:80"), get("/", local, local), get("/", "Host : localhost"),
              get("/", local, "Content-Length: 5") + b"hello", get("/", local, "Content-Length: 0"), get("/", local, "Transfer-Encoding: chunked"), get("/", version="2.0"),
              get("metrics", local), get("/", local, "no colon"), get("/", local, " folded"), b"GET / HTTP/1.0\n\n", b"\r\n\r\n", b"\n\n", b"G\0T / HTTP/1.1\r\n"]
    # What is behind the first empty line is no header.
    hidden = get("/", local)[:-len(local) - 4]
    whole += [hidden + end + get("/", local)[-len(local) - 4:] for end in (b"\n", b"\r\n", b"A: b\n\r\n", b"A: b\n\n")]
    whole += [method + get("/", local)[3:] for method in (b"HEAD", b"POST", b"get", b"PRI", b"")]
    head = get("/big", local)
    out = whole + [w + HALF_CLOSE for w in whole[:4]] + [DELIVER.join(bytes([byte]) for byte in w) for w in whole[:2]] + [w[:-2] + HALF_CLOSE for w in whole[:2]]
    out += [
        CONNECT.join(whole[:6]), b"".join(whole[:3]), head + DELIVER + WAIT + RECEIVE + WAIT + WAIT + RECEIVE, head + DELIVER + RECEIVE + DELIVER + CLOSE + CONNECT + head,
        head + CLOSE + CONNECT + head[:9] + CLOSE, b"GET /" + DELIVER + WAIT + DELIVER + b" HTTP" + WAIT + WAIT + DELIVER + b"/1.0\r\n\r\n",
        (CONNECT + DELIVER) * 40 + b"".join(GO_TO + bytes([n]) + whole[1] + DELIVER for n in range(0, 40, 3)), (CONNECT + head) * 40 + DELIVER + WAIT * 3,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b" + REPEAT + bytes([140]), b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b" + REPEAT + bytes([126]) + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", b"a" * 8190 + b"\r\n", head + DELIVER + b"x" + REPEAT + b"\xff" + DELIVER + REPEAT + b"\xff" + DELIVER,
        b"GET / HTTP/1.1\r\nHost: " + LITERAL + b"\xff" + LITERAL + b"\xf0" + b"\r\n\r\n", HALF_CLOSE, CLOSE, CONNECT, WAIT * 4, RECEIVE, GO_TO, REPEAT, LITERAL, b"",
    ]
    return out


def write(root, target, inputs):
    os.makedirs(os.path.join(root, target), exist_ok=True)
    for i, content in enumerate(inputs):
        with open(os.path.join(root, target, f"{i:03}"), "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)


def main(root):
    write(root, "http", http())
    write(root, "message", [HELLO, b"", b"\xff"] + requests())
    one_of_each = [packet(HONEST_HELLO, r) for r in requests()]
    write(root, "daemon", [b"".join(one_of_each), b"".join(packet(p[0] | NO_WAIT, p[3:]) for p in one_of_each),
                           packet(0, HELLO) + packet(0, HELLO), packet(0, b"") + packet(0, b"\xff"), b"", cancelled()]
          + [c + packet(0, requests()[-3]) for c in one_of_each] + moves() + clones() + shared() + watches() + pages() + fronts())
    write(root, "client", [b"".join(r) for r in replies()])
    write(root, "record", [record(""), record("name"), record("a" * 128), record("name")[:-1], record("name")[:40],
                           record("name", version=1), record("name", version=2), b"DAr1\x04"] + RECORDS)
    write(root, "config", CONFIGS)
    write(root, "tripwire", tripwire())
    write(root, "values", VALUES)


if __name__ == "__main__":
    main(sys.argv[1])
