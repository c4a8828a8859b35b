#!/usr/bin/python3
"""The static analysis, .ci/analyse, on small trees that are made for it: does each analyzer find a fault of its kind?"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

for tool in ("clang-tidy", "cppcheck", "gcc"):
    if not shutil.which(tool):
        print(f"skipped: {tool} is not there", file=sys.stderr)
        sys.exit(77)
if subprocess.run(["bash", "-c", "compgen -c analyze-build"], stdout=subprocess.DEVNULL).returncode != 0:
    print("skipped: analyze-build (clang-tools) is not there", file=sys.stderr)
    sys.exit(77)

ANALYSE = sys.argv.pop(1)
GOOD = "int good(int n);\nint good(int n)\n{\n    return n + 1;\n}\n"


class AnalyseTest(unittest.TestCase):
    def check(self, text):
        """Analyses a tree with one file that has TEXT; returns the status and the output."""
        with tempfile.TemporaryDirectory() as root:
            for folder in ("client", "daemon", "proto", "build"):
                os.mkdir(os.path.join(root, folder))
            path = os.path.join(root, "proto/file.c")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            with open(os.path.join(root, "build/compile_commands.json"), "w", encoding="utf-8") as f:
                command = f"gcc -O2 -fanalyzer -Wno-analyzer-malloc-leak -c {path} -o file.o"
                json.dump([{"directory": root, "command": command, "file": path}], f, indent=2)
            done = subprocess.run([ANALYSE, os.path.join(root, "build"), root], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            return done.returncode, done.stdout

    def assert_found(self, text, by, what):
        status, output = self.check(text)
        self.assertNotEqual(status, 0, output)
        self.assertIn(by, output)
        self.assertIn(what, output)

    def test_a_file_without_faults_passes(self):
        self.assertEqual(self.check(GOOD), (0, ""))

    def test_clang_tidy_finds_a_product_that_is_widened_too_late(self):
        self.assert_found("long area(int width, int height);\nlong area(int width, int height)\n{\n    return width * height;\n}\n",
                          "clang-tidy found", "implicit-widening")

    def test_clangs_analyzer_finds_a_null_pointer(self):
        self.assert_found("int at(const int *p);\nint at(const int *p)\n{\n    if (!p)\n        return *p;\n    return 0;\n}\n",
                          "Clang's analyzer found", "core.NullDereference")

    def test_cppcheck_finds_an_index_out_of_bounds(self):
        self.assert_found("int last(void);\nint last(void)\n{\n    int a[4] = {1, 2, 3, 4};\n\n    return a[4];\n}\n",
                          "cppcheck found", "arrayIndexOutOfBounds")

    def test_a_function_with_state_that_threads_share_is_found(self):
        self.assert_found("#include <string.h>\nchar *first(char *text);\nchar *first(char *text)\n{\n    return strtok(text, \" \");\n}\n",
                          "not thread-safe found", "strtok")


if __name__ == "__main__":
    unittest.main()
