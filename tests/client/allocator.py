"""<diskalloc/allocator.hpp>: a program that uses all of it, compiled without a warning by each compiler and standard, through a daemon and
in a directory; and programs that must not compile.

allocator.py LIBRARY DISKALLOCD
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, DISKALLOCD = sys.argv[1:3]
del sys.argv[1:]

import wire_case  # skips where the daemon can't be started from here

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = os.path.join(HERE, "..", "..", "include")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
COMPILERS = [c for c in ("g++", "clang++") if shutil.which(c)]
STANDARDS = ("17", "20", "2b")
CONFIG = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 90M\n"
HEADER = "#include <diskalloc/allocator.hpp>\n"


def is_sanitized(library):
    """Such a library runs only with programs of the same compiler and sanitizer."""
    with open(library, "rb") as stream:
        text = stream.read()
    return b"__asan_init" in text or b"__tsan_init" in text


def compile_text(compiler, text, standard="17", *options):
    command = [compiler, "-x", "c++", f"-std=c++{standard}", *options, "-I", INCLUDE, "-fsyntax-only", "-"]
    return subprocess.run(command, input=HEADER + text, capture_output=True, text=True, check=False)


class Allocator(unittest.TestCase):
    def accepted(self, text):
        for compiler in COMPILERS:
            for standard in STANDARDS:
                done = compile_text(compiler, text, standard, *WARNINGS)
                self.assertEqual(done.returncode, 0, f"{compiler}: {done.stderr}")

    def refused(self, text, why):
        for compiler in COMPILERS:
            done = compile_text(compiler, text)
            self.assertNotEqual(done.returncode, 0, f"{compiler}: {text}")
            self.assertIn(why, done.stderr)

    @unittest.skipIf(is_sanitized(LIBRARY), "the library was built with a sanitizer")
    def test_a_program_that_uses_all_of_it_runs(self):
        wire_case.program = DISKALLOCD
        wire_case.start_daemon(CONFIG)
        self.addCleanup(wire_case.stop_daemon)
        self.assertTrue(COMPILERS)
        for compiler in COMPILERS:
            for standard in STANDARDS:
                with tempfile.TemporaryDirectory(dir=wire_case.BASE_DIR) as folder:
                    program = os.path.join(folder, "program")
                    source = os.path.join(HERE, "allocator_uses.cpp")
                    command = [compiler, f"-std=c++{standard}", *WARNINGS, "-O1", "-I", INCLUDE, "-o", program, source, LIBRARY, "-pthread"]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
                    where = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(LIBRARY)}
                    for arguments in ([f"dir:{folder}"], [f"unix:{wire_case.daemon.socket}", "limited"]):
                        done = subprocess.run([program, *arguments], env=where, capture_output=True, text=True, timeout=200, check=False)
                        self.assertEqual((done.returncode, done.stdout), (0, "well\n"), f"{command} {arguments}: {done.stderr}")

    def test_elements_that_are_more_than_their_bytes_are_refused(self):
        for element in ("std::string", "std::unique_ptr<int>", "std::pair<int, std::string>", "with_destructor"):
            text = f"struct with_destructor {{ ~with_destructor(); }};\ndiskalloc::vector<{element}> *v; auto n = v->size();"
            self.refused(text, "trivially copyable")

    def test_a_program_may_declare_a_type_to_be_bytes(self):
        self.accepted(
            "struct s { s(int i) : i(i) {} s(const s &o) : i(o.i) {} ~s() {} int i; };\n"
            "template <> struct diskalloc::is_bytes<s> : std::true_type {};\n"
            "void f(diskalloc::vector<s> &v, const diskalloc::vector<s> &w) { v.push_back(s(1)); v.emplace_back(2); v.insert(v.begin(), w.begin(), w.end()); }"
            .replace("s(int i) : i(i)", "s(int n) : i(n)")
        )

    def test_a_vector_is_not_copied(self):
        self.refused("void f(diskalloc::vector<int> &v) { diskalloc::vector<int> w(v); }", "delete")

    def test_programs_of_c_headers_are_compiled_as_before(self):
        self.accepted(
            "DISKALLOC_VEC_DEFINE(numbers, int)\n"
            "int f(struct diskalloc *da, diskalloc *same, ::diskalloc *global)\n"
            "{ struct numbers v; return numbers_init(&v, da) + (same == global) + diskalloc::is_bytes<int>::value; }"
        )

    def test_an_older_standard_is_refused(self):
        for compiler in COMPILERS:
            done = compile_text(compiler, "", "14")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("needs C++17", done.stderr)


if __name__ == "__main__":
    unittest.main()
