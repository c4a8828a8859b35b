#!/usr/bin/python3
"""The programs in the manual pages and in README.md compile without a warning, run, and print what is said there:
in a directory and through a daemon: examples.py LIBRARY DISKALLOCD"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import manual

LIBRARY, DISKALLOCD = sys.argv[1:3]
del sys.argv[1:]
ROOT = manual.ROOT


def is_sanitized(library):
    with open(library, "rb") as stream:
        text = stream.read()
    return b"__asan_init" in text or b"__tsan_init" in text


if is_sanitized(LIBRARY):
    print("skipped: the library is built with a sanitizer, which these programs are not", file=sys.stderr)
    sys.exit(77)


try:
    import wire_case
except SystemExit:  # a daemon can't be started from here; it has said why
    wire_case = None
CONFIG = "[daemon]\nkeep_free = 0\n"


class Examples(unittest.TestCase):
    def compiled(self, text, folder):
        """The program of TEXT, in FOLDER."""
        is_cxx = ".hpp>" in text or "std::" in text
        compiler, language, standard = ("g++", "c++", "c++17") if is_cxx else ("gcc", "c", "gnu11")
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is not there")
        program = os.path.join(folder, "program")
        done = subprocess.run(
            [compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(ROOT, "include"), "-o", program, "-",
             "-x", "none", LIBRARY, "-pthread"],
            input=text, capture_output=True, text=True, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return program

    def run_at(self, address, program, times):
        """What the program prints, each time that it is run in a new directory."""
        with tempfile.TemporaryDirectory(dir=os.path.dirname(program)) as folder:
            where = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(LIBRARY), "DISKALLOC_ADDRESS": address}
            done = []
            for _ in range(times):
                done.append(subprocess.run([program], env=where, cwd=folder, capture_output=True, text=True, check=False, timeout=60))
                self.assertEqual(done[-1].returncode, 0, done[-1].stderr)
            return [d.stdout for d in done]

    def through_daemon(self, program, times):
        wire_case.program = DISKALLOCD
        daemon = wire_case.Daemon(CONFIG)
        try:
            return self.run_at(f"unix:{daemon.socket}", program, times)
        finally:
            daemon.stop()

    def outputs(self, text, times=1):
        """What the program of TEXT prints, each time that it is run: with a daemon as in a directory."""
        base = os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
        with tempfile.TemporaryDirectory(prefix="diskalloc-test-", dir=base) as folder:
            program = self.compiled(text, folder)
            printed = self.run_at(f"dir:{folder}", program, times)
            if wire_case and "a daemon" not in text:
                self.assertEqual(self.through_daemon(program, times), printed)
            return printed

    def test_the_programs_of_all_pages(self):
        for page in manual.all_pages():
            for number, (text, expected) in enumerate(manual.programs(page.text), 1):
                with self.subTest(f"{page.path}, program {number}"):
                    printed = self.outputs(text)
                    if expected is not None:
                        self.assertEqual(printed, [expected])

    def test_each_page_of_a_function_has_a_program(self):
        for page in manual.all_pages():
            if page.section == "3" and page.title != "DISKALLOC_HAVE":
                with self.subTest(page.path):
                    self.assertEqual(len(manual.programs(page.text)), 1)

    def test_the_tutorial_has_programs_and_says_what_they_print(self):
        programs = manual.programs(manual.read("client/diskalloc-tutorial.7"))
        self.assertGreaterEqual(len(programs), 6)
        for text, expected in programs:
            self.assertIsNotNone(expected, text)

    def only_program(self, path):
        (program,) = manual.programs(manual.read(path))
        return program[0]

    def test_what_persists_is_there_again(self):
        self.assertEqual(self.outputs(self.only_program("client/heap/diskalloc_heap.3"), 3), ["0\n", "1\n0\n", "2\n1\n0\n"])
        self.assertEqual(self.outputs(self.only_program("client/diskalloc_allocator.3"), 2), ["1 numbers\n", "2 numbers\n"])
        self.assertEqual(self.outputs(self.only_program("client/region/diskalloc_region_open.3"), 2), ["run 1\n", "run 2\n"])
        (tutorial,) = [p for p, _ in manual.programs(manual.read("client/diskalloc-tutorial.7")) if "numbers_open" in p]
        self.assertEqual(self.outputs(tutorial, 3), ["1000 numbers\n", "2000 numbers\n", "3000 numbers\n"])

    def code(self, language):
        """The blocks of README.md in LANGUAGE."""
        return re.findall(rf"^```{language}\n(.*?)^```$", manual.read("README.md"), re.M | re.S)

    def test_the_programs_of_the_readme(self):
        complete = [text for text in self.code("c") + self.code("cpp") if "int main(" in text]
        self.assertGreaterEqual(len(complete), 2)
        for text in complete:
            with self.subTest(text):
                self.outputs(text)

    def test_the_fragments_of_the_readme_compile(self):
        before = ("#include <diskalloc/vec.h>\n#include <stdio.h>\nDISKALLOC_VEC_DEFINE(numbers, uint32_t)\n"
                  "void fragment(struct numbers v, struct diskalloc_region *region);\n"
                  "void fragment(struct numbers v, struct diskalloc_region *region)\n{\n    size_t n = v.len;\n    (void)region; (void)n;\n")
        with tempfile.TemporaryDirectory() as folder:
            for text in self.code("c"):
                if "int main(" not in text:
                    with self.subTest(text):
                        self.compiled(before + text + "}\nint main(void)\n{\n}\n", folder)

    def test_the_python_of_the_readme(self):
        before = "import sys\nsys.path.insert(0, sys.argv[1])\n"
        where = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(LIBRARY)}
        (text,) = self.code("python")
        if subprocess.run([sys.executable, "-c", "import numpy"], capture_output=True, check=False).returncode != 0:
            self.skipTest("numpy is not there")
        base = os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
        with tempfile.TemporaryDirectory(prefix="diskalloc-test-", dir=base) as folder:
            done = subprocess.run([sys.executable, "-B", "-c", before + text, os.path.join(ROOT, "client/python")],
                                  env=where | {"DISKALLOC_ADDRESS": f"dir:{folder}"}, capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
