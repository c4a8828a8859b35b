#!/usr/bin/python3
"""What diskallocd says to wrong arguments, sockets and spill directories, and how it exits: command_line.py DAEMON"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

DAEMON = sys.argv.pop(1)
BASE_DIR = os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
FAILED, CONFIG_ERROR, USAGE = 1, 78, 1
FIRST_PASSED_FD = 3


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="diskalloc-start-", dir=BASE_DIR)
        self.addCleanup(shutil.rmtree, self.dir)
        self.spill = self.path("spill")
        os.mkdir(self.spill, 0o700)
        with open(self.path("conf"), "w", encoding="ascii") as file:
            file.write("[daemon]\nkeep_free = 0\n")

    def path(self, name):
        return os.path.join(self.dir, name)

    def run_with(self, *arguments, **options):
        """The exit status, and what is said to whom."""
        done = subprocess.run([DAEMON, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)
        return done.returncode, done.stdout, done.stderr

    def start(self, *arguments, **options):
        """A start that has to fail, and what is said."""
        arguments = ("--config", self.path("conf"), *(arguments or ("--socket", self.path("s"), "--spill-dir", self.spill)))
        status, out, err = self.run_with(*arguments, **options)
        self.assertEqual(out, "")
        return status, err

    def test_the_version_and_the_help_are_told(self):
        status, out, err = self.run_with("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^diskallocd [0-9]+\.[0-9]+\.[0-9]+\n$")
        status, out, err = self.run_with("--help")
        self.assertEqual((status, err), (0, ""))
        for option in ("--config", "--socket", "--spill-dir", "--check-config", "--version", "--help"):
            self.assertIn(f"  {option}", out)

    def test_arguments_that_mean_nothing_are_refused_with_the_usage(self):
        for arguments, words in (
            (["--nonsense"], "unrecognized option '--nonsense'"),
            (["--config"], "option '--config' requires an argument"),
            (["nonsense"], "unexpected argument nonsense"),
        ):
            status, out, err = self.run_with(*arguments)
            self.assertEqual((status, out), (USAGE, ""), arguments)
            self.assertIn(words, err)
            self.assertIn("--check-config", err)

    def test_spill_directories_are_given_once_and_not_more_than_64(self):
        here = ("--spill-dir", "spill", "--spill-dir", self.spill + "/")  # the first one is below the current directory
        status, err = self.start(*here, cwd=self.dir)
        self.assertEqual((status, err), (USAGE, f"diskallocd: --spill-dir {self.spill}/: it is there twice\n"))
        for last, expected in (("--version", 0), ("--check-config", 0), ("--nonsense", USAGE), ("nonsense", USAGE)):
            status, _, err = self.run_with("--config", self.path("conf"), "--spill-dir", self.spill, last)
            self.assertEqual(status, expected, last)
            self.assertNotIn("Sanitizer", err)  # what was given is freed, whatever ends the program
        many = [argument for n in range(65) for argument in ("--spill-dir", f"/{n}")]
        status, err = self.start(*many)
        self.assertEqual((status, err), (USAGE, "diskallocd: --spill-dir /64: there are at most 64 spill directories\n"))

    def test_a_socket_that_cannot_be_is_told(self):
        long = self.path("x" * 120)
        status, err = self.start("--socket", long, "--spill-dir", self.spill)
        self.assertEqual(status, FAILED)
        self.assertIn(f"socket {long}: the path is too long for a socket", err)
        nearly = self.path("x" * (105 - len(self.dir)))  # fits, and its temporary name does not
        status, err = self.start("--socket", nearly, "--spill-dir", self.spill)
        self.assertEqual(status, FAILED)
        self.assertIn(f"socket {nearly}: File name too long", err)
        status, err = self.start("--socket", self.path("nowhere/s"), "--spill-dir", self.spill)
        self.assertEqual(status, FAILED)
        self.assertIn("nowhere/s: No such file or directory", err)
        os.mkdir(self.path("s"))
        status, err = self.start()
        self.assertEqual(status, FAILED)
        self.assertIn("the file there is not a socket of this kind", err)

    def start_with_sockets(self, *sockets):
        """As systemd does: the sockets are the descriptors from 3 on, and the environment says so."""
        numbers = [os.dup2(s.fileno(), FIRST_PASSED_FD + 100 + i) for i, s in enumerate(sockets)]
        moves = "".join(f"exec {FIRST_PASSED_FD + i}<&{n} {n}<&-; " for i, n in enumerate(numbers))
        command = ["bash", "-c", f'{moves}export LISTEN_PID=$$ LISTEN_FDS={len(sockets)}; exec "$@"', "-", DAEMON]
        command += ["--config", self.path("conf"), "--spill-dir", self.spill]
        done = subprocess.run(command, pass_fds=numbers, capture_output=True, text=True, timeout=60, check=False)
        for number in numbers:
            os.close(number)
        return done.returncode, done.stderr

    def test_systemd_hands_over_one_socket_of_packets_that_listens(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets, socket.socket(socket.AF_UNIX) as stream:
            packets.bind(self.path("packets"))
            stream.bind(self.path("stream"))
            stream.listen()
            status, err = self.start_with_sockets(packets, stream)
            self.assertEqual(status, FAILED)
            self.assertIn("systemd handed over 2 sockets instead of one", err)
            for wrong in (packets, stream):  # does not listen; is of another kind
                status, err = self.start_with_sockets(wrong)
                self.assertEqual(status, FAILED)
                self.assertIn("socket from systemd: the unit must use ListenSequentialPacket=", err)

    def test_a_spill_directory_is_there_and_the_daemons_alone(self):
        os.rmdir(self.spill)
        status, err = self.start()
        self.assertEqual(status, FAILED)
        self.assertIn(f"spill directory {self.spill}: No such file or directory", err)
        with open(self.spill, "wb"):
            pass
        status, err = self.start()
        self.assertEqual(status, FAILED)
        self.assertIn(f"spill directory {self.spill}: Not a directory", err)
        os.unlink(self.spill)
        os.mkdir(self.spill)
        os.chmod(self.spill, 0o777)
        status, err = self.start()
        self.assertEqual(status, FAILED)
        self.assertIn("others may write to it", err)

    @unittest.skipIf(os.geteuid() != 0, "only root can give a directory away")
    def test_another_users_spill_directory_is_refused(self):
        os.chown(self.spill, 4242, 4242)
        status, err = self.start()
        self.assertEqual(status, FAILED)
        self.assertIn(f"spill directory {self.spill} belongs to another user", err)

    def test_nothing_is_left_of_a_daemon_that_did_not_start(self):
        self.start("--socket", self.path("nowhere/s"), "--spill-dir", self.spill)
        self.assertEqual(sorted(os.listdir(self.dir)), ["conf", "spill"])


if __name__ == "__main__":
    unittest.main()
