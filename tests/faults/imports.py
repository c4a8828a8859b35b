#!/usr/bin/python3
"""Every function that the product imports is failed by the injector, or there is a reason why not:
imports.py INJECTOR NOT-INJECTED PROGRAM-OR-LIBRARY..."""

import re
import shutil
import subprocess
import sys
import unittest

if not shutil.which("nm"):
    print("skipped: nm (binutils) is not there", file=sys.stderr)
    sys.exit(77)

INJECTOR, LIST, BINARIES = sys.argv[1], sys.argv[2], sys.argv[3:]
del sys.argv[1:]
# Of the product itself: the library's functions, which diskallocctl or a test may import.
OURS = re.compile(r"diskalloc_")


def symbols(path, *options):
    lines = subprocess.run(["nm", "-D", *options, path], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def listed():
    """The names, each once, and each below a line with its reason."""
    names, reason = [], None
    with open(LIST, encoding="utf-8") as text:
        lines = text.readlines()
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            reason = None if not line else reason
        elif line.endswith(":"):
            reason = line
        else:
            assert reason, f"no reason is given for: {line}"
            names += line.split()
    return names


class ImportsTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.injected = symbols(INJECTOR, "--defined-only")

    def test_each_imported_function_is_failed_or_there_is_a_reason(self):
        self.assertTrue(BINARIES)
        for path in BINARIES:
            imported = {name for name in symbols(path, "--undefined-only") if not OURS.match(name)}
            self.assertTrue({"malloc", "dlsym"} & imported)  # the preloaded library finds the next malloc by dlsym
            self.assertEqual(sorted(imported - self.injected - set(listed())), [], f"of {path}: inject them, or say in {LIST} why not")

    def test_a_reason_is_given_once_and_for_what_is_not_injected(self):
        names = listed()
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertEqual(sorted(set(names) & self.injected), [])


if __name__ == "__main__":
    unittest.main()
