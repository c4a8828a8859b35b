#!/usr/bin/python3
"""What `diskallocctl run` refuses, each with one sentence: refusals.py DISKALLOCD DISKALLOCCTL LIBRARY ALLOCATOR."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from preload_case import CTL, PreloadCase
import wire_case

ALLOCATOR = sys.argv[4]
del sys.argv[1:5]


def build(path, *options, code="int main(void) { return 0; }"):
    """Whether there is a compiler that builds it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        return False
    command = [compiler, "-x", "c", "-", "-o", path, *options]
    return subprocess.run(command, input=code, text=True, capture_output=True, check=False).returncode == 0


class RefusalsTest(PreloadCase):
    def setUp(self):
        self.here = tempfile.mkdtemp(prefix="diskalloc-preload-", dir=wire_case.BASE_DIR)
        self.addCleanup(shutil.rmtree, self.here)

    def path(self, name):
        return os.path.join(self.here, name)

    def assert_refused(self, status, sentence, *arguments, **options):
        done = self.run_with(*arguments, **options)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertRegex(done.stderr, f"^diskallocctl: .*{sentence}.*\n$")
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_sizes_that_are_none(self):
        for size in ("0", "1", "63K", "x", "", "-1", "1.5G", "32MB", "99999999999999999999"):
            self.assert_refused(2, "--threshold is .*; it takes a size", "--threshold", size, "/bin/true")
        for size in ("0", "lots", "-5"):
            self.assert_refused(2, "--limit is .*; it takes a size", "--limit", size, "/bin/true")

    def test_wrong_usage(self):
        self.assert_refused(2, r"usage: diskallocctl run \[OPTION...\] PROGRAM")
        self.assert_refused(2, "usage: diskallocctl run", "--force", "/bin/true")
        done = subprocess.run([CTL, "--strict", "status"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "usage: diskallocctl status")

    def test_options_behind_the_program_are_its_own(self):
        done = self.run_with("--", "/bin/echo", "--threshold", "--help", "-x", "--")
        self.assertEqual((done.returncode, done.stdout), (0, "--threshold --help -x --\n"))
        done = self.run_with("/bin/echo", "--report", "--address", "y")
        self.assertEqual((done.returncode, done.stdout), (0, "--report --address y\n"))

    def test_the_program_s_status_is_the_status(self):
        self.assertEqual(self.run_with("sh", "-c", "exit 41").returncode, 41)
        self.assertEqual(self.run_with("sh", "-c", "kill -9 $$").returncode, -9)

    def test_programs_that_are_not_there(self):
        self.assert_refused(1, r"nosuchprogram is in no directory of \$PATH", "nosuchprogram")
        self.assert_refused(1, "/nosuch/program is not there", "/nosuch/program")
        self.assert_refused(1, "/etc/passwd can't be run", "/etc/passwd")
        self.assert_refused(1, "/etc can't be run", "/etc")
        self.assert_refused(1, r"is in no directory of \$PATH", "")

    def test_a_static_program(self):
        if not build(self.path("static"), "-static"):
            self.skipTest("no compiler, or no static C library")
        self.assert_refused(1, "static is linked statically, so no library can be preloaded", self.path("static"))
        with open(self.path("script"), "w", encoding="ascii") as script:
            script.write(f"#! {self.path('static')} -x\n")
        os.chmod(self.path("script"), 0o755)
        self.assert_refused(1, "static is linked statically", self.path("script"))

    def test_a_program_of_32_bits_and_a_damaged_one(self):
        with open("/bin/true", "rb") as file:
            text = bytearray(file.read())
        for name, at, byte, sentence in (
            ("old", 4, 1, "is a program of 32 bits"),
            ("other", 18, 0x15, "is a program for another machine"),
            ("damaged", 33, 0xFF, "is a damaged program"),
        ):
            changed = text[:]
            changed[at] = byte
            with open(self.path(name), "wb") as file:
                file.write(changed)
            os.chmod(self.path(name), 0o755)
            self.assert_refused(1, f"{name} {sentence}", self.path(name))

    def test_a_program_with_a_sanitizer(self):
        built = 0
        for flags in (("-fsanitize=address",), ("-fsanitize=address", "-static-libasan"), ("-fsanitize=leak", "-static-liblsan")):
            if build(self.path("asan"), *flags):
                self.assert_refused(1, "asan was built with a sanitizer, which has to be the first library", self.path("asan"))
                built += 1
        if built == 0:
            self.skipTest("no compiler with AddressSanitizer")

    def test_a_set_uid_program(self):
        if os.geteuid() != 0:
            self.skipTest("only root makes a program of another user")
        shutil.copy("/bin/true", self.path("suid"))
        os.chown(self.path("suid"), 1, 1)
        os.chmod(self.path("suid"), 0o4755)
        self.assert_refused(1, "suid runs with the rights of its file", self.path("suid"))
        os.chown(self.path("suid"), 0, 1)
        os.chmod(self.path("suid"), 0o2755)
        self.assert_refused(1, "suid runs with the rights of its file", self.path("suid"))
        os.chown(self.path("suid"), 0, 0)  # to root, root's program gives nothing
        os.chmod(self.path("suid"), 0o4755)
        self.assertEqual(self.run_with(self.path("suid")).returncode, 0)

    def test_addresses_where_nothing_is(self):
        self.assert_refused(3, "no daemon answers at unix:/nosuch", "/bin/true", address="unix:/nosuch")
        self.assert_refused(1, "/nosuch: No such file", "/bin/true", address="dir:/nosuch")
        self.assert_refused(1, "/etc/passwd is not a directory that you may write", "/bin/true", address="dir:/etc/passwd")
        self.assert_refused(2, "must be dir: followed by the absolute path", "/bin/true", address="dir:here")
        self.assert_refused(2, "too long", "/bin/true", address="dir:/" + "./" * 300)
        done = subprocess.run([CTL, "--address", "dir:/tmp", "status"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)  # other commands have no use for a directory

    def test_a_library_that_is_not_where_it_belongs(self):
        shutil.copy(CTL, self.path("diskallocctl"))
        done = subprocess.run(
            [self.path("diskallocctl"), "--address", self.addresses["dir"], "run", "/bin/true"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "libdiskalloc-preload.so is not where it belongs")

    def test_a_daemon_that_went_is_no_end(self):
        """The daemon stops between the check and the first large block."""
        code = (
            "import os, signal, sys\n"
            "os.kill(int(sys.argv[1]), signal.SIGKILL)\n"
            "b = bytearray(40 << 20); b[:] = b'x' * len(b); print(b.count(b'x'))\n"
        )
        daemon = wire_case.Daemon("[daemon]\nkeep_free = 0\n")
        try:
            done = self.run_with(
                "/usr/bin/python3", "-c", code, str(daemon.process.pid), address=f"unix:{daemon.socket}"
            )
            self.assertEqual((done.returncode, done.stdout), (0, f"{40 << 20}\n"), done.stderr)
            self.assertRegex(done.stderr, "can't lie on disk and is in memory")
        finally:
            daemon.process.wait()
            shutil.rmtree(daemon.dir)

    def test_programs_below_have_it_too(self):
        done = self.run_with("--report", "sh", "-c", f"{ALLOCATOR} blocks; {ALLOCATOR} constructor")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("large blocks of"), 2, done.stderr)


if __name__ == "__main__":
    unittest.main()
