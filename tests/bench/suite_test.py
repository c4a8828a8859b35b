#!/usr/bin/python3
"""suite refuses wrong options before it builds anything; charts.py picks the right points: suite_test.py DIRECTORY"""

import importlib.util
import os
import subprocess
import sys
import unittest

HERE = sys.argv.pop(1)
SPEC = importlib.util.spec_from_file_location("charts", os.path.join(HERE, "charts.py"))
charts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(charts)


def refusal(*options):
    done = subprocess.run(["bash", os.path.join(HERE, "suite"), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def reads(contender, n, limit, threads, seconds, outcome="ok"):
    return {"workload": "R", "part": "R1 random reads", "contender": contender, "bytes": n, "memory_limit": limit, "threads": threads,
            "outcome": outcome, "median": seconds, "seconds": [seconds]}


class Options(unittest.TestCase):
    def check(self, text, *options):
        status, out, err = refusal(*options)
        self.assertEqual((status, out), (1, ""))
        self.assertIn(text, err)
        self.assertIn("suite [--quick]", err)

    def test_an_unknown_option_is_refused(self):
        self.check("what is --fast", "--fast")

    def test_an_unknown_file_system_is_refused(self):
        self.check("no file system vfat", "--quick", "--on", "here,vfat")

    def test_an_unknown_setting_of_large_pages_is_refused(self):
        self.check("no mode of large pages: sometimes", "--thp", "never,sometimes")

    def test_an_option_without_its_value_is_refused(self):
        status, _, err = refusal("--on")
        self.assertNotEqual(status, 0)
        self.assertIn("--on needs a list", err)


class Rates(unittest.TestCase):
    def test_a_point_is_the_share_of_the_vector_that_fits(self):
        everything = [reads("hand", 1024, 256, 1, 0.5), reads("hand", 64, 256, 1, 0.25), reads("hand", 4096, 512, 1, 1.0)]
        lines = charts.rate_lines(everything, ["hand"], lambda r: r["memory_limit"], lambda r: r["memory_limit"] / r["bytes"])
        self.assertEqual(lines, {"hand": [(0.25, 2.0, 2.0, 2.0), (4.0, 4.0, 4.0, 4.0)]})
        self.assertEqual([charts.share_text(x) for x in (4.0, 1.0, 0.25)], ["4×", "1×", "1/4"])

    def test_a_contender_that_failed_has_no_point(self):
        everything = [reads("hand", 64, 16, 1, 0.5), reads("lmdb", 64, 16, 1, 0.5, "killed"), reads("fio", 64, 16, 1, 0)]
        lines = charts.rate_lines(everything, ["hand", "lmdb", "fio"], lambda r: 0, lambda r: r["threads"])
        self.assertEqual(list(lines), ["hand"])

    def test_nothing_measured_is_no_line(self):
        self.assertEqual(charts.rate_lines([], ["hand"], lambda r: 0, lambda r: 0), {})


if __name__ == "__main__":
    unittest.main()
