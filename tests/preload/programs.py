#!/usr/bin/python3
"""Programs of Debian, as they are, with a quarter of the memory that they need: programs.py DISKALLOCD DISKALLOCCTL LIBRARY.

Each runs three times: as it is, with all memory; as it is, with a quarter of that, where it must fail, or the test would show nothing; and
by `diskallocctl run` with a quarter, where the result must be that of the first run.  The manual page diskalloc-run(7) has the table."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from memory_group import MemoryGroup
from preload_case import CTL, PreloadCase
from wire_case import MIB
import wire_case

del sys.argv[1:4]
PYTHON = "/usr/bin/python3"


def has_numpy():
    return subprocess.run([PYTHON, "-c", "import numpy"], capture_output=True, check=False).returncode == 0


def needs(program, package):
    return unittest.skipUnless(shutil.which(program), f"{program} is not there ({package})")


class ProgramsTest(PreloadCase):
    def setUp(self):
        self.here = tempfile.mkdtemp(prefix="diskalloc-preload-", dir=wire_case.BASE_DIR)
        self.addCleanup(shutil.rmtree, self.here)

    def path(self, name):
        return os.path.join(self.here, name)

    def run_program(self, command, group=None, timeout=300):
        """Its status, a hash of what it printed, and what it said."""
        begun = time.monotonic()
        with open(self.path("output"), "wb+") as output:
            done = subprocess.run(
                command,
                cwd=self.here,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=timeout,
                check=False,
                env=os.environ | {"TMPDIR": self.here, "LC_ALL": "C", "OPENBLAS_NUM_THREADS": "1"},
                preexec_fn=group.enter if group else None,
            )
            output.seek(0)
            digest = hashlib.sha256(output.read()).hexdigest()
        return done.returncode, digest, done.stderr.decode(errors="replace"), time.monotonic() - begun

    def check(self, name, command, quarter, *options, addresses=("daemon", "dir"), fails_plainly=True):
        try:
            group = MemoryGroup(quarter * MIB)
        except MemoryGroup.NoGroup as error:
            self.skipTest(str(error))
        with group:
            status, expected, said, alone = self.run_program(command)
            self.assertEqual(status, 0, said)
            if fails_plainly:
                self.assertNotEqual(self.run_program(command, group)[0], 0, f"{name} needs less than was thought")
            for address in addresses:
                run = [CTL, "--address", self.addresses[address], "run", *options, *command]
                status, digest, said, seconds = self.run_program(run, group)
                self.assertEqual((status, said), (0, ""), f"{name}, {address}")
                self.assertEqual(digest, expected, f"{name}, {address}")
                print(f"{name}: {alone:.1f} s, {seconds:.1f} s with {quarter}M, {address}", file=sys.stderr)

    @unittest.skipUnless(has_numpy(), "numpy is not there (python3-numpy)")
    def test_numpy_arrays(self):
        code = (
            "import numpy as np\n"
            "n = 15_000_000\n"
            "a = np.random.default_rng(1).random(n)\n"
            "b = np.zeros(n)\n"
            "b += a; b[::3] = 7\n"
            "print(a.sum(), b.sum(), (a[1:] > a[:-1]).sum())\n"
            "a.sort(); print(a[0], a[n // 2], a[-1])\n"
        )
        self.check("numpy", [PYTHON, "-c", code], 75)

    def test_gnu_sort(self):
        with open(self.path("lines"), "wb") as lines:
            x = 1
            for _ in range(60):
                numbers = []
                for _ in range(40000):
                    x = x * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
                    numbers.append(b"%x" % (x >> 20))
                lines.write(b"\n".join(numbers) + b"\n")
        self.check("sort", ["sort", "-S", "300M", "--parallel=2", self.path("lines")], 60)

    @needs("sqlite3", "sqlite3")
    def test_sqlite_in_memory(self):
        statements = (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, number INTEGER, text TEXT);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000)"
            " INSERT INTO t SELECT i, i * 7919 % 1000003, hex(i * 31) || substr('" + "y" * 260 + "', 1, 200 + i % 50) FROM n;"
            "SELECT count(*), sum(number), sum(length(text)) FROM t;"
            "SELECT text FROM t WHERE id % 100000 = 7;"
        )
        self.check("sqlite3", ["sqlite3", ":memory:", statements], 42, "--all")

    @needs("xz", "xz-utils")
    def test_xz(self):
        with open(self.path("text"), "wb") as text:
            x = 1
            for i in range(180000):
                x = x * 1103515245 + 12345 & 0x7FFFFFFF
                text.write(b"%d %x some words of a line\n" % (i, x >> 8))
        # It asks for 1,250 MiB, and touches little of that for a short file: so it is not killed.
        command = ["xz", "-9", "-T2", "--block-size=3MiB", "-c", self.path("text")]
        self.check("xz", command, 312, fails_plainly=False)

    @needs("jq", "jq")
    def test_jq_on_a_large_document(self):
        with open(self.path("document"), "w", encoding="ascii") as document:
            document.write("[")
            for i in range(150000):
                document.write(f'{"," if i else ""}{{"id":{i},"name":"name {i * 31}","tags":["a{i % 7}","b"],"value":{i / 8}}}')
            document.write("]")
        command = ["jq", "-c", "map(select(.id % 1000 == 3) | {name, value}), (map(.value) | add)", self.path("document")]
        self.check("jq", command, 36, "--all")

    @needs("gcc", "gcc")
    def test_gcc_with_link_time_optimisation(self):
        with open(self.path("table.c"), "w", encoding="ascii") as source:
            source.write("struct entry { long key; int low, high; } table[] = {\n")
            source.writelines(f"{{{i * 2654435761 % 4294967296}, {i % 1000}, {i % 77}}},\n" for i in range(250000))
            source.write("};\nlong sum(void)\n{\nlong s = 0;\n")
            source.write("for (long i = 0; i < (long)(sizeof table / sizeof *table); i++)\ns += table[i].key ^ table[i].low;\n")
            source.write("return s;\n}\n")
        with open(self.path("main.c"), "w", encoding="ascii") as source:
            source.write('#include <stdio.h>\nlong sum(void);\nint main(void)\n{\nprintf("%ld\\n", sum());\n}\n')
        build = "gcc -O1 -flto -frandom-seed=1 -flto-partition=none table.c main.c -o program && ./program && sha256sum program"
        self.check("gcc -flto", ["sh", "-c", build], 60, "--threshold", "1M")

    @needs("java", "default-jdk-headless")
    def test_java(self):
        with open(self.path("Sorted.java"), "w", encoding="ascii") as source:
            source.write(
                "import java.util.*;\n"
                "public class Sorted {\n"
                "  public static void main(String[] arguments) {\n"
                "    Random random = new Random(1);\n"
                "    long[][] rows = new long[20][];\n"
                "    for (int i = 0; i < rows.length; i++) rows[i] = random.longs(1000000).sorted().toArray();\n"
                "    long sum = 0;\n"
                "    for (long[] row : rows) for (int i = 0; i < row.length; i += 999) sum = sum * 31 + row[i];\n"
                "    System.out.println(sum);\n"
                "  }\n"
                "}\n"
            )
        built = subprocess.run(["javac", "Sorted.java"], cwd=self.here, capture_output=True, check=False) if shutil.which("javac") else None
        if not built or built.returncode != 0:
            self.skipTest("javac is not there (default-jdk-headless)")
        command = ["java", "-XX:+UseSerialGC", "-Xms320m", "-Xmx320m", "-Xshare:off", "-cp", self.here, "Sorted"]
        self.check("java", command, 90)

    @needs("node", "nodejs")
    def test_node_with_a_large_buffer(self):
        code = (
            "const a = new Float64Array(new ArrayBuffer(240 * 1024 * 1024));\n"
            "for (let i = 0; i < a.length; i++) a[i] = (i * 2654435761) % 4294967296;\n"
            "let sum = 0; for (const x of a) sum = (sum + x) % 1000000007;\n"
            "console.log(sum, a[12345678]);\n"
        )
        self.check("node", ["node", "-e", code], 75)

    @needs("Rscript", "r-base-core")
    def test_r_with_a_matrix(self):
        code = (
            "set.seed(1); m <- matrix(runif(2e7), 4000); n <- m * 2 + 1; v <- n %*% rep(1, ncol(n));"
            "cat(sum(m), sum(n), sum(v), colSums(n)[c(1, 99)], sum(diag(n)), max(n), '\\n')"
        )
        self.check("R", ["Rscript", "--vanilla", "-e", code], 90)


if __name__ == "__main__":
    unittest.main()
