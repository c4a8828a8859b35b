#!/usr/bin/python3
"""diskallocctl top: as text, on terminals of all kinds, and by its keys."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ANYBODY, AdminTest, identity, needs_users
from wire_case import MIB
from wire_client import DEADLINE_SECONDS, pb

try:
    import pyte
except ImportError:
    pyte = None


def setUpModule():
    ctl_users.set_up_module()


class OnceTest(AdminTest):
    def test_one_frame_has_the_accounts_and_the_largest_regions(self):
        self.make_named(self.connect(), size=5 * MIB)
        for arguments in (("top", "--once"), ("top",)):  # without a terminal there is one frame only
            lines = self.run_ctl(*arguments).splitlines()
            self.assertRegex(lines[0], r"^diskallocd \S+ at unix:")
            self.assertRegex(lines[1], r"^total \[[#-]+\] +\d+% +5.0M of 256M$")
            self.assertRegex(lines[2], r"^disk  \[[#-]+\] +\d+% +\S+ free, ")
            self.assertEqual(lines[4].split(), "SUBJECT BYTES LIMIT GROWS REGIONS CONNECTED WAITING".split())
            self.assertTrue(any(line.split()[:4] == [self.me, "5.0M", "64M", "-"] for line in lines), lines)
            at = next(i for i, line in enumerate(lines) if line.startswith("REGION "))
            self.assertEqual(lines[at].split(), "REGION OWNER BYTES GROWS RESIDENT DIRTY STATE".split())
            self.assertEqual(lines[at + 1].split()[:3], [self.name, self.me.removeprefix("user:"), "5.0M"])

    def test_growth_is_known_after_a_second_sample(self):
        client = self.connect()
        self.make_named(client)
        tool = subprocess.Popen(
            [ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", "--json", "top", "--once", "--delay", "1"],
            stdout=subprocess.PIPE,
        )
        # Some time within the second: before, it is no growth, and the test tries again.
        client.call(grow_region=pb.GrowRegion(handle=self.handle, size=20 * MIB))
        answer = json.loads(tool.communicate(timeout=DEADLINE_SECONDS)[0])
        self.assertEqual((answer["version"], answer["everything"]), (1, True))
        (region,) = [r for r in answer["regions"] if r["handle"] == self.handle.hex()]
        self.assertIsInstance(region["bytes_per_second"], int)
        self.assertEqual(region["state"], "attached")
        (account,) = [a for a in answer["accounts"] if a["subject"] == self.me]
        self.assertEqual((account["bytes"], account["bytes_limit"]), (region["granted"], 64 * MIB))

    def test_resident_pages_are_shown_to_whoever_may_open_the_file(self):
        client = self.connect()
        _, fd = client.call_with_fd(create_region=pb.CreateRegion(handle=self.handle, size=2 * MIB))
        with os.fdopen(fd, "r+b") as file:
            file.write(b"x" * MIB)
            file.flush()
            (region,) = [r for r in self.run_json("top")["regions"] if r["handle"] == self.handle.hex()]
        if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 5):
            self.assertIsNone(region["resident"])
        else:
            self.assertGreaterEqual(region["resident"], MIB)
            self.assertLessEqual(region["dirty"], region["resident"])

    def test_the_order_is_that_of_a_column(self):
        client = self.connect()
        for name, size in ((b"b-small", 4096), (b"a-large", 3 * MIB)):
            client.call(open_region=pb.OpenRegion(name=name, handle=os.urandom(16), size=size, flags=pb.REGION_CREATE))
        def names(*arguments):
            found = [r["name"] for r in self.run_json("top", *arguments)["regions"]]
            return [n for n in found if n in ("a-large", "b-small")]

        self.assertEqual(names(), ["a-large", "b-small"])
        self.assertEqual(names("--sort", "name"), ["a-large", "b-small"])
        for name in (b"a-large", b"b-small"):
            client.call(unlink_region=pb.UnlinkRegion(name=name))

    @needs_users
    def test_without_rights_it_shows_what_is_ones_own(self):
        self.make_named(self.connect(), size=MIB)
        text = self.run_ctl("top", user=identity(ANYBODY))
        self.assertIn(f"user:{ANYBODY}", text)
        self.assertNotIn(self.name, text)
        answer = self.run_json("top", user=identity(ANYBODY))
        self.assertEqual(([a["subject"] for a in answer["accounts"]], answer["everything"]), (["total", f"user:{ANYBODY}"], False))

    def test_wrong_usage_and_no_daemon(self):
        for arguments, said in (
            (("top", "more"), "usage: diskallocctl top"),
            (("top", "--user", "root"), "usage: diskallocctl top"),
            (("top", "--sort", "beauty"), "it takes bytes, rate"),
            (("top", "--delay", "0"), "--delay takes seconds"),
            (("top", "-d", "x"), "--delay takes seconds"),
            (("status", "--once"), "usage: diskallocctl status"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(said, self.run_ctl(*arguments, status=2))
        self.assertIn("no daemon", self.run_ctl("top", status=3, address="unix:/nonexistent/socket"))


class Terminal:
    """A terminal that `top` draws on."""

    def __init__(self, *arguments, columns=80, lines=24, term="xterm", user=None):
        self.primary, secondary = pty.openpty()
        self.columns, self.lines = columns, lines
        if pyte:
            self.screen = pyte.Screen(columns, lines)
            self.stream = pyte.ByteStream(self.screen)
        self.text = b""
        self.set_size(secondary, columns, lines)
        environment = {k: v for k, v in os.environ.items() if k != "TERM"} | ({"TERM": term} if term is not None else {})
        who = dict(zip(("user", "group", "extra_groups"), user)) if user else {}
        self.process = subprocess.Popen(
            [ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", "top", *arguments],
            stdin=secondary,
            stdout=secondary,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            cwd="/",
            **who,
        )
        os.close(secondary)

    @staticmethod
    def set_size(fd, columns, lines):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self.set_size(self.primary, columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds):
        """False: nothing came, or the other side has closed it."""
        if not select.select([self.primary], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.primary, 65536)
        except OSError:
            return False  # Linux says EIO at the end
        self.text += data
        if pyte:
            self.stream.feed(data)
        return bool(data)

    def wait_for(self, condition):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition(self.screen.display):
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(self.screen.display))
            self.read(0.1)

    def type(self, keys):
        os.write(self.primary, keys)

    def end(self):
        while self.read(DEADLINE_SECONDS):
            pass
        _, error = self.process.communicate(timeout=DEADLINE_SECONDS)
        os.close(self.primary)
        return self.process.returncode, error.decode()


class DumbTest(AdminTest):
    def test_a_terminal_that_cannot_be_drawn_on_gets_a_sentence_and_a_frame(self):
        self.make_named(self.connect(), size=MIB)
        for term in (None, "", "dumb", "no-such-terminal"):
            with self.subTest(term=term):
                terminal = Terminal(term=term)
                status, sentence = terminal.end()
                self.assertEqual(status, 0)
                self.assertIn("this terminal can't be drawn on", sentence)
                self.assertIn(f"TERM is {term or 'not set'}", sentence)
                self.assertNotIn(b"\x1b", terminal.text)
                self.assertIn(b"SUBJECT", terminal.text)

    def test_a_frame_fits_forty_columns(self):
        self.make_named(self.connect(), size=MIB)
        terminal = Terminal("--once", columns=40)
        self.assertEqual(terminal.end(), (0, ""))
        lines = terminal.text.decode().replace("\r", "").splitlines()
        self.assertLessEqual(max(map(len, lines)), 40, lines)
        self.assertTrue(any(self.me in line and "1.0M" in line for line in lines), lines)


@unittest.skipUnless(pyte, "Python's pyte (python3-pyte) is not there")
class ScreenTest(AdminTest):
    def start(self, *arguments, **more):
        terminal = Terminal(*arguments, **more)
        self.addCleanup(self.reap, terminal)
        return terminal

    @staticmethod
    def reap(terminal):
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.end()

    def test_views_filter_sort_help_and_the_end(self):
        client = self.connect()
        self.make_named(client, size=3 * MIB)
        terminal = self.start()
        terminal.wait_for(lambda d: d[3].startswith("SUBJECT") and any(l.startswith(self.me[:9]) for l in d))
        terminal.type(b"\t")
        terminal.wait_for(lambda d: d[3].startswith("REGION") and d[4].startswith(self.name[:16]) and "3.0M" in d[4])
        terminal.type(b"/nothing-has-this-name")
        terminal.wait_for(lambda d: "show only: nothing-has-this-name_" in d[-1] and not d[4].strip())
        terminal.type(b"\x1b")
        terminal.wait_for(lambda d: d[4].startswith(self.name[:16]))
        terminal.type(b"a")
        terminal.wait_for(lambda d: " by name" in d[-1])
        terminal.type(b"h")
        terminal.wait_for(lambda d: any("Page Up" in l for l in d))
        terminal.type(b"hq")
        self.assertEqual(terminal.end(), (0, ""))

    def test_what_grows_is_seen_to_grow(self):
        client = self.connect()
        self.make_named(client)
        terminal = self.start("--delay", "1")
        terminal.wait_for(lambda d: any(l.startswith(self.me[:9]) for l in d))
        client.call(grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB))
        # Only the frame after it shows that: it may be over when it is looked at.
        terminal.wait_for(lambda d: b"M/s" in terminal.text or any(l.startswith(self.me[:9]) and "M/s" in l for l in d))
        terminal.type(b"q")
        self.assertEqual(terminal.end(), (0, ""))

    def test_it_follows_the_size_of_the_terminal(self):
        terminal = self.start()
        terminal.wait_for(lambda d: "CONNECTED" in d[3])
        for columns, lines in ((40, 10), (20, 4), (10, 2), (132, 40), (80, 24)):
            terminal.resize(columns, lines)
            terminal.wait_for(lambda d: len(d) == lines and d[0].startswith("diskallocd"))
        terminal.wait_for(lambda d: "CONNECTED" in d[3])
        terminal.type(b"q")
        self.assertEqual(terminal.end(), (0, ""))

    def test_forty_columns(self):
        terminal = self.start(columns=40)
        terminal.wait_for(lambda d: "BYTES" in d[3] and any(l.startswith(self.me[:9]) for l in d))
        terminal.type(b"q")
        self.assertEqual(terminal.end(), (0, ""))

    def test_a_restart_of_the_daemon_is_shown_and_survived(self):
        terminal = self.start("--delay", "1")
        terminal.wait_for(lambda d: "connections" in d[0])
        wire_case.daemon.process.send_signal(signal.SIGTERM)
        wire_case.daemon.process.wait(DEADLINE_SECONDS)
        terminal.wait_for(lambda d: "no daemon answers" in d[-1] or "did not answer" in d[-1])
        wire_case.daemon.start()
        terminal.wait_for(lambda d: "q quit" in d[-1])
        terminal.type(b"q")
        self.assertEqual(terminal.end(), (0, ""))

    def test_the_terminal_is_as_before_after_an_interrupt(self):
        terminal = self.start()
        terminal.wait_for(lambda d: d[3].startswith("SUBJECT"))
        before = termios.tcgetattr(terminal.primary)
        terminal.process.send_signal(signal.SIGINT)
        status, sentence = terminal.process.wait(DEADLINE_SECONDS), ""
        self.assertEqual(status, 0, sentence)
        self.assertFalse(before[3] & termios.ICANON)
        self.assertTrue(termios.tcgetattr(terminal.primary)[3] & termios.ICANON)
        terminal.end()

    @needs_users
    def test_without_rights(self):
        terminal = self.start(user=identity(ANYBODY))
        terminal.wait_for(lambda d: d[4].startswith("total ") and d[5].startswith(f"user:{ANYBODY}"))
        terminal.type(b"q")
        self.assertEqual(terminal.end(), (0, ""))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
