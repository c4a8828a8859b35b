#!/usr/bin/python3
"""The protection that hardening.cmake asks for, as the binaries have it: hardening.py COMPILER PROGRAM-OR-LIBRARY...

A small program is compiled without any of it first: each look has to miss it there."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

for tool in ("readelf", "objdump"):
    if not shutil.which(tool):
        print(f"skipped: {tool} (binutils) is not there", file=sys.stderr)
        sys.exit(77)

COMPILER, BINARIES = sys.argv[1], sys.argv[2:]
del sys.argv[1:]
IS_X86 = platform.machine() == "x86_64"
BARE = """#include <stdio.h>
int main(int n, char **v)
{
    char text[20000];

    return sprintf(text, "%s", v[n - 1]) + puts(text);
}
"""
WITHOUT = ["-O2", "-fno-pie", "-no-pie", "-fno-stack-protector", "-fno-stack-clash-protection", "-U_FORTIFY_SOURCE",
           "-Wl,-z,norelro", "-Wl,-z,lazy", "-Wl,-z,execstack"] + (["-fcf-protection=none"] if IS_X86 else [])


def said(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout


def is_position_independent(path):
    return "Type: DYN" in re.sub(" +", " ", said("readelf", "-hW", path))


def binds_at_once(path):
    return bool(re.search(r"FLAGS.*\bNOW\b", said("readelf", "-dW", path)))


def has_read_only_relocations(path):
    return "GNU_RELRO" in said("readelf", "-lW", path)


def runs_no_code_on_the_stack(path):
    flags = re.search(r"GNU_STACK(?: +0x[0-9a-f]+){5} +(\S+)", said("readelf", "-lW", path))
    return flags is not None and "E" not in flags[1]


def protects_the_stack(path):
    return "__stack_chk_fail" in said("readelf", "-W", "--dyn-syms", path)


def has_fortified_calls(path):
    return bool(re.search(r"__v?snprintf_chk", said("readelf", "-W", "--dyn-syms", path)))


def touches_each_page_of_the_stack(path):
    """No function moves the stack pointer by more than a page at once."""
    steps = re.findall(r"sub +\$0x([0-9a-f]{1,8}),%rsp", said("objdump", "-d", path))
    return all(int(step, 16) <= 4096 for step in steps)


def marks_where_calls_may_end(path):
    """Functions begin with endbr64.  (Whether the loader makes use of it is told by a note, which the C library has to have too.)"""
    return said("objdump", "-d", path).count("endbr64") > 100


LOOKS = [is_position_independent, binds_at_once, has_read_only_relocations, runs_no_code_on_the_stack, protects_the_stack,
         has_fortified_calls] + ([touches_each_page_of_the_stack, marks_where_calls_may_end] if IS_X86 else [])


class HardeningTest(unittest.TestCase):
    def test_each_look_misses_the_protection_in_a_program_without_any(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "bare")
            subprocess.run([COMPILER, *WITHOUT, "-x", "c", "-", "-o", path], input=BARE, text=True, check=True, stderr=subprocess.DEVNULL)
            for look in LOOKS:
                with self.subTest(look.__name__):
                    self.assertFalse(look(path))

    def test_what_is_shipped_has_all_of_it(self):
        self.assertTrue(BINARIES)
        for path in BINARIES:
            for look in LOOKS:
                with self.subTest(f"{os.path.basename(path)}: {look.__name__}"):
                    self.assertTrue(look(path))


if __name__ == "__main__":
    unittest.main()
