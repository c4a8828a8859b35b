"""What DISKALLOC_VEC_DEFINE accepts as a type: each program below compiles without a warning, or does not compile and says why.

element_types.py LIBRARY: libdiskalloc-client.so.  Each compiler of gcc, g++, clang and clang++ that is there is used.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY = sys.argv.pop()
INCLUDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "include")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
COMPILERS = {"c": [c for c in ("gcc", "clang") if shutil.which(c)], "c++": [c for c in ("g++", "clang++") if shutil.which(c)]}
STANDARD = {"c": "-std=c11", "c++": "-std=c++17"}

HEADER = "#include <diskalloc/vec.h>\n"
NO_BYTES = "elements of at least one byte"
NOT_BYTES = "trivially copyable"


def compile_text(language, compiler, text, *options):
    command = [compiler, "-x", language, STANDARD[language], *options, "-I", INCLUDE, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def is_sanitized(library):
    """Such a library runs only with programs of the same compiler and sanitizer."""
    with open(library, "rb") as stream:
        text = stream.read()
    return b"__asan_init" in text or b"__tsan_init" in text


class Types(unittest.TestCase):
    def each(self, language):
        self.assertTrue(COMPILERS[language], f"no compiler of {language}")
        return COMPILERS[language]

    def accepted(self, language, text):
        for compiler in self.each(language):
            done = compile_text(language, compiler, HEADER + text + "\n", "-fsyntax-only", *WARNINGS)
            self.assertEqual(done.returncode, 0, f"{compiler}: {done.stderr}")

    def refused(self, language, text, why):
        for compiler in self.each(language):
            done = compile_text(language, compiler, HEADER + text + "\n", "-fsyntax-only")
            self.assertNotEqual(done.returncode, 0, f"{compiler}: {text}")
            self.assertIn(why, done.stderr)

    def test_ordinary_types_are_accepted(self):
        for language in ("c", "c++"):
            self.accepted(language, "DISKALLOC_VEC_DEFINE(v, int)")
            self.accepted(language, "DISKALLOC_VEC_DEFINE(v, double *)")
            self.accepted(language, "struct s { char bytes[200]; };\nDISKALLOC_VEC_DEFINE(v, struct s)")
            self.accepted(language, "typedef struct { short a; long b; } s;\nDISKALLOC_VEC_DEFINE(v, s)\nDISKALLOC_VEC_DEFINE(w, s)")

    def test_an_order_of_any_type_compiles(self):
        order = "DISKALLOC_VEC_DEFINE(v, struct s)\nDISKALLOC_VEC_DEFINE_ORDER(v, struct s, before)\n"
        use = "int use(struct v *v, struct s *k) { return v_sort(v) + v_is_sorted(v) + (int)(v_lower_bound(v, k) + v_upper_bound(v, k) + v_dedup(v)); }\n"
        function = "static int before(const struct s *a, const struct s *b) { return a->key < b->key; }\n"
        macro = "#define before(a, b) ((a)->key < (b)->key)\n"
        for language in ("c", "c++"):
            for members in ("char key;", "long key; char rest[3];", "double key; char rest[10000];"):
                for less in (function, macro):
                    self.accepted(language, "struct s { " + members + " };\n" + less + order + "int use(struct v *v, struct s *k);\n" + use)
        self.accepted("c++", "struct s { explicit s(int i) : key(i) {} const int key; };\n" + function + order)

    def test_elements_of_no_bytes_are_refused(self):
        self.refused("c", "struct s {};\nDISKALLOC_VEC_DEFINE(v, struct s)", NO_BYTES)
        self.refused("c", "struct s { int none[0]; };\nDISKALLOC_VEC_DEFINE(v, struct s)", NO_BYTES)
        self.refused("c++", "struct s { int none[0]; };\nDISKALLOC_VEC_DEFINE(v, s)", NO_BYTES)

    def test_an_empty_class_has_a_byte(self):
        self.accepted("c++", "struct s {};\nDISKALLOC_VEC_DEFINE(v, s)")

    def test_types_that_are_more_than_their_bytes_are_refused(self):
        self.refused("c++", "#include <string>\nDISKALLOC_VEC_DEFINE(v, std::string)", NOT_BYTES)
        self.refused("c++", "#include <memory>\nDISKALLOC_VEC_DEFINE(v, std::unique_ptr<int>)", NOT_BYTES)
        self.refused("c++", "struct s { s(const s &); int i; };\nDISKALLOC_VEC_DEFINE(v, s)", NOT_BYTES)
        self.refused("c++", "struct s { ~s(); int i; };\nDISKALLOC_VEC_DEFINE(v, s)", NOT_BYTES)
        self.refused("c++", "struct s { virtual void f(); };\nDISKALLOC_VEC_DEFINE(v, s)", NOT_BYTES)
        self.refused("c++", "#include <string>\nDISKALLOC_VEC_DEFINE(v, std::pair<int, std::string>)", NOT_BYTES)
        self.refused("c++", "#include <string>\ntypedef std::array<std::string, 2> a;\nDISKALLOC_VEC_DEFINE(v, a)", NOT_BYTES)

    def test_pairs_and_arrays_of_bytes_are_bytes(self):
        self.accepted("c++", "DISKALLOC_VEC_DEFINE(v, std::pair<int, double>)")
        self.accepted("c++", "DISKALLOC_VEC_DEFINE(v, std::array<int, 4>)")
        self.accepted("c++", "DISKALLOC_VEC_DEFINE(v, std::pair<std::array<std::pair<int, char>, 3>, std::pair<long, int>>)")

    def test_a_program_may_declare_a_type_to_be_bytes(self):
        declared = (
            "struct s { s(int); s(const s &o); s &operator=(const s &); int i; };\n"
            "template <> struct diskalloc::is_bytes<s> : std::true_type {};\n"
        )
        self.accepted("c++", declared + "DISKALLOC_VEC_DEFINE(v, s)")
        self.accepted("c++", declared + "DISKALLOC_VEC_DEFINE(v, std::pair<s, int>)")
        self.accepted("c++", declared + "DISKALLOC_VEC_DEFINE(v, std::array<s, 2>)")
        self.accepted(
            "c++",
            "template <class T> struct box { box(const box &); box &operator=(const box &) = delete; T t; };\n"
            "template <class T> struct diskalloc::is_bytes<box<T>> : diskalloc::is_bytes<T> {};\n"
            "DISKALLOC_VEC_DEFINE(v, box<int>)",
        )

    def test_the_header_may_stand_within_extern_c(self):
        for compiler in self.each("c++"):
            text = 'extern "C" {\n#include <diskalloc/vec.h>\nDISKALLOC_VEC_DEFINE(v, int)\n}\n'
            done = compile_text("c++", compiler, text, "-fsyntax-only", *WARNINGS)
            self.assertEqual(done.returncode, 0, f"{compiler}: {done.stderr}")

    @unittest.skipIf(is_sanitized(LIBRARY), "the library was built with a sanitizer")
    def test_a_vector_of_pairs_works(self):
        text = HEADER + """
typedef std::pair<uint64_t, double> item;
DISKALLOC_VEC_DEFINE(items, item)

int main(int, char **argv)
{
    struct diskalloc *da;
    items v;
    item last;

    if (diskalloc_open(argv[1], NULL, &da) < 0 || items_init(&v, da) < 0)
        return 1;
    for (uint64_t i = 0; i < 100000; i++)
        if (items_push(&v, item(i, 0.5)) < 0)
            return 2;
    if (v.data[99999].first != 99999 || items_pop(&v, &last) < 0 || last.second != 0.5)
        return 3;
    if (items_insert(&v, 0, item(7, 7)) < 0 || v.data[0].first != 7 || v.data[1].first != 0)
        return 4;
    items_deinit(&v);
    diskalloc_close(da);
    return 0;
}
"""
        for compiler in self.each("c++"):
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
                program = os.path.join(folder, "program")
                options = ["-O1", "-o", program, "-I", INCLUDE]
                command = [compiler, "-x", "c++", STANDARD["c++"], *WARNINGS, *options, "-", "-x", "none", LIBRARY]
                done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, f"{compiler}: {done.stderr}")
                where = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(LIBRARY)}
                self.assertEqual(subprocess.run([program, f"dir:{folder}"], env=where, check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
