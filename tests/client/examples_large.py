#!/usr/bin/python3
"""The examples for more than memory holds: examples_large.py DISKALLOCD EXAMPLE-SORT EXAMPLE-PAGERANK EXAMPLE-JOIN.

Each does its work once where everything fits, and its result is compared with somebody else's; and, as root, once more in a memory group
smaller than its data, where the result has to be the same."""

import os
import random
import re
import subprocess
import sys
import time
import unittest

from example_case import PROGRAMS, ExampleCase
from wire_case import MIB
from memory_group import MemoryGroup


class LargeCase(ExampleCase):
    def run_within(self, megabytes, program, *arguments, **options):
        """The output in a group with so much memory."""
        with open(PROGRAMS[program], "rb") as file:
            text = file.read()
        if b"__asan_init" in text or b"__tsan_init" in text:
            self.skipTest("a sanitizer needs memory of its own")
        try:
            group = MemoryGroup(megabytes * MIB)
        except MemoryGroup.NoGroup as error:
            self.skipTest(str(error))
        with group:
            begun = time.monotonic()
            output = self.run_program(program, *arguments, preexec_fn=group.enter, **options)
            print(f"{program} with {megabytes}M: {time.monotonic() - begun:.1f} s", file=sys.stderr)
        return output

    def assert_usage(self, program, *wrong):
        for arguments in wrong:
            self.assertRegex(self.run_program(program, *arguments, status=2), f"^usage: {program} ")


class SortTest(LargeCase):
    def sorted_by_gnu(self, path):
        return subprocess.run(["sort", "-S", "64M", path], env=self.environment(), capture_output=True, check=True).stdout

    def write(self, name, text):
        with open(self.path(name), "wb") as file:
            file.write(text)
        return self.path(name)

    def test_texts_of_all_kinds(self):
        make = random.Random(1)
        some = b"".join(b"%d %s\n" % (make.randrange(1000), make.randbytes(make.randrange(30))) for _ in range(20000))
        for text in (
            b"",
            b"\n",
            b"one",
            b"b\na",
            b"\n\n\nx\n\n",
            b"a\na\x01\na\x00\na\nab\n\xff\n\x80\nA\n",
            some,
            b"y\n" + b"x" * (3 * MIB) + b"\nx\n" + some,  # a line that is larger than the memory of this sort
            b"z" * (5 * MIB),
        ):
            expected = self.sorted_by_gnu(self.write("text", text))
            for address in self.addresses:
                self.assertTrue(self.run_program("sort", "--memory", "1", self.path("text"), address=address) == expected)
            self.assertTrue(self.run_program("sort", "--memory", "1", stdin=text) == expected)

    def test_many_runs(self):
        make = random.Random(2)
        text = b"".join(b"%x\n" % make.getrandbits(60) for _ in range(600000))
        expected = self.sorted_by_gnu(self.write("text", text))
        self.assertTrue(self.run_program("sort", "--memory", "1", self.path("text")) == expected)
        self.assertTrue(self.run_program("sort", "--address", self.addresses["dir"], self.path("text"), address="unix:/nowhere") == expected)

    def test_a_text_that_is_larger_than_memory(self):
        make = random.Random(3)
        with open(self.path("text"), "wb") as file:
            for _ in range(60):
                file.write(b"".join(b"%x some more of this line\n" % make.getrandbits(50) for _ in range(40000)))
        self.assertGreater(os.path.getsize(self.path("text")), 80 * MIB)
        expected = self.sorted_by_gnu(self.path("text"))
        for address in self.addresses:
            with open(self.path("sorted"), "wb") as file:
                self.run_within(40, "sort", "--memory", "4", self.path("text"), stdout=file, address=address)
            with open(self.path("sorted"), "rb") as file:
                self.assertTrue(file.read() == expected)

    def test_what_is_wrong_is_said(self):
        self.assert_usage("sort", ("--memory", "0"), ("--memory",), ("-x",), ("a", "b"))
        self.assertIn("nowhere: No such file", self.run_program("sort", "nowhere", status=1))
        self.assertRegex(self.run_program("sort", self.here, status=1), "^sort: Input/output error|Is a directory")
        self.assertRegex(self.run_program("sort", "--address", "unix:/nowhere", status=1), "^sort: diskalloc_open: ")
        with open("/dev/full", "wb") as full:
            self.assertRegex(self.run_program("sort", stdin=b"a\n", stdout=full, status=1), "^sort: ")


class SortRefusedTest(LargeCase):
    quota = "8M"

    def test_a_quota_that_is_too_small(self):
        text = b"".join(b"%d\n" % i for i in range(2000000))
        self.assertRegex(self.run_program("sort", "--memory", "1", stdin=text, status=1), "^sort: .* 8.0M")


def ranks_of(edges):
    """As pagerank.c's comment says, in the simplest way."""
    n = max(map(max, edges)) + 1
    away = [[] for _ in range(n)]
    for from_, to in edges:
        away[from_].append(to)
    ranks = [1 / n] * n
    for _ in range(100):
        fresh = [0.15 / n] * n
        for node, targets in enumerate(away):
            for target in targets or range(n):
                fresh[target] += 0.85 * ranks[node] / len(targets or away)
        ranks, before = fresh, ranks
        if sum(abs(a - b) for a, b in zip(ranks, before)) < 1e-10:
            break
    return ranks


class PagerankTest(LargeCase):
    def write(self, edges, begin=""):
        with open(self.path("edges"), "w", encoding="ascii") as file:
            file.write(begin)
            file.writelines(f"{a}\t{b}\n" for a, b in edges)
        return self.path("edges")

    def parse(self, output):
        head, *lines = output.decode().splitlines()
        return head, [(int(node), float(rank)) for node, rank in map(str.split, lines)]

    def check(self, edges, *options, **more):
        head, ranked = self.parse(self.run_program("pagerank", "--top", "100000", *options, self.write(edges, "# FROM TO\n\n"), **more))
        expected = ranks_of(edges)
        self.assertIn(f"{len(expected)} nodes, {len(edges)} edges, ", head)
        self.assertEqual(sorted(node for node, _ in ranked), list(range(len(expected))))
        self.assertEqual([rank for _, rank in ranked], sorted((rank for _, rank in ranked), reverse=True))
        for node, rank in ranked:
            self.assertAlmostEqual(rank, expected[node], delta=1e-9)
        self.assertAlmostEqual(sum(rank for _, rank in ranked), 1, delta=1e-9)

    def test_small_graphs(self):
        for edges in ([(0, 1)], [(0, 0)], [(0, 1), (1, 0)], [(3, 1), (3, 1), (1, 2)], [(5, 0)]):
            self.check(edges)

    def test_a_graph_with_nodes_without_edges_and_edges_that_are_there_twice(self):
        make = random.Random(4)
        edges = [(make.randrange(300), make.randrange(make.randrange(1, 400))) for _ in range(3000)]
        for address in self.addresses:
            self.check(edges, address=address)

    def test_rounds_and_top(self):
        self.write([(0, 1), (1, 2), (2, 0), (3, 0)])
        head, ranked = self.parse(self.run_program("pagerank", "--rounds", "3", "--top", "2", self.path("edges")))
        self.assertRegex(head, ", 3 rounds, ")
        self.assertEqual(len(ranked), 2)

    def test_edges_that_are_larger_than_memory(self):
        make = random.Random(5)
        with open(self.path("edges"), "w", encoding="ascii") as file:
            for _ in range(40):
                file.write("".join([f"{make.getrandbits(16)} {make.getrandbits(16) & make.getrandbits(16)}\n" for _ in range(100000)]))
        arguments = ("pagerank", "--rounds", "5", self.path("edges"))
        expected = self.run_program(*arguments)
        self.assertIn(b"4000000 edges", expected)  # 32 MB
        for address in self.addresses:
            self.assertEqual(self.run_within(24, *arguments, address=address), expected)

    def test_what_is_wrong_is_said(self):
        self.assert_usage("pagerank", (), ("--rounds", "0", "f"), ("f", "g"), ("f", "--top"))
        self.assertIn("nowhere: No such file", self.run_program("pagerank", "nowhere", status=1))
        self.write([(0, 1)], begin="1 2\n7\n")
        self.assertIn("line 2 is not two numbers: 7", self.run_program("pagerank", self.path("edges"), status=1))
        self.assertRegex(self.run_program("pagerank", "edges", address="unix:/nowhere", status=1), "^pagerank: diskalloc_open: ")


class JoinTest(LargeCase):
    SAID = rb"^%d000000 rows, 6 times %d probes, each found what it should\nwithout announcing \d+ probes a second, with it \d+: [\d.]+ times as fast\n$"

    def test_rows_that_fit(self):
        for address in self.addresses:
            self.assertRegex(self.run_program("join", "1", "99000", address=address), self.SAID % (1, 99328))
        self.assertRegex(self.run_program("join", "1", "1", "--address", self.addresses["dir"], address="unix:/nowhere"), self.SAID % (1, 1024))

    def test_rows_that_are_larger_than_memory(self):
        for address in self.addresses:
            output = self.run_within(48, "join", "5", "3000", address=address)  # 80 MB
            self.assertRegex(output, self.SAID % (5, 3072))
            print(f"{address}: {re.sub(b'.*: ', b'', output.splitlines()[1]).decode()}", file=sys.stderr)

    def test_what_is_wrong_is_said(self):
        self.assert_usage("join", ("0",), ("1", "0"), ("x",), ("1", "2", "3"))
        self.assertRegex(self.run_program("join", address="unix:/nowhere", status=1), "^join: diskalloc_open: ")


if __name__ == "__main__":
    unittest.main()
