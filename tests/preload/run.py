#!/usr/bin/python3
"""The preload library in programs that know nothing of it: run.py DISKALLOCD DISKALLOCCTL LIBRARY ALLOCATOR."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from memory_group import MemoryGroup
from preload_case import CTL, LIBRARY, PreloadCase
from wire_case import MIB
import wire_case
from wire_client import Client, pb

ALLOCATOR = sys.argv[4]
del sys.argv[1:5]


def compiler():
    return shutil.which("cc") or shutil.which("gcc")


class SceneTest(PreloadCase):
    """Each scene is a function of preload-allocator, which ends with another status when something is not right."""

    def play(self, scene, *options):
        self.run_both(*options, ALLOCATOR, scene)

    def test_blocks_of_each_function_are_on_disk_and_zero_where_they_should_be(self):
        self.play("blocks")

    def test_what_was_kept_is_cleared_where_addresses_are_few(self):
        self.run_both(ALLOCATOR, "kept", env=os.environ | {"DISKALLOC_RESERVE": "96M"})

    def test_a_block_grows_without_losing_a_byte_and_shrinks_in_place(self):
        self.play("realloc")

    def test_blocks_of_the_c_library_are_freed(self):
        self.play("foreign")

    def test_a_constructor_allocates(self):
        self.play("constructor")

    def test_a_program_that_closes_all_descriptors(self):
        self.assert_done(self.run_with(ALLOCATOR, "closed", address="daemon"))
        # Only root can open a file again that has lost its name: with a directory, others go on in memory.
        done = self.run_with(ALLOCATOR, "closed", address="dir")
        if os.geteuid() == 0:
            self.assert_done(done)
        else:
            self.assertIn("only root can open again", done.stderr)

    def test_threads_free_each_others_blocks(self):
        self.play("threads")
        self.play("threads", "--all")

    def test_libraries_are_loaded_meanwhile(self):
        self.play("dlopen")
        self.play("dlopen", "--all")

    def test_threads_are_cancelled_while_they_allocate(self):
        self.play("cancel")
        self.play("cancel", "--all")

    def test_fork_separates_parent_and_child(self):
        self.play("fork")
        self.play("fork", "--all")

    def test_a_child_keeps_what_its_parent_frees(self):
        self.play("fork-freed")

    def test_fork_while_other_threads_allocate(self):
        self.play("fork-threads")
        self.play("fork-threads", "--all")

    def test_children_fork_and_run_programs(self):
        self.play("fork-again")
        self.play("fork-again", "--all")

    def test_small_blocks_are_copied_for_a_child(self):
        self.play("fork-small", "--all")

    def test_mmap(self):
        self.play("mmap")

    def test_mremap(self):
        self.play("mremap")

    def test_madvise_and_mprotect(self):
        self.play("madvise")

    def test_something_else_is_mapped_over_a_part(self):
        self.play("over")

    def test_memory_of_mmap_that_is_read_at_random_is_read_by_single_pages(self):
        try:
            group = MemoryGroup(70 * MIB)
        except MemoryGroup.NoGroup as error:
            self.skipTest(str(error))
        with group:
            self.run_both("--threshold", "1M", ALLOCATOR, "random", preexec_fn=group.enter)

    def test_small_blocks_on_disk(self):
        self.play("small", "--all")

    def test_a_small_threshold(self):
        self.play("blocks", "--threshold", "64K")
        self.play("realloc", "--threshold", "1M")
        self.play("fork", "--threshold", "100K")

    def test_a_pointer_that_is_no_block_ends_the_program_with_a_sentence(self):
        done = self.run_with(ALLOCATOR, "invalid")
        self.assertEqual(done.returncode, -6)
        self.assertRegex(done.stderr, r"^diskalloc: preload-allocator\[\d+\]: free: 0x\w+ is no block, or was freed before\n$")


class RegionsTest(PreloadCase):
    def test_a_thousand_blocks_are_one_region_and_none_is_left(self):
        code = "b = [bytearray(1 << 20) for i in range(1000)]; import sys; print('ready', flush=True); sys.stdin.read(1)"
        command = ["--threshold", "1M", "/usr/bin/python3", "-c", code]
        with Client(wire_case.daemon.socket, name=b"look") as client:
            before = client.call(get_usage=pb.GetUsage()).usage
            program = subprocess.Popen(
                [CTL, "--address", self.addresses["daemon"], "run", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self.assertEqual(program.stdout.readline(), b"ready\n")
            usage = client.call(get_usage=pb.GetUsage()).usage
            self.assertEqual(usage.regions - before.regions, 1)
            self.assertGreaterEqual(usage.bytes, 1000 * MIB)
            program.communicate(b"x")
            self.assertEqual(program.returncode, 0)

    def test_what_is_freed_goes_back_to_the_disk(self):
        code = (
            "import sys\n"
            "b = bytearray(400 << 20); print('full', flush=True); sys.stdin.readline()\n"
            "del b; print('free', flush=True); sys.stdin.readline()\n"
        )
        program = subprocess.Popen(
            [CTL, "--address", self.addresses["daemon"], "run", "/usr/bin/python3", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with Client(wire_case.daemon.socket, name=b"look") as client:
            self.assertEqual(program.stdout.readline(), b"full\n")
            self.assertGreaterEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, 400 * MIB)
            program.stdin.write(b"\n")
            program.stdin.flush()
            self.assertEqual(program.stdout.readline(), b"free\n")
            self.assertLessEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, 64 * MIB)
        program.communicate(b"\n")

    def test_calloc_writes_nothing(self):
        """Zeros that nobody has touched are no pages: a gigabyte fits where the process may have little memory."""
        code = (
            "import ctypes\n"
            "c = ctypes.CDLL(None); c.calloc.restype = ctypes.c_void_p\n"
            "p = c.calloc(ctypes.c_size_t(1024), ctypes.c_size_t(1 << 20)); assert p\n"
            "rss = [l for l in open('/proc/self/status') if l.startswith('VmRSS')][0].split()[1]\n"
            "assert int(rss) < 300 << 10, rss\n"
        )
        self.run_both("/usr/bin/python3", "-c", code)


class ReportTest(PreloadCase):
    def test_the_report_says_what_was_where(self):
        for address, uri in self.addresses.items():
            done = self.run_with("--report", ALLOCATOR, "constructor", address=address)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(
                done.stderr,
                rf"^diskalloc: preload-allocator\[\d+\]: on {re.escape(uri)}: large blocks of 64M at most, 1 at a time, in 1 regions; \S+ at the end\n$",
            )

    def test_a_program_that_used_nothing_and_one_that_closes_standard_error(self):
        done = self.run_with("--report", "/bin/true")
        self.assertRegex(done.stderr, r"^diskalloc: true\[\d+\]: nothing was on disk\n$")
        done = self.run_with("--report", "sort", "/dev/null")  # closes it in a function of atexit
        self.assertRegex(done.stderr, r"^diskalloc: sort\[\d+\]: nothing was on disk\n$")

    def test_small_blocks_are_in_the_report(self):
        done = self.run_with("--report", "--all", ALLOCATOR, "small")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"small blocks in a heap of \d")


class RefusedTest(PreloadCase):
    quota = "200M"
    SENTENCE = r"^diskalloc: preload-allocator\[\d+\]: a block of 400M can't lie on disk"

    def test_a_refusal_is_memory_and_said_once(self):
        done = self.run_with(ALLOCATOR, "refused")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, self.SENTENCE + " and is in memory, like others that will be refused: .*200M.*\n$")
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_refusal_is_an_error_with_strict(self):
        done = self.run_with("--strict", ALLOCATOR, "refused-strictly")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, self.SENTENCE + ", so the allocation fails: .*200M.*\n$")

    def test_the_limit_of_a_run(self):
        for address in self.addresses:
            done = self.run_with("--limit", "150M", "--report", ALLOCATOR, "refused", address=address)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, self.SENTENCE + ".*: the limit of this run is 150M, used 104M, asked 400M\n")
            self.assertRegex(done.stderr, r"refused: 3 blocks, 1.1G, which were in memory: the limit")
            for scene, limit in (("refused-strictly", "150M"), ("grown-within-limit", "214M")):
                done = self.run_with("--limit", limit, "--strict", ALLOCATOR, scene, address=address)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_limit_counts_small_blocks(self):
        code = "b = [bytes(1000) for i in range(100000)]; c = bytearray(30 << 20); d = bytearray(30 << 20); print(len(b))"
        for address in self.addresses:
            done = self.run_with("--limit", "40M", "--all", "--report", "/usr/bin/python3", "-c", code, address=address)
            self.assertEqual((done.returncode, done.stdout), (0, "100000\n"), done.stderr)
            self.assertRegex(done.stderr, r"can't lie on disk")
            self.assertRegex(done.stderr, r"small blocks in a heap of (3\d|40)M")


class OthersTest(PreloadCase):
    def test_another_allocator_that_is_preloaded_stays(self):
        libraries = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        n_found = 0
        for name in ("libjemalloc.so.2", "libtcmalloc.so.4", "libmimalloc.so.2"):
            path = re.search(rf"{re.escape(name)} .*=> (\S+)", libraries)
            if not path:
                continue
            n_found += 1
            for scene in ("blocks", "realloc", "threads", "fork"):
                done = self.run_with(ALLOCATOR, scene, env=os.environ | {"LD_PRELOAD": path[1]})
                self.assertEqual((done.returncode, done.stderr), (0, ""), f"{name} {scene}")
        if n_found == 0:
            self.skipTest("no other allocator is there (libjemalloc2, libtcmalloc-minimal4)")

    def test_the_library_alone_is_enough(self):
        environment = os.environ | {"LD_PRELOAD": LIBRARY, "DISKALLOC_ADDRESS": self.addresses["dir"]}
        done = subprocess.run([ALLOCATOR, "blocks"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        environment["DISKALLOC_PRELOAD"] = "threshold=0"
        done = subprocess.run([ALLOCATOR, "nothing"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "DISKALLOC_PRELOAD is not understood, so nothing is put on disk: threshold=0")


if __name__ == "__main__":
    unittest.main()
