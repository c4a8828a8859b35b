"""The programs in the manual pages of section 3 compile without a warning, and do what they say: pages.py LIBRARY"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY = sys.argv[1]
del sys.argv[1:]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def is_sanitized(library):
    with open(library, "rb") as stream:
        text = stream.read()
    return b"__asan_init" in text or b"__tsan_init" in text


if is_sanitized(LIBRARY):
    print("skipped: the library is built with a sanitizer, which these programs are not", file=sys.stderr)
    sys.exit(77)


class Pages(unittest.TestCase):
    def outputs(self, page, compiler, standard, times=1):
        """What the page's program prints, each time that it is run in one directory."""
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is not there")
        with open(os.path.join(ROOT, page), encoding="utf-8") as stream:
            programs = [p for p in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed$", stream.read(), re.S | re.M) if "int main(" in p]
        self.assertEqual(len(programs), 1)
        base = os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
        with tempfile.TemporaryDirectory(prefix="diskalloc-test-", dir=base) as folder:
            program = os.path.join(folder, "program")
            language = "c++" if "++" in compiler else "c"
            done = subprocess.run(
                [compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(ROOT, "include"), "-o", program, "-",
                 "-x", "none", LIBRARY, "-pthread"],
                input=programs[0].replace("\\e", "\\"), capture_output=True, text=True, check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            where = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(LIBRARY), "DISKALLOC_ADDRESS": f"dir:{folder}"}
            return [subprocess.run([program], env=where, capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(times)]

    def test_diskalloc_strvec(self):
        self.assertEqual(self.outputs("client/strvec/diskalloc_strvec.3", "gcc", "c11"), ["word\n"])

    def test_diskalloc_heap(self):
        self.assertEqual(self.outputs("client/heap/diskalloc_heap.3", "gcc", "c11", 3), ["0\n", "1\n0\n", "2\n1\n0\n"])

    def test_diskalloc_allocator(self):
        self.assertEqual(self.outputs("client/diskalloc_allocator.3", "g++", "c++17", 2), ["1 numbers\n", "2 numbers\n"])


if __name__ == "__main__":
    unittest.main()
