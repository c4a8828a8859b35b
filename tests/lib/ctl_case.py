"""What the tests of diskallocctl share: running it, as somebody else too, on a pipe and on a terminal."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import unittest

import wire_case
from wire_client import DEADLINE_SECONDS

program = os.environ.get("TEST_DISKALLOCCTL", "diskallocctl")


def read_terminal(primary):
    """All that was written to a terminal that nobody has open any more; closes it."""
    text = b""
    try:
        while data := os.read(primary, 4096):
            text += data
    except OSError:
        pass  # Linux says EIO at the end
    os.close(primary)
    return text


class CtlTest(unittest.TestCase):
    def start_ctl(self, *arguments, address=None, user=None):
        """What the tool did, as USER (uid, gid, groups) if that is given."""
        identity = dict(zip(("user", "group", "extra_groups"), user)) if user else {}
        return subprocess.run(
            [program, *arguments],
            env=os.environ | {"DISKALLOC_ADDRESS": address or f"unix:{wire_case.daemon.socket}"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            cwd="/",
            **identity,
        )

    def run_ctl(self, *arguments, status=0, address=None, user=None):
        """Standard output; with another status than 0, the one sentence on standard error."""
        done = self.start_ctl(*arguments, address=address, user=user)
        self.assertEqual(done.returncode, status, done.stderr)
        if status == 0:
            self.assertEqual(done.stderr, "")
            return done.stdout
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def run_json(self, *arguments, user=None):
        answer = json.loads(self.run_ctl("--json", *arguments, user=user))
        self.assertEqual(answer["version"], 1)
        return answer

    def run_on_terminal(self, *arguments, columns=0, **environment):
        """COLUMNS 0: a terminal that does not tell its size."""
        primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        done = subprocess.Popen(
            [program, "--address", f"unix:{wire_case.daemon.socket}", *arguments],
            stdout=secondary,
            env=os.environ | {"TERM": "xterm"} | environment,
        )
        os.close(secondary)
        text = read_terminal(primary)
        self.assertEqual(done.wait(60), 0)
        return text.decode()
