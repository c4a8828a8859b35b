"""What the tests of `diskallocctl run` share: a daemon, a directory, and running programs with them."""

import subprocess
import sys

import wire_case
from address_case import AddressCase

wire_case.program, CTL, LIBRARY = sys.argv[1:4]
with open(LIBRARY, "rb") as _stream:
    _text = _stream.read()
if b"__asan_init" in _text or b"__tsan_init" in _text:
    print("skipped: the library is built with a sanitizer, which programs have not", file=sys.stderr)
    sys.exit(77)


class PreloadCase(AddressCase):
    """`self.run_both(...)` runs a program with memory of the daemon, and once more with that of a directory."""

    prefix = "diskalloc-preload-"

    def run_with(self, *arguments, address="daemon", **options):
        """What came of `diskallocctl --address ... run ARGUMENTS`."""
        options = {"capture_output": True, "timeout": 240, "text": True} | options
        command = [CTL, "--address", self.addresses.get(address, address), "run", *arguments]
        return subprocess.run(command, check=False, **options)

    def assert_done(self, done, stderr=""):
        self.assertEqual((done.returncode, done.stderr), (0, stderr))
        return done.stdout

    def run_both(self, *arguments, **options):
        for address in self.addresses:
            with self.subTest(address=address):
                self.assert_done(self.run_with(*arguments, address=address, **options))
