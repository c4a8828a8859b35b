#!/usr/bin/python3
"""The manual pages and the code say the same: functions, structs, errors, options, commands, keys, defaults.
agree.py DAEMON DISKALLOCCTL"""

import os
import re
import subprocess
import sys
import unittest

import manual

DAEMON, CTL = sys.argv[1:3]
del sys.argv[1:]
HEADERS = [f"include/diskalloc/{name}" for name in ("client.h", "vec.h", "order.h", "strvec.h", "heap.h")]
PAGES = manual.all_pages()
LIBRARY_PAGES = [page for page in PAGES if page.section == "3"]


def page_of(name):
    """The page of section 3 that has NAME among its names."""
    found = [page for page in LIBRARY_PAGES if name in page.names]
    assert len(found) == 1, f"{name} is a name of {len(found)} manual pages"
    return found[0]


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def normal(text):
    """C code with one kind of blank."""
    text = re.sub(r"\s+", " ", without_comments(text).replace("(const char *)0", "NULL")).strip()
    return re.sub(r" ?([(){};,*=]) ?", r"\1", text)


def exported():
    """The functions that are for programs: those of vectors are for the macro."""
    names = re.findall(r"^    (diskalloc_\w+);", manual.read("client/diskalloc-client.map"), re.M)
    return [name for name in names if not name.startswith("diskalloc_vec_")]


def prototypes():
    """What the headers declare, by name, with the comment above it."""
    found = {}
    for header in HEADERS:
        for comment, declared, name in re.findall(r"/\*((?:(?!\*/).)*)\*/\n((?:\w[\w ]*[ *])(diskalloc_\w+)\([^{}]*?\));", manual.read(header), re.S):
            found[name] = (normal(declared), comment)
    return found


def vector_functions():
    """The functions that the macros make, name_push and so on."""
    return sorted({f"name_{f}" for header in HEADERS for f in re.findall(r"DISKALLOC_VEC_FN \w+ name##_(\w+)\(", manual.read(header))})


def synopses(page):
    """The functions in a page's SYNOPSIS, by name."""
    text = re.sub(r"^\.Fo (\S+)\n((?:\.Fa .*\n)+)\.Fc$", lambda m: f".Fn {m[1]} " + " ".join(re.findall(r"^\.Fa (.*)$", m[2], re.M)), page.part("SYNOPSIS").replace("\\&", ""),
                  flags=re.M)
    found = {}
    for kind, name, arguments in re.findall(r"^\.Ft (.*)\n\.Fn (\S+) ?(.*)$", text, re.M):
        words = re.findall(r'"([^"]*)"|(\S+)', arguments)
        found[name] = normal(kind.strip('"') + " " + name + "(" + ", ".join(a or b for a, b in words) + ")")
    return found


def structs(text):
    return {name: normal(body) for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.M | re.S)}


def fields(body):
    return [name for declared in body.split(";") if declared for name in re.findall(r"(\w+)(?:\[\d+\])?(?=,|$)", declared)]


def errors(text):
    return set(re.findall(r"(?<![A-Z_])-?(E[A-Z0-9]{3,})\b", text)) - {"EXCLUSIVE", "ENDS", "ELEMENT", "ENOTCONN", "EDIT"}


class Library(unittest.TestCase):
    def test_each_exported_function_has_a_page(self):
        for name in exported():
            with self.subTest(name):
                page_of(name)

    def test_each_function_that_a_macro_makes_has_a_page(self):
        self.assertGreater(len(vector_functions()), 25)
        for name in vector_functions():
            with self.subTest(name):
                page_of(name)

    def test_each_name_of_a_page_is_in_the_code(self):
        code = exported() + vector_functions()
        text = "".join(manual.read(header) for header in HEADERS) + manual.read("include/diskalloc/allocator.hpp")
        for page in LIBRARY_PAGES:
            for name in page.names:
                with self.subTest(name):
                    is_macro = re.search(rf"^#define {re.escape(name)}\b", text, re.M)
                    is_cxx = name.startswith("diskalloc::") and re.search(rf"\b(class|struct) (diskalloc::)?{name[11:]}\b", text)
                    self.assertTrue(name in code or is_macro or is_cxx or name == page.title)

    def test_each_synopsis_is_what_the_header_declares(self):
        declared = prototypes()
        for name in exported():
            with self.subTest(name):
                self.assertEqual(synopses(page_of(name))[name], declared[name][0])

    def test_each_synopsis_of_a_vector_is_what_the_comments_declare(self):
        declared = {}
        for header in ("include/diskalloc/vec.h", "include/diskalloc/order.h"):
            text = re.sub(r"\n \* *", " ", manual.read(header))
            for function, name in re.findall(r"((?:int|void|size_t) (name_\w+)\([^)]*\))", text):
                declared[name] = normal(function)
        self.assertEqual(sorted(declared), vector_functions())
        for name, function in declared.items():
            with self.subTest(name):
                self.assertEqual(synopses(page_of(name))[name], function)

    def test_each_struct_is_shown_as_it_is_and_its_fields_are_described(self):
        in_headers = {name: body for header in HEADERS[:1] for name, body in structs(manual.read(header)).items()}
        self.assertGreaterEqual(len(in_headers), 7)
        for name, body in in_headers.items():
            with self.subTest(name):
                shown = [page for page in LIBRARY_PAGES if name in structs(page.part("SYNOPSIS"))]
                self.assertEqual(len(shown), 1)
                self.assertEqual(structs(shown[0].part("SYNOPSIS"))[name], body)
                for field in fields(body):
                    self.assertRegex(shown[0].part("DESCRIPTION"), rf"(?m)^\.(It )?Va .*\b{field}\b")

    def test_each_constant_and_macro_is_on_a_page(self):
        for header in HEADERS:
            text = manual.read(header)
            if header.endswith(("vec.h", "order.h")):
                text = re.sub(r"/\* Internal, for the macro only.*?^(?=#define DISKALLOC_VEC_DEFINE(_ORDER)?\()", "", text, flags=re.M | re.S)
            names = set(re.findall(r"^#define (DISKALLOC_\w+)", text, re.M)) | set(re.findall(r"^    (DISKALLOC_\w+) = \d", text, re.M))
            for name in names - {"DISKALLOC_" + os.path.basename(header).upper().replace(".", "_")}:
                if not re.match(r"DISKALLOC_VEC_(DEFINE_TYPE|CHECK|COPY|FN)", name):
                    with self.subTest(name):
                        self.assertTrue(any(page.has_word(name) for page in LIBRARY_PAGES))

    def test_each_error_in_a_header_is_on_the_page(self):
        for name, (_, comment) in prototypes().items():
            if name in exported():
                with self.subTest(name):
                    page = page_of(name)
                    on_page = set(re.findall(r"E[A-Z0-9]{3,}", " ".join(re.findall(r"^\.(?:It Bq )?Er .*$", page.text, re.M))))
                    self.assertLessEqual(errors(comment), on_page)

    def test_each_page_says_what_threads_may_do_and_what_is_returned(self):
        for page in LIBRARY_PAGES:
            if page.title != "DISKALLOC_HAVE":
                with self.subTest(page.path):
                    self.assertIn("\n.Ss Threads\n", page.text)
                    self.assertTrue(page.part("RETURN VALUES") and page.part("ERRORS"))


class Cxx(unittest.TestCase):
    def members(self, path, name):
        """What is public in class NAME and not in a class of the standard, as it is declared."""
        body = re.search(rf"class diskalloc::{name}\b[^;{{]*\{{\n(.*?)^\}};", without_comments(manual.read(path)), re.M | re.S)[1]
        lines = re.findall(r"^    (?! |friend|template|using|DISKALLOC)(?:\[\[.*?\]\] )?(.*)$", body.partition("  private:")[0], re.M)
        members = [re.match(r"(?:explicit )?[^(]*\(.*?\)(?: const)?(?= noexcept| override| :|$)", line) for line in lines]
        return {normal(m[0]).replace("::diskalloc", "diskalloc") for m in members if m and "operator" not in m[0]}

    def shown(self, name):
        body = re.search(rf"class diskalloc::{name}\b.*?\{{.*?\n(.*?)^\}};", page_of("diskalloc_allocator").part("SYNOPSIS"), re.M | re.S)[1]
        return {normal(member) for member in re.sub(r"template <class Input>", "", body).split(";") if member.strip()}

    def test_the_classes_have_what_the_page_shows(self):
        for path, name in (("allocator", "client"), ("vector", "vector"), ("allocator", "allocator"), ("allocator", "memory_resource"), ("allocator", "error")):
            with self.subTest(name):
                self.assertTrue(self.shown(name))
                self.assertLessEqual(self.shown(name), self.members(f"include/diskalloc/{path}.hpp", name))

    def test_the_page_shows_what_a_vector_has_that_the_standards_has_not(self):
        standard = set("""begin end cbegin cend rbegin rend crbegin crend data empty size capacity max_size at front back reserve shrink_to_fit clear push_back
                       emplace_back pop_back resize assign insert emplace erase swap vector""".split())
        names = {re.match(r".*?(\w+)\(", member)[1] for member in self.members("include/diskalloc/vector.hpp", "vector")}
        self.assertEqual(names - standard, {re.match(r".*?(\w+)\(", member)[1] for member in self.shown("vector")} - {"vector"})


class References(unittest.TestCase):
    def test_each_reference_to_a_page_of_ours_has_one(self):
        names = {f"{name} {page.section}" for page in PAGES for name in page.names + [page.title]} | {"diskalloc-protocol 7"}
        for page in PAGES:
            for name, section in re.findall(r"(?:^\.|[ ])Xr (\S+) (\d)", page.text, re.M):
                if re.match(r"diskalloc|DISKALLOC|name_", name):
                    with self.subTest(f"{page.path}: {name}({section})"):
                        self.assertIn(f"{name} {section}", names)

    def test_the_readme_and_the_changelog_name_pages_that_are_there(self):
        names = {f"{name}({page.section})" for page in PAGES for name in page.names + [page.title]} | {"diskalloc-protocol(7)"}
        for path in ("README.md", "SECURITY.md", "CHANGELOG.md"):
            for name in re.findall(r"\bdiskalloc[\w.-]*\(\d\)", manual.read(path)):
                with self.subTest(f"{path}: {name}"):
                    self.assertIn(name, names)

    def test_the_readme_installs_what_the_build_needs(self):
        needed = set(re.findall(r"[a-z0-9+.-]+", re.search(r"PACKAGES_BUILD=\(([^)]*)\)", manual.read("tests/lib.sh"))[1]))
        installed = set(re.search(r"^apt-get install -y ((?:.*\\\n)*.*)$", manual.read("README.md"), re.M)[1].replace("\\", " ").split())
        # Those two come with gcc, and are for the tests.
        self.assertLessEqual(needed - {"libc6-dev", "libcmocka-dev"}, installed)

    def test_each_page_is_installed(self):
        installed = " ".join(manual.read(path) for path in ("client/CMakeLists.txt", "client/ctl/CMakeLists.txt", "client/preload/CMakeLists.txt",
                                                            "daemon/CMakeLists.txt", "proto/CMakeLists.txt", "systemd/CMakeLists.txt"))
        for page in PAGES:
            with self.subTest(page.path):
                self.assertIn(page.file, installed)


def options(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


class Programs(unittest.TestCase):
    def agree(self, program, path):
        on_page, in_help = manual.Page(path).arguments("Fl Fl"), options(manual.said(program, "--help"))
        self.assertGreater(len(in_help), 5)
        self.assertLessEqual(in_help, on_page)
        # Other spellings of an option may stand on the page alone.
        for option in on_page - in_help:
            done = subprocess.run([program, f"--{option}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            self.assertNotIn("unrecognized option", done.stderr)

    def test_the_options_of_diskallocd(self):
        self.agree(DAEMON, "daemon/diskallocd.8")

    def test_the_options_of_diskallocctl(self):
        self.agree(CTL, "client/ctl/diskallocctl.1")

    def test_the_commands_of_diskallocctl(self):
        listed = manual.said(CTL, "--help").partition("Commands:\n")[2].partition("\n\n")[0]
        synopses = re.findall(r"^  (\S.*?)(?:  |$)", listed, re.M)
        self.assertGreaterEqual(len(synopses), 11)
        page = manual.read("client/ctl/diskallocctl.1").partition("The commands are:")[2]
        described = set(re.findall(r"^\.It Cm ([a-z-]+(?: (?:list|set|unset)\b)?)", page.partition("The JSON object")[0], re.M))
        commands = {re.match(r"[a-z-]+(?: (?:list|set|unset)\b)?", synopsis)[0] for synopsis in synopses}
        self.assertEqual(commands, described)


class Keys(unittest.TestCase):
    page = manual.Page("daemon/diskallocd.conf.5")

    def keys(self, title):
        return dict(re.findall(r"^\.It Ic (\w+)\n(.*?)(?=^\.It Ic |\Z)", self.page.part(title), re.M | re.S))

    def accepted(self, table):
        text = re.search(rf"{table}\[\] = \{{\n(.*?)^\}};", manual.read("daemon/config/keys.c"), re.M | re.S)[1]
        return set(re.findall(r'\{(?:\.name = )?"(\w+)"', text))

    def test_each_key_of_the_daemon_has_a_paragraph(self):
        self.assertEqual(set(self.keys("THE DAEMON")), self.accepted("daemon_keys"))

    def test_each_key_of_quotas_has_a_paragraph_and_is_in_the_help(self):
        keys = self.accepted("config_quota_keys")
        self.assertEqual(set(self.keys("QUOTAS")), keys)
        self.assertLessEqual(keys, set(re.findall(r"\w+", re.search(r"^KEY: (.*)$", manual.said(CTL, "--help"), re.M)[1])))

    def test_the_shipped_configuration_has_no_other_keys(self):
        text = manual.read("systemd/diskallocd.conf")
        keys = set(re.findall(r"^#? ?(\w+) = ", text, re.M))
        self.assertTrue(keys)
        self.assertLessEqual(keys, set(self.keys("THE DAEMON")) | set(self.keys("QUOTAS")))

    def test_the_defaults_of_the_daemon(self):
        code = manual.read("daemon/config/load.c")
        version = manual.read("proto/version.h")
        keys = {key: re.sub(r"^\.\w+ ", "", text, flags=re.M).replace("\n", " ") for key, text in self.keys("THE DAEMON").items()}
        self.assertIn("default 0%o" % int(re.search(r"socket_mode = 0(\d+)", code)[1], 8), keys["socket_mode"])
        self.assertIn("default " + re.search(r'built_in_spill_dir\[\] = "([^"]+)"', code)[1], keys["spill_dir"])
        self.assertIn("default " + re.search(r'built_in_admin_group\[\] = "(\w+)"', code)[1], keys["admin_group"])
        self.assertIn("default " + re.search(r"keep_free = .*\.number = (\d+)\}", code)[1] + "%", keys["keep_free"])
        socket = re.search(r'SOCKET_DIR "([^"]+)"', version)[1] + "/" + re.search(r'DEFAULT_INSTANCE "([^"]+)"', version)[1] + ".sock"
        self.assertIn("default " + socket, keys["socket"])

    def test_the_defaults_of_quotas(self):
        keys = {key: text.replace("\n", " ") for key, text in self.keys("QUOTAS").items()}
        built_in = re.findall(r'\{"(total|default)", CONFIG_QUOTA_(\w+), "(\S+)"\}', manual.read("daemon/config/load.c"))
        self.assertGreaterEqual(len(built_in), 8)
        for subject, key, value in built_in:
            text = keys[key.lower()]
            with self.subTest(f"{subject} {key}"):
                if value == "unlimited":
                    self.assertIn("unlimited , which is built in", text)
                else:
                    self.assertRegex(text, f"built in: .*{re.escape(value)}" + (" in total" if subject == "total" else ""))
        limits = manual.read("daemon/config/limits.c")
        self.assertIn("built in: " + re.search(r'grace_text\[\] = "(\w+)"', limits)[1], keys["grace"])
        self.assertIn("built in: " + re.search(r'warn_at_text\[\] = "([\w%]+)"', limits)[1], keys["warn_at"])


if __name__ == "__main__":
    unittest.main()
