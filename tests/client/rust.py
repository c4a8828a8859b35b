"""The crate diskallocator (client/rust): its tests and examples through a daemon and in a directory, and how it finds the library.

rust.py LIBRARY DISKALLOCD
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

CRATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "rust")
QUOTA = 200 << 20
CONFIG = f"[daemon]\nkeep_free = 0\n[quota default]\nbytes = {QUOTA}\n"


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(77)


def compiler_works():
    """rustup's programs are there, and fail, where no toolchain is installed."""
    return all(shutil.which(p) and subprocess.run([p, "--version"], capture_output=True, check=False).returncode == 0 for p in ("cargo", "rustc"))


with open(LIBRARY, "rb") as _stream:
    _text = _stream.read()
if b"__asan_init" in _text or b"__tsan_init" in _text:
    skip("the library is built with a sanitizer, which Rust's programs have not")
if not compiler_works():
    skip("there is no Rust compiler (rustc, cargo)")


class Rust(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        wire_case.program = DISKALLOCD
        wire_case.start_daemon(CONFIG)
        cls.addClassCleanup(wire_case.stop_daemon)
        cls.folder = tempfile.mkdtemp(prefix="diskalloc-test-", dir=wire_case.BASE_DIR)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        # the tree may be read-only, and a user's configuration may ask for anything
        cls.crate = os.path.join(cls.folder, "crate")
        shutil.copytree(CRATE, cls.crate, ignore=shutil.ignore_patterns("target"))
        cls.spill = os.path.join(cls.folder, "spill")
        os.mkdir(cls.spill)
        cls.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CARGO", "RUST", "PKG_CONFIG")) or name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN")
        } | {
            "CARGO_HOME": os.path.join(cls.folder, "cargo-home"),
            "CARGO_TARGET_DIR": os.path.join(cls.folder, "target"),
            "CARGO_NET_OFFLINE": "true",
            "RUSTC_BOOTSTRAP": "1",
            "RUSTFLAGS": "-D warnings",
            "DISKALLOC_LIB_DIR": os.path.dirname(LIBRARY),
            "LD_LIBRARY_PATH": os.path.dirname(LIBRARY),
        }

    def cargo(self, *arguments, without=(), **more):
        environment = {name: value for name, value in (self.environment | more).items() if name not in without}
        return subprocess.run(
            ["cargo", *arguments],
            cwd=self.crate,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    def passes(self, *arguments, **more):
        done = self.cargo(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_all_its_tests_pass_through_a_daemon(self):
        said = self.passes("test", DISKALLOC_ADDRESS=f"unix:{wire_case.daemon.socket}", DISKALLOC_TEST_QUOTA=str(QUOTA))
        self.assertIn("zeroed_memory_is_zero_also_where_something_was ... ok", said)
        self.assertIn("src/lib.rs - (line", said)  # the programs in README.md

    def test_all_its_tests_pass_in_a_directory(self):
        self.passes("test", DISKALLOC_ADDRESS=f"dir:{self.spill}")
        self.assertEqual([name for name in os.listdir(self.spill) if not name.startswith(".")], [])

    def test_its_examples_run(self):
        address = {"DISKALLOC_ADDRESS": f"unix:{wire_case.daemon.socket}"}
        self.assertIn("100 numbers, the last is 99\n", self.passes("run", "-q", "--example", "simple", **address))
        path = os.path.join(self.folder, "file")
        self.assertIn("32768 records", self.passes("run", "-q", "--example", "on_file", path, "2"))
        self.assertEqual(os.path.getsize(path), 2 << 20)
        with open(path, "rb") as stream:
            self.assertEqual(stream.read().replace(b"\0", b""), b"ABCDEFGH12345678" * 32768)

    def test_it_finds_an_installed_library(self):
        with open(os.path.join(self.folder, "diskalloc-client.pc"), "w", encoding="utf-8") as stream:
            stream.write(f"Name: diskalloc-client\nDescription: -\nVersion: 0\nLibs: -L{os.path.dirname(LIBRARY)} -ldiskalloc-client\n")
        if shutil.which("pkg-config"):
            said = self.passes(
                "run", "-q", "--example", "simple", DISKALLOC_LIB_DIR="", PKG_CONFIG_PATH=self.folder, DISKALLOC_ADDRESS=f"dir:{self.spill}"
            )
            self.assertIn("the last is 99", said)

    def test_without_a_library_it_says_what_to_do(self):
        for more in ({"PKG_CONFIG_LIBDIR": "/nonexistent"}, {"PKG_CONFIG": "/nonexistent"}):
            done = self.cargo("build", without=("DISKALLOC_LIB_DIR",), **more)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("libdiskalloc-client was not found", done.stdout)
            self.assertIn("DISKALLOC_LIB_DIR", done.stdout)


if __name__ == "__main__":
    unittest.main()
