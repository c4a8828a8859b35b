#!/usr/bin/python3
"""diskallocctl against the real daemon: what it prints, what it refuses, how it exits."""

import json
import os
import re
import socket
import subprocess
import tempfile
import unittest

import ctl_case
import wire_case
from ctl_case import CtlTest
from wire_case import MIB
from wire_client import Client, pb

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
EVIL = b"evil\x1b[31m\xff\xe2\x80\xae"

def setUpModule():
    wire_case.start_daemon()


def tearDownModule():
    wire_case.stop_daemon()


class AnswerTest(CtlTest):
    def setUp(self):
        self.client = Client(wire_case.daemon.socket, name=EVIL)
        self.addCleanup(self.client.close)
        self.handle = os.urandom(16)

    def create(self, size):
        self.client.call(create_region=pb.CreateRegion(handle=self.handle, size=size))

    def test_status_as_json_and_as_text(self):
        status = self.run_json("status")
        self.assertEqual(status["pid"], wire_case.daemon.process.pid)
        self.assertEqual(status["address"], f"unix:{wire_case.daemon.socket}")
        self.assertEqual(status["spill_dir"], os.path.join(wire_case.daemon.dir, "spill"))
        self.assertIn(status["guarantee"], ("hard", "soft"))
        self.assertEqual(status["bytes_limit"], 256 * MIB)
        self.assertRegex(status["started"], TIME)
        text = self.run_ctl("status")
        self.assertIn(f"pid {wire_case.daemon.process.pid},", text)
        self.assertRegex(text, rf"(?m)^Bytes +\d+ of {256 * MIB}$")

    def test_usage_is_the_callers_without_a_subject(self):
        self.create(5 * MIB)
        usage = self.run_json("usage")
        self.assertTrue(usage["subject"].startswith("user:"))
        self.assertGreaterEqual(usage["bytes"], 5 * MIB)
        self.assertEqual(usage["bytes_limit"], 64 * MIB)
        self.assertEqual(self.run_json("usage", usage["subject"])["bytes_limit"], 64 * MIB)
        self.assertEqual(self.run_json("usage", "total")["bytes_limit"], 256 * MIB)
        self.assertRegex(self.run_ctl("usage"), rf"(?m)^bytes +\d+ +{64 * MIB}$")

    def test_regions_are_listed_with_what_is_known_of_them(self):
        self.create(5000)
        (region,) = [r for r in self.run_json("regions")["regions"] if r["handle"] == self.handle.hex()]
        self.assertEqual((region["size"], region["attached"], region["state"]), (5000, 1, "attached"))
        self.assertEqual((region["name"], region["used"], region["sparse"]), (None, None, False))
        self.assertEqual(region["owner_uid"], os.getuid())
        self.assertEqual(region["mode"], "0600")
        self.assertRegex(region["created"], TIME)
        self.assertEqual(region["holders"][0]["pid"], os.getpid())
        self.client.call(commit_region=pb.CommitRegion(handle=self.handle, used=80, element_size=8))
        name = "ctl-" + self.handle.hex()
        self.client.call(
            open_region=pb.OpenRegion(name=name.encode(), handle=os.urandom(16), flags=pb.REGION_CREATE, mode=0o640)
        )
        lines = self.run_ctl("regions", "--user", f"+{os.getuid()}").splitlines()
        self.assertEqual(lines[0].split(), "HANDLE NAME OWNER SIZE GRANTED USED ATTACHED STATE CREATED EXPIRES".split())
        (line,) = [l for l in lines if l.startswith(self.handle.hex())]
        self.assertRegex(line, r"^\w{32}  -  +\S+ +5000 +8192 +80 +1  attached  2")
        (line,) = [l for l in lines if name in l]
        self.client.call(unlink_region=pb.UnlinkRegion(name=name.encode()))

    def test_a_list_of_many_pages_is_whole(self):
        for _ in range(40):
            self.client.call(create_region=pb.CreateRegion(handle=os.urandom(16)))
        handles = {r.handle.hex() for r in self.client.regions()}
        self.assertLessEqual(handles, {r["handle"] for r in self.run_json("regions")["regions"]})

    def test_sizes_are_for_people_on_a_terminal_and_with_human(self):
        self.create(5 * MIB)
        for text in (
            self.run_on_terminal("usage", NO_COLOR="1"),
            self.run_on_terminal("usage", TERM="dumb"),
            self.run_on_terminal("usage", TERM=""),
            self.run_ctl("--human", "usage"),
        ):
            self.assertRegex(text, r"(?m)^bytes +[\d.]+M +64M  \[#*-*\] +\d+%")

    def test_bars_have_a_colour_on_a_terminal(self):
        self.assertRegex(self.run_on_terminal("usage", NO_COLOR=""), r"(?m)^bytes .*\x1b\[32m\[-*\]\x1b\[0m +0%")

    def test_what_others_chose_cannot_steer_the_terminal(self):
        self.create(4096)
        for arguments in (("regions",), ("--json", "regions")):
            text = self.run_on_terminal(*arguments)
            self.assertNotRegex(text, "[\x1b\u202e]")

    def test_options_may_stand_behind_the_command(self):
        self.assertEqual(json.loads(self.run_ctl("status", "--json"))["version"], 1)

    def test_refusals_exit_with_1_and_say_why(self):
        self.assertIn("diskallocctl: ", self.run_ctl("usage", "user:no-such-user-here", status=1))
        self.assertNotIn("\x1b", self.run_ctl("usage", "user:\x1b[31m", status=1))

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(
                [ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", "status"], stdout=full, stderr=subprocess.PIPE
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


class WrongUseTest(CtlTest):
    def test_wrong_usage_exits_with_2(self):
        for arguments in (
            (),
            ("frobnicate",),
            ("--frobnicate",),
            ("status", "more"),
            ("usage", "total", "more"),
            ("status", "--user", "root"),
            ("regions", "--user"),
            ("--address", "unix:/a", "--instance", "b", "status"),
            ("--instance", "../b", "status"),
            ("--instance", "", "status"),
            ("--address", "/no/scheme", "status"),
            ("--address", "unix:relative", "status"),
            ("--address", "unix:/" + "long" * 30, "status"),
            ("--instance", "long" * 75, "status"),
            ("usage", "user:"),
            ("usage", "user:+4294967295"),
            ("usage", "group:"),
            ("usage", "cgroup:"),
            ("usage", "cgroup:/a/../b"),
            ("help", "quota", "frobnicate"),
            ("help", "status", "set"),
            ("help", "quota", "set", "more"),
            ("--timeout", "0", "status"),
            ("--timeout", "1s", "status"),
            ("--timeout", "99999999999999999999", "status"),
            ("--frobnicate", "--help"),
            ("status", "--force"),
            ("usage", "--warn", "80%"),
        ):
            with self.subTest(arguments=arguments):
                self.run_ctl(*arguments, status=2)

    def test_a_directory_is_no_daemon(self):
        for arguments, address in ((("--address", "dir:/tmp"), None), ((), "dir:/tmp")):
            sentence = self.run_ctl(*arguments, "status", address=address, status=2)
            self.assertIn("a directory", sentence)

    def test_no_daemon_exits_with_3(self):
        self.assertIn("no daemon", self.run_ctl("--address", "unix:/nonexistent/socket", "status", status=3))
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
                stale.bind(path)
            self.assertIn("no daemon", self.run_ctl("--address", f"unix:{path}", "status", status=3))
        instance = "no-such-instance-here"
        sentence = self.run_ctl("--instance", instance, "status", status=3)
        self.assertIn(f"/run/diskalloc/{instance}.sock", sentence)

    def test_help_and_version_need_no_daemon(self):
        self.assertIn("regions [--user USER]", self.run_ctl("--help"))
        self.assertIn("quota unset SUBJECT", self.run_ctl("help", "quota"))
        of_one = self.run_ctl("help", "quota", "set")
        self.assertIn("quota set SUBJECT", of_one)
        self.assertNotIn("quota unset", of_one)
        self.assertTrue(re.match(r"diskallocctl \d+\.\d+\.\d+\n$", self.run_ctl("--version")))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
