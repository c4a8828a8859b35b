"""What the tests of client/examples share: a daemon, a directory, and running the programs with them."""

import os
import shutil
import subprocess
import sys
import tempfile

import wire_case
from address_case import AddressCase

wire_case.program = sys.argv[1]
PROGRAMS = {}
while len(sys.argv) > 2 and os.access(sys.argv[2], os.X_OK):
    _path = sys.argv.pop(2)
    PROGRAMS[os.path.basename(_path).removeprefix("example-")] = _path
del sys.argv[1]


class ExampleCase(AddressCase):
    prefix = "diskalloc-example-"

    def setUp(self):
        self.here = tempfile.mkdtemp(prefix=self.prefix, dir=wire_case.BASE_DIR)
        self.addCleanup(shutil.rmtree, self.here)

    def path(self, name):
        return os.path.join(self.here, name)

    def environment(self, address="daemon"):
        return os.environ | {"DISKALLOC_ADDRESS": self.addresses.get(address, address), "LC_ALL": "C", "TMPDIR": self.here}

    def start(self, program, *arguments, address="daemon", **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([PROGRAMS[program], *arguments], env=self.environment(address), cwd=self.here, **options)

    def run_program(self, program, *arguments, status=0, stdin=b"", timeout=200, **options):
        """Standard output as bytes; with another status than 0, the sentence on standard error."""
        process = self.start(program, *arguments, stdin=subprocess.PIPE, **options)
        output, said = process.communicate(stdin, timeout=timeout)
        self.assertEqual((process.returncode, said if status == 0 else b""), (status, b""), said.decode(errors="replace"))
        return output if status == 0 else said.decode(errors="replace")
