#!/usr/bin/python3
"""The version stands in CMakeLists.txt, and whoever else names it agrees."""

import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = []


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


VERSION = re.search(r"^project\(diskalloc VERSION ([0-9]+\.[0-9]+\.[0-9]+)\b", read("CMakeLists.txt"), re.M)[1]


class VersionTest(unittest.TestCase):
    def test_manual_pages_name_the_version(self):
        listed = (
            os.path.relpath(os.path.join(directory, name), ROOT) for directory, _, names in os.walk(ROOT) for name in names
        )
        pages = [path for path in listed if re.search(r"\.[1-8]$", path) and not re.match(r"(build|\.git)/", path)]
        self.assertGreater(len(pages), 5)
        for page in pages:
            with self.subTest(page):
                self.assertEqual(set(re.findall(r"\bdiskalloc ([0-9]+\.[0-9]+\.[0-9]+)", read(page))) - {VERSION}, set())

    def test_packages_and_symbols_name_the_version(self):
        self.assertIn(f"(>= {VERSION})", read("systemd/debian/shlibs"))
        self.assertRegex(read("client/diskalloc-client.map"), rf"^DISKALLOC_{re.escape('.'.join(VERSION.split('.')[:2]))} \{{")

    def test_programs_say_the_version(self):
        self.assertTrue(PROGRAMS)
        for program in PROGRAMS:
            with self.subTest(program):
                said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
                self.assertRegex(said, rf"\b{re.escape(VERSION)}\b")


if __name__ == "__main__":
    PROGRAMS, sys.argv[1:] = sys.argv[1:], []
    unittest.main()
