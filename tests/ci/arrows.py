#!/usr/bin/python3
"""The check of the arrows, .ci/arrows, on small trees that are made for it: does it find each fault that it is there for?"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

if not shutil.which("nm"):
    print("skipped: nm (binutils) is not there", file=sys.stderr)
    sys.exit(77)

ARROWS, COMPILER = sys.argv.pop(1), sys.argv.pop(1)

ORDER = """# A page
```order
client daemon
proto

client/top
client/left client/right
client/low

daemon/all
```
"""

# Nothing is wrong with these: top uses low and proto, and low has a header that only its neighbours include.
GOOD = {
    "client/top.c": '#include "client/low/low.h"\n#include "proto/size.h"\nint top(void);\nint top(void) { return low() + size(); }\n',
    "client/low/low.h": "int low(void);\nint other(void);\n",
    "client/low/low_internal.h": '#include "client/low/low.h"\nint inner(void);\n',
    "client/low/low.c": '#include "client/low/low_internal.h"\nint low(void) { return 1; }\nint inner(void) { return 2; }\n',
    "client/low/other.c": '#include "client/low/low_internal.h"\nint other(void) { return inner(); }\n',
    "proto/size.h": "int size(void);\n",
    "proto/size.c": '#include "proto/size.h"\nint size(void) { return 0; }\n',
}


class ArrowsTest(unittest.TestCase):
    def check(self, changes=None, order=ORDER):
        """Compiles GOOD with CHANGES in a directory of its own; returns the status and the output of the check."""
        files = GOOD | (changes or {})
        with tempfile.TemporaryDirectory() as root:
            commands = []
            for path, text in (files | {"ARCHITECTURE.md": order}).items():
                os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            for path in files:
                if path.endswith(".c"):
                    command = [COMPILER, "-I.", "-c", path, "-o", path + ".o"]
                    subprocess.run(command, cwd=root, check=True)
                    commands.append({"directory": root, "file": path, "command": " ".join(command)})
            with open(os.path.join(root, "compile_commands.json"), "w", encoding="utf-8") as file:
                json.dump(commands, file)
            result = subprocess.run([ARROWS, root, root], capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, "")
        return result.returncode, result.stdout

    def assert_fault(self, said, changes, order=ORDER):
        status, output = self.check(changes, order)
        self.assertEqual(status, 1)
        self.assertIn(said, output)
        return output

    def test_a_tree_in_order_passes(self):
        status, output = self.check()
        self.assertEqual(output, "4 files, 3 arrows, 0 faults\n")
        self.assertEqual(status, 0)

    def test_an_include_that_runs_up_is_found(self):
        self.assert_fault(
            "client/low/low -> client/top runs up, from client/low to client/top: includes client/top.h",
            {"client/top.h": "int top(void);\n", "client/low/low.h": '#include "client/top.h"\nint low(void);\nint other(void);\n'})

    def test_a_call_that_runs_up_is_found_without_an_include(self):
        self.assert_fault(
            "client/low/up -> client/top runs up, from client/low to client/top: uses top",
            {"client/low/up.c": "int top(void);\nint up(void);\nint up(void) { return top(); }\n"})

    def test_a_variable_is_an_arrow_too(self):
        self.assert_fault(
            "client/low/up -> client/level runs up",
            {"client/level.c": "int level = 1;\n",
             "client/low/up.c": "extern int level;\nint up(void);\nint up(void) { return level; }\n"},
            ORDER.replace("client/top\n", "client/top client/level\n"))

    def test_an_arrow_from_proto_to_the_client_is_found(self):
        self.assert_fault(
            "proto/up -> client/top runs up, from proto to client: uses top",
            {"proto/up.c": "int top(void);\nint up(void);\nint up(void) { return top(); }\n"})

    def test_the_daemon_and_the_client_know_nothing_of_each_other(self):
        self.assert_fault(
            "daemon/all -> client/top runs between daemon and client, which stand in one line: uses top",
            {"daemon/all.c": "int top(void);\nint all(void);\nint all(void) { return top(); }\n"})

    def test_two_of_one_line_know_nothing_of_each_other(self):
        self.assert_fault(
            "client/left/a -> client/right/b runs between client/left and client/right",
            {"client/left/a.c": "int b(void);\nint a(void);\nint a(void) { return b(); }\n",
             "client/right/b.c": "int b(void);\nint b(void) { return 1; }\n"})

    def test_a_circle_is_found_in_a_folder(self):
        output = self.assert_fault(
            "circle of 3 files:",
            {"client/low/a.c": "int b(void);\nint a(void);\nint a(void) { return b(); }\n",
             "client/low/b.c": "int c(void);\nint b(void);\nint b(void) { return c(); }\n",
             "client/low/c.c": '#include "client/low/a.h"\nint c(void);\nint c(void) { return 1; }\n',
             "client/low/a.h": "int a(void);\n"})
        for line in ("client/low/a -> client/low/b: uses b", "client/low/b -> client/low/c: uses c",
                     "client/low/c -> client/low/a: includes client/low/a.h"):
            self.assertIn(line, output)
        self.assertIn(", 1 faults", output)

    def test_a_name_that_daemon_and_client_both_have_is_their_own(self):
        status, output = self.check({"daemon/all.c": "int low(void);\nint all(void);\nint all(void) { return low(); }\n",
                                     "daemon/all_low.c": "int low(void);\nint low(void) { return 1; }\n"},
                                    ORDER.replace("daemon/all\n", "daemon/all\ndaemon/all_low\n"))
        self.assertEqual((status, output.splitlines()[-1]), (0, "6 files, 4 arrows, 0 faults"))

    def test_a_folder_that_the_order_does_not_name_is_a_fault(self):
        self.assert_fault("client/new/file: no line of the order in ARCHITECTURE.md names its folder",
                          {"client/new/file.c": "int file(void);\nint file(void) { return 1; }\n"})

    def test_a_page_without_an_order_is_refused(self):
        with self.assertRaises(AssertionError) as raised:
            self.check(order="# A page\n")
        self.assertIn("ARCHITECTURE.md has no block", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
