#!/usr/bin/python3
"""What long work shows of how far it has come, on terminals and elsewhere: progress.py PROGRESS-WORKER."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import unittest

WORKER = sys.argv[1]
del sys.argv[1]
MIB = 1 << 20
CLEAR = "\x1b[K"


def steady(n, milliseconds, size):
    """N steps that take so long and do SIZE bytes each."""
    return [f"{milliseconds}:{i * size}" for i in range(1, n + 1)]


class Terminal:
    """A program whose standard error is a terminal, and whose other streams are pipes."""

    def __init__(self, *arguments, columns=80, term="xterm"):
        self.primary, secondary = pty.openpty()
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name != "TERM"}
        environment |= {"TERM": term} if term is not None else {}

        def take_terminal():
            fcntl.ioctl(secondary, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [WORKER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=secondary,
            env=environment,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(secondary)

    def rest(self):
        """What the program wrote, until it has ended."""
        text = b""
        try:
            while data := os.read(self.primary, 4096):
                text += data
        except OSError:
            pass  # Linux says EIO at the end
        os.close(self.primary)
        self.process.communicate(timeout=60)
        return text.decode()


class ProgressTest(unittest.TestCase):
    def shown(self, *arguments, **options):
        terminal = Terminal(*arguments, **options)
        text = terminal.rest()
        self.assertEqual(terminal.process.returncode, 0)
        return text

    def test_bytes_rate_and_time_left_are_in_the_line(self):
        text = self.shown(str(100 * MIB), "ends", *steady(100, 100, MIB))
        lines = text.split("\r")[1:]
        self.assertEqual(lines[0], "working: 1.0M of 100M, 1%, 10M/s, 9.9 s left" + CLEAR)
        self.assertEqual(lines[49], "working: 50M of 100M, 50%, 10M/s, 5.0 s left" + CLEAR)
        self.assertEqual("".join(lines[100:]), f"working: 100M of 100M, 100%, in 10 s{CLEAR}\n")

    def test_without_a_total_no_end_is_foretold(self):
        text = self.shown("0", "ends", *steady(30, 100, MIB))
        self.assertIn(f"\rworking: 20M, 10M/s{CLEAR}\r", text)
        self.assertTrue(text.endswith(f"\rworking: 30M, in 3.0 s{CLEAR}\r\n"), text)

    def test_long_times_are_in_larger_units(self):
        text = self.shown(str(1000 * MIB), "ends", f"100:{MIB // 10}", f"100:{MIB // 5}", f"600000:{10 * MIB}")
        self.assertIn(", 17 min left", text)
        self.assertTrue(text.endswith(f", in 10 min{CLEAR}\r\n"), text)
        self.assertIn(" h left", self.shown(str(1 << 40), "ends", *steady(3, 100, MIB)))

    def test_the_rate_follows_the_work(self):
        text = self.shown(str(2000 * MIB), "ends", *steady(20, 100, 20 * MIB), *(f"1000:{400 * MIB + i * MIB}" for i in range(1, 31)))
        rates = [float(rate) for rate in re.findall(r"([\d.]+)M/s", text)]
        self.assertEqual(rates[19], 200)
        self.assertLess(rates[-1], 3)
        self.assertEqual(rates[20:], sorted(rates[20:], reverse=True))

    def test_ten_lines_a_second_are_the_most(self):
        text = self.shown(str(100 * MIB), "ends", *steady(10000, 1, 1024))
        self.assertEqual(text.count("\r") - text.count("\r\n"), 100 + 1)  # and the one at the end

    def test_work_that_is_done_at_once_shows_nothing(self):
        self.assertEqual(self.shown("1000", "ends", *steady(99, 1, 10)), "")

    def test_the_line_is_cut_to_the_terminal(self):
        for columns in (1, 2, 20, 44, 45, 500):
            text = self.shown(str(100 * MIB), "ends", *steady(20, 100, MIB), columns=columns)
            lines = [line.removesuffix("\n").removesuffix(CLEAR) for line in text.replace("\r\n", "\n").split("\r")[1:]]
            self.assertEqual(len(lines), 21)
            self.assertEqual(max(map(len, lines)), min(columns - 1, max(map(len, lines))))
            self.assertTrue(all("working: 1.0M of 100M, 1%, 10M/s, 9.9 s left".startswith(line) for line in lines[:1]))

    def test_a_terminal_without_a_size_has_80_columns(self):
        self.assertIn("s left", self.shown(str(100 * MIB), "ends", *steady(20, 100, MIB), columns=0))

    def test_a_plain_terminal_gets_whole_lines_now_and_then(self):
        for term in ("dumb", "", None):
            text = self.shown(str(200 * MIB), "ends", *steady(200, 100, MIB), term=term)
            lines = text.split("\r\n")
            self.assertEqual(lines[0], "working: 50M of 200M, 25%, 10M/s, 15 s left")
            self.assertEqual(lines[-2:], ["working: 200M of 200M, 100%, in 20 s", ""])
            self.assertEqual(len(lines), 4 + 1 + 1)
            self.assertNotRegex(text.replace("\r\n", ""), "[\x00-\x1f]")

    def test_nothing_is_printed_where_nobody_looks(self):
        with open("/dev/null", "wb") as null:
            done = subprocess.run([WORKER, "1000", "ends", *steady(50, 1000, 20)], stdin=null, capture_output=True, check=True)
            self.assertEqual((done.stdout, done.stderr), (b"", b""))
            closed = subprocess.run([WORKER, "1000", "ends", *steady(50, 1000, 20)], stdin=null, preexec_fn=lambda: os.close(2), check=False)
            self.assertEqual(closed.returncode, 0)

    def test_a_complaint_has_a_line_of_its_own(self):
        text = self.shown(str(100 * MIB), "fails", *steady(20, 100, MIB))
        self.assertTrue(text.endswith(f"\rworking: 20M of 100M, 20%, in 2.0 s{CLEAR}\r\nit failed\r\n"), text)

    def wait(self, how="waits", **options):
        terminal = Terminal(str(100 * MIB), how, *steady(20, 100, MIB), **options)
        self.assertEqual(terminal.process.stdout.readline(), b"waiting\n")
        return terminal

    def test_a_signal_ends_the_line_before_the_program(self):
        for signal_ in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            terminal = self.wait()
            terminal.process.send_signal(signal_)
            text = terminal.rest()
            self.assertEqual(terminal.process.returncode, -signal_)
            self.assertTrue(text.endswith(f"s left{CLEAR}\r\n"), text)

    def test_control_c_on_the_terminal(self):
        terminal = self.wait()
        os.write(terminal.primary, b"\x03")
        text = terminal.rest()
        self.assertEqual(terminal.process.returncode, -signal.SIGINT)
        self.assertTrue(text.endswith(f"s left{CLEAR}^C\r\n"), text)

    def test_a_plain_terminal_needs_no_end_of_a_line(self):
        terminal = Terminal(str(100 * MIB), "waits", *steady(60, 100, MIB), term="dumb")
        terminal.process.stdout.readline()
        terminal.process.send_signal(signal.SIGINT)
        text = terminal.rest()
        self.assertTrue(text.endswith("s left\r\n"), text)
        self.assertNotIn("\n\r\n", text)

    def test_what_the_program_does_with_a_signal_stays(self):
        terminal = self.wait("ignores")
        terminal.process.send_signal(signal.SIGINT)
        terminal.process.stdin.write(b"\n")
        terminal.process.stdin.flush()
        text = terminal.rest()
        self.assertEqual(terminal.process.returncode, 0)
        self.assertTrue(text.endswith(f"in 2.0 s{CLEAR}\r\n"), text)


if __name__ == "__main__":
    unittest.main()
