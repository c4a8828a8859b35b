#!/usr/bin/python3
"""seeds.py DIR: writes a few inputs for each target into DIR/TARGET, from which fuzzers go on and by which the targets are tested."""
import os
import struct
import sys
import zlib

HANDLE, OTHER = bytes([1] * 16), bytes([2] * 16)
RIGHT_ID, WITH_FD, HONEST_HELLO, NO_WAIT = 1, 2, 2, 1


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


def region(size, *more):
    return message((5, message((1, HANDLE), (2, size), (3, -size % 4096 + size), *more)))


def replies():
    hello = message((4, message((1, 1), (3, bytes(16)), (4, 65536), (5, 64), (6, 4096), (7, 1), (8, "0.1.0"))))
    usage = message((6, message((2, 4096), (3, 1 << 30), (5, 1000))))
    refusal = message((2, message((1, 7), (2, "a limit is reached"), (3, "user:+0 bytes"), (4, 9), (5, 8), (6, 7))))
    made = packet(RIGHT_ID | WITH_FD, message((3, 1)) + region(8192))
    return [
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


def record(name, version=3):
    head = b"DAr1" + struct.pack("<BBHII", version, len(name), 0o600, 1000, 1000) + HANDLE
    flags, committed = (2, (800, 8)) if name else (0, (0, 0))
    if version < 3:
        head += struct.pack("<QQII", 1700000000, *committed, flags) + bytes(16)
    else:
        head += struct.pack("<IIQQ", 1700000000, flags, 8192, 12) + (struct.pack("<QI", *committed) if name else b"")
    head += name.encode()
    return head + struct.pack("<I", zlib.crc32(head))


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
    "[quota user:+1000]\nbytes = 0\n",
    "[quota unlisted]\nbytes = 1G\nregions = 10\n",
    "[quota group:no such]\nregions = 18446744073709551615\n",
    "[daemon]\nsocket = /a ; not a comment\n",
    "[daemon\n", "[daemon]\nkey\n", "[quota default]\nbytes = -1\n", "[daemon]\n[daemon]\n", "[quota default]\nbytes = 101%\n",
]
VALUES = [
    "0", "1024", "4K", "50g", "2T", "18446744073709551614", "18446744073709551615", "16777216T", "1.5G", "-1", " 1", "1 ",
    "name", ".hidden", "a" * 128, "a" * 129, "0123456789abcdef0123456789ABCDEF", "0123456789abcdef0123456789ABCDE", "user/name",
    "total", "default", "unlisted", "user:alice", "user:+1000", "members:analysts", "group:analysts", "group:", "user:+", "DOMAIN\\user",
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


def write(root, target, inputs):
    os.makedirs(os.path.join(root, target), exist_ok=True)
    for i, content in enumerate(inputs):
        with open(os.path.join(root, target, f"{i:03}"), "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)


def main(root):
    write(root, "message", [HELLO, b"", b"\xff"] + requests())
    conversation = [packet(HONEST_HELLO, r) for r in requests()]
    write(root, "daemon", [b"".join(conversation), b"".join(packet(p[0] | NO_WAIT, p[3:]) for p in conversation),
                           packet(0, HELLO) + packet(0, HELLO), packet(0, b"") + packet(0, b"\xff"), b"", cancelled()]
          + [c + packet(0, requests()[-3]) for c in conversation])
    write(root, "client", [b"".join(r) for r in replies()])
    write(root, "record", [record(""), record("name"), record("a" * 128), record("name")[:-1], record("name")[:40],
                           record("name", version=1), record("name", version=2), b"DAr1\x04"])
    write(root, "config", CONFIGS)
    write(root, "tripwire", tripwire())
    write(root, "values", VALUES)


if __name__ == "__main__":
    main(sys.argv[1])
