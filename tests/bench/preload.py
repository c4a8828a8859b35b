#!/usr/bin/python3
"""What `diskallocctl run` costs a program that has enough memory: preload.py BUILD_DIR [--rounds N] [--only NAME,...] [--quick] [--json FILE]

Each program runs plainly, with memory of a daemon, and with that of a directory, in turn; each round begins with another of the three. For
each the ratio to the plain run is printed, of wall-clock time and of the processor's time (user and system): the median of the rounds'
ratios, then the least and the most. 1.00 is as fast. `itself` is the time of the computation, as the program measures it, without
starting up and without filling the arrays.

The programs:
- below the threshold: nothing of them is on disk, so what they show is the cost of the library being there;
- arrays that fit in memory: all of it is on disk, and the kernel keeps it in memory.

The machine should do nothing else. No test asserts a time."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PYTHON = "/usr/bin/python3"
KINDS = ("plain", "daemon", "dir")
NUMPY = """
import sys, time
import numpy as np
n = {n}
a = np.random.default_rng(1).random(n)
{prepare}
begun = time.perf_counter()
for _ in range({times}):
    {work}
print(time.perf_counter() - begun)
"""


def numpy(n, work, times=1, prepare=""):
    return [PYTHON, "-c", NUMPY.format(n=n, work=work, times=times, prepare=prepare)]


def write_lines(path, n):
    x = 1
    with open(path, "wb") as file:
        for _ in range(n // 10000):
            numbers = []
            for _ in range(10000):
                x = x * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
                numbers.append(b"%x" % (x >> 20))
            file.write(b"\n".join(numbers) + b"\n")


def write_source(path, n):
    with open(path, "w", encoding="ascii") as file:
        for i in range(n):
            file.write(f"int f{i}(int a, int b) {{ int s = 0; for (int i = 0; i < a; i++) s += i * b ^ {i}; return s; }}\n")


def programs(here, quick):
    """(name, what it needs, its command), those below the threshold first."""
    k = 20 if quick else 1
    lines, source = os.path.join(here, "lines"), os.path.join(here, "source.c")
    write_lines(lines, 1_000_000 // k)
    write_source(source, 1000 // k)
    objects = f"d = {{}}\nfor i in range({3_000_000 // k}): d[i % 5000] = [i, str(i)]\nprint(len(d))"
    query = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {3_000_000 // k}) SELECT sum(length(hex(i))) FROM n;"
    n = 40_000_000 // k
    m = 8_000_000 // k  # numbers of a matrix of 400 columns; times a small one, for a BLAS that is slow
    product = "m = a.reshape(-1, 400); b = m[:400].copy(); c = np.zeros(m.shape)"
    return [
        ("below: python objects", "python3", [PYTHON, "-c", objects]),
        ("below: sort 1e6 lines", "sort", ["sort", "-S", "24M", "--parallel=1", lines]),
        ("below: gcc -O2", "gcc", ["gcc", "-O2", "-c", "-o", os.path.join(here, "source.o"), source]),
        ("below: sqlite3", "sqlite3", ["sqlite3", ":memory:", query]),
        ("fits: numpy sum", "numpy", numpy(n, "a.sum()", times=20)),
        ("fits: numpy sort", "numpy", numpy(n, "a.sort()")),
        ("fits: numpy product", "numpy", numpy(m, "np.matmul(m, b, out=c)", prepare=product)),
    ]


def is_there(needs):
    if needs == "numpy":
        return subprocess.run([PYTHON, "-c", "import numpy"], capture_output=True, check=False).returncode == 0
    return shutil.which(needs) is not None


def run(command, here):
    """Wall-clock and processor seconds, and what the program says of itself, which may be nothing."""
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": here, "OPENBLAS_NUM_THREADS": "1"}
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)[:100]}: exit status {process.returncode}")
    seconds = {"wall": wall, "user": usage.ru_utime, "user+system": usage.ru_utime + usage.ru_stime}
    if command[-3:-1] == [PYTHON, "-c"] and "perf_counter" in command[-1]:
        seconds["itself"] = float(output)
    return seconds


def measure(command, before, here, n_rounds):
    """{kind: [seconds of each round]}; one run of each kind goes before, and is not counted."""
    rounds = {kind: [] for kind in KINDS}
    for number in range(-1, n_rounds):
        for i in range(len(KINDS)):
            kind = KINDS[(number + i) % len(KINDS)]
            subprocess.run(["sync", "-f", here], check=True)  # what earlier runs have left to write
            seconds = run(before[kind] + command, here)
            if number >= 0:
                rounds[kind].append(seconds)
    return rounds


def ratio(rounds, kind, what):
    ratios = [one[what] / plain[what] for one, plain in zip(rounds[kind], rounds["plain"]) if plain[what] > 0]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})" if ratios else "-"


def print_rows(name, rounds):
    for what in rounds["plain"][0]:
        plain = statistics.median(one[what] for one in rounds["plain"])
        print(f"{name:<24} {what:<12} {plain:8.2f} s  daemon {ratio(rounds, 'daemon', what):<22} dir {ratio(rounds, 'dir', what)}", flush=True)
        name = ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="beginnings of names: below,fits: numpy sum")
    parser.add_argument("--quick", action="store_true", help="whether everything runs")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    ctl = os.path.join(os.path.abspath(arguments.build), "client/ctl/diskallocctl")

    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
    import wire_case

    wire_case.program = os.path.join(os.path.abspath(arguments.build), "daemon/diskallocd")
    daemon = wire_case.Daemon("[daemon]\nkeep_free = 0\n[quota default]\nbytes = 100G\n")
    here = tempfile.mkdtemp(prefix="diskalloc-bench-", dir=wire_case.BASE_DIR)
    before = {
        "plain": [],
        "daemon": [ctl, "--address", f"unix:{daemon.socket}", "run", "--strict"],
        "dir": [ctl, "--address", f"dir:{here}", "run", "--strict"],
    }
    results = {}
    try:
        for name, needs, command in programs(here, arguments.quick):
            if not name.startswith(tuple(arguments.only.split(","))):
                continue
            if not is_there(needs):
                print(f"{name:<24} skipped: {needs} is not there", flush=True)
                continue
            results[name] = measure(command, before, here, 1 if arguments.quick else arguments.rounds)
            print_rows(name, results[name])
    finally:
        daemon.stop()
        shutil.rmtree(here)
    if arguments.json:
        with open(arguments.json, "w", encoding="ascii") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
