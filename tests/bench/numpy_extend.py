#!/usr/bin/python3
"""diskalloc.Array.extend in chunks of several sizes, against filling a NumPy array of the final length.

numpy_extend.py [MIB [ROUNDS [ADDRESS]]]: 1024, 5 and dir: on $DISKALLOC_TEST_DIR or /var/tmp by default.  Each run is a
process of its own, and the runs alternate.  Prints ratios of medians: more than 1 is faster than NumPy.  No test.
"""

import os
import statistics
import sys
import time

import numpy

import diskalloc

CHUNKS_MIB = (1, 4, 16, 64, 0)  # 0: all at once


def numpy_run(source, total, chunk):
    begin = time.perf_counter()
    filled = numpy.empty(total)
    for at in range(0, total, chunk):
        filled[at : at + chunk] = source[:chunk]
    seconds = time.perf_counter() - begin
    assert filled[0] == source[0] and filled[-1] == source[chunk - 1]
    return seconds


def diskalloc_run(source, total, chunk, address):
    with diskalloc.open(address) as client:
        begin = time.perf_counter()
        filled = client.array("f8")
        for _ in range(0, total, chunk):
            filled.extend(source[:chunk])
        seconds = time.perf_counter() - begin
        assert len(filled) == total and filled.np[-1] == source[chunk - 1]
    return seconds


def in_a_child(function, *arguments):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, repr(function(*arguments)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        seconds = float(answer.read())
    os.wait()
    return seconds


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    address = sys.argv[3] if len(sys.argv) > 3 else "dir:" + os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
    total = mib << 17
    source = numpy.arange(total, dtype="f8")
    for chunk_mib in CHUNKS_MIB:
        chunk = (chunk_mib << 17) or total
        theirs, ours = [], []
        for i in range(rounds + 1):
            pair = (in_a_child(numpy_run, source, total, chunk), in_a_child(diskalloc_run, source, total, chunk, address))
            if i > 0:  # the first round warms
                theirs.append(pair[0])
                ours.append(pair[1])
        ratios = sorted(t / o for t, o in zip(theirs, ours))
        name = f"chunks of {chunk_mib} MiB" if chunk_mib else "all at once"
        print(
            f"{name:20} {statistics.median(theirs) / statistics.median(ours):5.2f} times as fast as NumPy "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}): {statistics.median(ours):.3f} s, NumPy {statistics.median(theirs):.3f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
