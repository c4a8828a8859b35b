#!/usr/bin/python3
"""diskallocctl's quota, rm, disconnect and check, as root, as an administrator by group and as anybody."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_case import CtlTest
from ctl_users import ADMIN, ADMINS, ANYBODY, AdminTest, identity, needs_users
from wire_case import MIB
from wire_client import Closed, Refused, pb


def setUpModule():
    ctl_users.set_up_module()


class QuotaTest(AdminTest):
    def test_the_list_tells_each_value_and_where_it_comes_from(self):
        lines = self.run_ctl("quota", "list").splitlines()
        self.assertEqual(lines[0].split(), ["SUBJECT", "KEY", "VALUE", "NOW", "ORIGIN"])
        (line,) = [l for l in lines if l.split()[:2] == ["default", "bytes"]]
        self.assertRegex(line, rf"^default +bytes +64M +{64 * MIB}  {re.escape(wire_case.daemon.config)}:\d+$")
        (line,) = [l for l in lines if l.split()[:2] == ["default", "connections"]]
        self.assertRegex(line, r"^default +connections +1024 +1024  built in$")
        self.assertEqual(
            self.listed("total", "region_bytes"),
            {"subject": "total", "key": "region_bytes", "value": "unlimited", "now": None, "origin": "built in"},
        )
        self.assertRegex(self.run_ctl("--human", "quota", "list"), r"(?m)^total +bytes +256M +256M  ")

    def test_what_is_set_holds_at_once_until_it_is_unset(self):
        self.set_quota(self.me, "bytes=8M", "regions=2")
        usage = self.run_json("usage")
        self.assertEqual((usage["bytes_limit"], usage["regions_limit"]), (8 * MIB, 2))
        listed = self.listed(self.me, "bytes")
        self.assertEqual((listed["value"], listed["now"], listed["origin"]), ("8M", 8 * MIB, "set at run time"))
        with self.assertRaises(Refused) as caught:
            self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=9 * MIB))
        error = caught.exception.error
        self.assertEqual((error.code, error.limit, error.used, error.asked), (pb.LIMIT, 8 * MIB, 0, 9 * MIB))
        self.assertEqual(error.limit_name, f"{self.me} bytes")
        self.run_ctl("quota", "unset", self.me, "bytes")
        usage = self.run_json("usage")
        self.assertEqual((usage["bytes_limit"], usage["regions_limit"]), (64 * MIB, 2))
        self.run_ctl("quota", "unset", self.me)
        self.assertEqual(self.run_json("usage")["regions_limit"], 50)
        self.assertIsNone(self.listed(self.me, "bytes"))

    def test_what_is_set_survives_a_restart(self):
        self.set_quota("default", "bytes=7M", "warn_at=50%")
        self.set_quota("total", "regions=unlimited")
        wire_case.daemon.restart()
        usage = self.run_json("usage")
        self.assertEqual((usage["bytes_limit"], usage["warn_bytes"]), (7 * MIB, 7 * MIB // 2))
        self.assertIsNone(self.run_json("usage", "total")["regions_limit"])
        self.assertEqual(self.listed("default", "bytes")["origin"], "set at run time")
        self.run_ctl("quota", "unset", "default")
        wire_case.daemon.restart()
        self.assertEqual(self.run_json("usage")["bytes_limit"], 64 * MIB)
        self.assertIsNone(self.run_json("usage", "total")["regions_limit"])

    def test_lowering_below_usage_takes_nothing_away_and_is_shown(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=6 * MIB))
        self.assertEqual(self.run_json("usage")["over_limit"], [])
        self.set_quota(self.me, "bytes=4M")
        usage = self.run_json("usage")
        self.assertEqual((usage["bytes"], usage["bytes_limit"], usage["over_limit"]), (6 * MIB, 4 * MIB, ["bytes"]))
        self.assertEqual(usage["grantable_bytes"], 0)
        self.assertRegex(self.run_ctl("usage"), rf"(?m)^bytes +{6 * MIB} +{4 * MIB}  over the limit$")
        self.assertRegex(self.run_ctl("--human", "usage"), r"(?m)^bytes .*\[####################\] 150%  over the limit$")
        with self.assertRaises(Refused):
            client.call(grow_region=pb.GrowRegion(handle=self.handle, size=7 * MIB))
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.size, 6 * MIB)

    def test_nothing_may_be_allowed(self):
        self.set_quota(self.me, "regions=0")
        with self.assertRaises(Refused) as caught:
            self.connect().call(create_region=pb.CreateRegion(handle=self.handle))
        self.assertEqual((caught.exception.code, caught.exception.error.limit), (pb.LIMIT, 0))
        self.assertIn("nothing is allowed", wire_case.daemon.log())

    def test_no_limit_of_connections_keeps_out_who_can_raise_it(self):
        for subject in ("total", self.me, "default"):
            with self.subTest(subject=subject):
                self.set_quota(subject, "connections=0")
                with self.assertRaises(Refused) as caught:
                    self.connect().call(get_usage=pb.GetUsage())
                self.assertEqual(caught.exception.code, pb.LIMIT)
                self.run_ctl("status")
                self.run_ctl("quota", "unset", subject, "connections")
                self.connect().call(get_usage=pb.GetUsage())

    def test_what_does_not_fit_into_a_request_is_wrong_usage(self):
        for arguments in (("quota", "set", "total", "b" * 70000 + "=1"), ("move", "name", "/" + "a" * 100000)):
            with self.subTest(command=arguments[0]):
                self.assertIn("longer than a request may be", self.run_ctl(*arguments, status=2))

    def test_unknown_users_are_accepted_with_a_warning(self):
        subject = "user:no-such-user-here"
        done = self.start_ctl("quota", "set", subject, "bytes=1G")
        self.addCleanup(self.run_ctl, "quota", "unset", subject)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertRegex(done.stderr, r"^diskallocctl: user:no-such-user-here was set, but there is no such user\n$")
        self.assertEqual(self.listed(subject, "bytes")["value"], "1G")
        self.assertIn(f"{subject} names an unknown user", wire_case.daemon.log())

    def test_control_groups_and_soft_limits_are_set_and_shown(self):
        done = self.start_ctl("quota", "set", "cgroup:no-such-job.slice", "bytes=1G")
        self.addCleanup(self.run_ctl, "quota", "unset", "cgroup:no-such-job.slice")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertRegex(self.run_ctl("quota", "list"), r"cgroup:/no.slice/no-such.slice/no-such-job.slice +bytes +1G")
        self.set_quota("default", "soft_bytes=7M", "grace=12h")
        usage = self.run_json("usage")
        self.assertEqual((usage["soft_bytes"], usage["grace_ends"]), (7 * MIB, None))
        self.assertRegex(self.run_ctl("--human", "usage"), r"soft limit +7.0M")
        self.assertEqual(self.listed("default", "grace")["value"], "12h")

    def test_odd_names_are_kept_over_a_restart(self):
        for subject in ("user:DOMAIN\\some one", "user:+4000000000", "members:a=b", "group:ä;ö"):
            self.start_ctl("quota", "set", subject, "bytes=1G")
            self.addCleanup(self.run_ctl, "quota", "unset", subject)
        wire_case.daemon.restart()
        for subject in ("user:DOMAIN\\some one", "user:+4000000000", "members:a=b", "group:ä;ö"):
            self.assertEqual(self.listed(subject, "bytes")["value"], "1G")

    def test_changes_as_json(self):
        self.addCleanup(self.run_ctl, "quota", "unset", "total")
        self.assertEqual(
            self.run_json("quota", "set", "total", "bytes=100M", "regions=7"),
            {"version": 1, "subject": "total", "set": {"bytes": "100M", "regions": "7"}},
        )
        self.assertEqual(
            self.run_json("quota", "unset", "total", "regions"),
            {"version": 1, "subject": "total", "unset": ["regions"]},
        )
        self.assertEqual(self.run_json("quota", "unset", "total"), {"version": 1, "subject": "total", "unset": None})

    def test_unsetting_what_is_not_set_is_done(self):
        self.run_ctl("quota", "unset", "total", "bytes")
        self.run_ctl("quota", "unset", "user:no-such-user-here")

    def test_the_daemons_sentence_says_what_is_wrong_and_the_status_is_2(self):
        for arguments, said in (
            (("set", "user:" + "u" * 300, "bytes=1G"), "271 bytes"),
            (("set", "user:a]b", "bytes=1G"), "subject"),
            (("set", "everybody", "bytes=1G"), "members:GROUP"),
            (("set", "total", "files=5"), "region_bytes"),
            (("set", "total", "bytes=5X"), "bytes = 5X"),
            (("set", "total", "grace=soon"), "grace = soon: it has to be a length of time"),
            (("set", "cgroup:batch", "bytes=1G"), "cgroup:PATH"),
            (("set", "cgroup:/a/../b", "bytes=1G"), "cgroup:PATH"),
            (("set", "total", "bytes=1G", "bytes=2G"), "bytes is there twice"),
            (("unset", "everybody"), "members:GROUP"),
            (("unset", "total", "files"), "region_bytes"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(said, self.run_ctl("quota", *arguments, status=2))

    def test_wrong_usage_exits_with_2(self):
        values = ("", "5X", "5 G", "-1", "+1", "1.5G", "0x10", "101%", "-1%", "%", "Unlimited", "9" * 30, "16777216T", "1e9")
        before = self.run_ctl("quota", "list")
        for arguments in (
            ("quota",),
            ("quota", "show"),
            ("quota", "list", "more"),
            ("quota", "set"),
            ("quota", "set", "total"),
            ("quota", "set", "total", "bytes"),
            ("quota", "set", "total", "=5G"),
            ("quota", "set", "total", "files=5"),
            ("quota", "set", "total", "bytes=5G", "bytes=6G"),
            ("quota", "set", "total", "bytes=5G", "regions=many"),
            ("quota", "set", "total", "regions=5%"),
            ("quota", "set", "total", "regions=5K"),
            ("quota", "set", "everybody", "bytes=5G"),
            ("quota", "set", "user:", "bytes=5G"),
            ("quota", "set", "", "bytes=5G"),
            ("quota", "set", "--force", "total", "bytes=5G"),
            ("quota", "unset"),
            ("quota", "unset", "everybody"),
            ("quota", "unset", "total", "files"),
            ("quota", "unset", "total", "bytes=5G"),
            *(("quota", "set", "total", f"bytes={value}") for value in values),
        ):
            with self.subTest(arguments=arguments):
                self.run_ctl(*arguments, status=2)
        self.assertEqual(self.run_ctl("quota", "list"), before)


class ReloadTest(AdminTest):
    def setUp(self):
        super().setUp()
        with open(wire_case.daemon.config, encoding="ascii") as file:
            self.text = file.read()
        self.addCleanup(self.reload_until, self.text, lambda: self.limits() == (64 * MIB, 50))
        self.addCleanup(self.run_ctl, "quota", "unset", "default")

    def reload_until(self, text, is_done):
        wire_case.daemon.configure(text)
        wire_case.daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while not is_done():
            self.assertLess(time.monotonic(), deadline, wire_case.daemon.log())

    def limits(self):
        usage = self.run_json("usage")
        return usage["bytes_limit"], usage["regions_limit"]

    def test_a_changed_file_holds_and_what_was_set_wins_over_it(self):
        self.run_ctl("quota", "set", "default", "bytes=9M")
        changed = self.text.replace("bytes = 64M", "bytes = 32M").replace("regions = 50", "regions = 40")
        self.reload_until(changed, lambda: self.limits()[1] == 40)
        self.assertEqual(self.limits(), (9 * MIB, 40))
        self.assertEqual(self.listed("default", "bytes")["origin"], "set at run time")
        self.run_ctl("quota", "unset", "default")
        self.assertEqual(self.limits(), (32 * MIB, 40))
        self.assertRegex(self.listed("default", "bytes")["origin"], rf"^{re.escape(wire_case.daemon.config)}:\d+$")

    def test_a_bad_file_changes_nothing_and_the_log_says_why(self):
        before = self.run_ctl("quota", "list")
        bad = self.text.replace("regions = 50", "regions = 40").replace("bytes = 256M", "bytes = 5X")
        line = bad[: bad.index("bytes = 5X")].count("\n") + 1
        sentence = f"{wire_case.daemon.config}:{line}: bytes = 5X: "
        self.reload_until(bad, lambda: sentence in wire_case.daemon.log())
        self.assertEqual(self.run_ctl("quota", "list"), before)


class RemoveTest(AdminTest):
    def test_an_idle_region_goes_by_its_name(self):
        with self.connect() as client:
            self.make_named(client)
            client.call(detach_region=pb.DetachRegion(handle=self.handle))
        self.assertEqual(self.run_ctl("rm", self.name), "")
        self.wait_for_regions(0)
        self.assertIn("no such region", self.run_ctl("rm", self.name, status=1))

    def test_an_idle_region_goes_by_its_handle_and_as_json(self):
        with self.connect() as client:
            self.make_named(client)
            client.call(detach_region=pb.DetachRegion(handle=self.handle))
        handle = self.handle.hex()
        self.assertEqual(self.run_json("rm", handle), {"version": 1, "removed": handle, "force": False})
        self.wait_for_regions(0)

    def test_an_attached_region_is_refused_with_its_holders(self):
        client = self.connect(name=b"sorter\x1b[31m")
        self.make_named(client)
        for argument in (self.name, self.handle.hex(), f"+{os.getuid()}/{self.name}"):
            sentence = self.run_ctl("rm", argument, status=1)
            self.assertIn(f"{self.me.removeprefix('user:')} (pid {os.getpid()}, sorter\\x1b[31m)", sentence)
            self.assertIn("--force", sentence)
        done = self.start_ctl("--json", "rm", self.name)
        answer = json.loads(done.stdout)
        self.assertEqual((done.returncode, answer["removed"], answer["handle"]), (1, None, self.handle.hex()))
        self.assertEqual([(h["uid"], h["pid"]) for h in answer["holders"]], [(os.getuid(), os.getpid())])
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.size, 4096)
        self.run_ctl("rm", "--force", self.name)

    def test_with_force_its_holders_keep_it_and_are_told(self):
        client = self.connect()
        self.make_named(client, size=2 * MIB)
        self.run_ctl("rm", "--force", self.name)
        self.assertEqual(self.run_json("usage")["bytes"], 2 * MIB)
        with self.assertRaises(Refused) as caught:
            client.call(grow_region=pb.GrowRegion(handle=self.handle, size=3 * MIB))
        self.assertEqual(caught.exception.code, pb.STALE)
        client.close()
        self.wait_for_regions(0)

    def test_an_anonymous_region_goes_by_its_handle(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        self.run_ctl("rm", self.handle.hex(), status=1)
        self.run_ctl("rm", self.handle.hex(), "--force")
        with self.assertRaises(Refused) as caught:
            client.call(grow_region=pb.GrowRegion(handle=self.handle, size=8192))
        self.assertEqual(caught.exception.code, pb.STALE)

    def test_what_is_not_there_exits_with_1(self):
        for argument in ("no-such-name", "0" * 32, "no-such-user-here/name", "+4000000000/name"):
            with self.subTest(argument=argument):
                self.run_ctl("rm", argument, status=1)

    def test_wrong_usage_exits_with_2(self):
        for arguments in ((), ("a", "b"), ("",), (".hidden",), ("/name",), ("user/",), ("a b",), ("n" * 129,), ("ä",)):
            with self.subTest(arguments=arguments):
                self.run_ctl("rm", *arguments, status=2)
        self.assertIn("rm takes the region", self.run_ctl("rm", "--user", "root", "name", status=2))

    def test_nobody_is_not_everybody(self):
        client = self.connect()
        self.make_named(client)
        client.call(detach_region=pb.DetachRegion(handle=self.handle))
        for arguments in (("rm", "--user", ""), ("rm", "--user=", "--force"), ("regions", "--user", ""), ("events", "--user=")):
            self.assertIn("--user takes the name of a user", self.run_ctl(*arguments, status=2))
        self.assertIn(self.name, [r["name"] for r in self.run_json("regions")["regions"]])


class ExpiryTest(AdminTest):
    def test_wrong_usage_exits_with_2_and_one_sentence(self):
        for arguments in (
            (),
            ("name",),
            ("name", "7d", "more"),
            ("a b", "7d"),
            ("user/", "7d"),
            (os.urandom(16).hex(), "7d"),
            ("name", ""),
            ("name", "soon"),
            ("name", "1.5h"),
            ("name", "-1"),
            ("name", "0"),
            ("name", "0d"),
            ("name", "200y"),
            ("name", "4294967296"),
            ("name", "99999999999999999999d"),
        ):
            with self.subTest(arguments=arguments):
                self.run_ctl("set-expiry", *arguments, status=2)
        self.assertIn("30min, 12h, 7d, or never", self.run_ctl("set-expiry", "name", "soon", status=2))
        self.assertIn("rm", self.run_ctl("set-expiry", "name", "0", status=2))

    def test_it_is_set_shown_and_taken_back(self):
        client = self.connect()
        self.make_named(client)
        self.assertEqual(self.run_ctl("set-expiry", self.name, "1h 30min"), "")
        (line,) = [l for l in self.run_ctl("regions").splitlines() if self.name in l]
        self.assertTrue(line.rstrip().endswith("1h 30min"), line)
        answer = self.run_json("set-expiry", f"+{os.getuid()}/{self.name}", "7d")
        self.assertEqual((answer["region"], answer["expires_s"]), (f"+{os.getuid()}/{self.name}", 7 * 86400))
        (region,) = [r for r in self.run_json("regions")["regions"] if r["name"] == self.name]
        self.assertEqual(region["expires_s"], 7 * 86400)
        self.assertIsNone(self.run_json("set-expiry", self.name, "never")["expires_s"])
        (region,) = [r for r in self.run_json("regions")["regions"] if r["name"] == self.name]
        self.assertIsNone(region["expires_s"])
        self.run_ctl("set-expiry", "no-such-region", "7d", status=1)
        self.run_ctl("rm", "--force", self.name)


class DisconnectTest(AdminTest):
    def test_wrong_usage_exits_with_2_and_an_unknown_user_with_1(self):
        for arguments in ((), ("",), ("root", "more"), ("--force", "root")):
            with self.subTest(arguments=arguments):
                self.run_ctl("disconnect", *arguments, status=2)
        self.run_ctl("disconnect", "no-such-user-here", status=1)

    def test_all_of_a_users_connections_are_closed_but_the_one_that_asks(self):
        clients = [self.connect(), self.connect()]
        self.assertEqual(self.run_json("disconnect", f"+{os.getuid()}")["connections"], 2)
        for client in clients:
            self.assertRaises((Closed, OSError), client.receive)
        self.assertEqual(self.run_ctl("disconnect", f"+{os.getuid()}"), "0 connections closed\n")


class CheckTest(AdminTest):
    def check(self, *arguments, status=0):
        """The one line that plugins print: its text, and its performance data by label."""
        done = self.start_ctl("check", *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("\n"), 1)
        word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
        self.assertRegex(done.stdout, rf"^DISKALLOC {word} - ")
        text, _, performance = done.stdout.partition(" | ")
        return text, dict(re.findall(r"'([a-z ]+)'=(\S+)", performance))

    # The disk is the machine's own: as full as it is.
    LENIENT = ("--warn", "100%", "--crit", "100%")

    def test_usage_below_at_and_beyond_the_thresholds(self):
        text, performance = self.check(*self.LENIENT)
        self.assertEqual(performance["own bytes"], f"0B;{64 * MIB};{64 * MIB};0;{64 * MIB}")
        self.assertEqual(
            set(performance),
            {f"{whose} {what}" for whose in ("own", "total") for what in ("bytes", "regions", "connections")} | {"disk"},
        )
        self.set_quota(self.me, "bytes=10M")
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=9 * MIB))
        text, performance = self.check("--warn", "90%", "--crit", "100%", status=1)
        self.assertRegex(text, r"^DISKALLOC WARNING - (disk .*, )?own bytes 90% \(9.0M of 10M\), ")
        self.assertEqual(performance["own bytes"], f"{9 * MIB}B;{9 * MIB};{10 * MIB};0;{10 * MIB}")
        self.check("--warn", "10%", "--crit", "90%", status=2)
        client.call(grow_region=pb.GrowRegion(handle=self.handle, size=10 * MIB))
        self.check(*self.LENIENT, status=2)

    def test_a_limit_lowered_below_usage_is_critical(self):
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        self.set_quota(self.me, "bytes=0")
        self.check(*self.LENIENT, status=2)

    def test_unlimited_is_never_too_much(self):
        self.set_quota(self.me, "bytes=unlimited", "regions=unlimited", "connections=unlimited")
        _, performance = self.check(*self.LENIENT)
        self.assertEqual(performance["own bytes"], "0B")

    @needs_users
    def test_the_account_of_the_unlisted_is_shown_set_and_checked(self):
        self.set_quota("unlisted", "bytes=10M")
        client = self.connect(user=(54321, 54321))
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=9 * MIB))
        usage = self.run_json("usage", "unlisted")
        self.assertEqual(
            (usage["subject"], usage["bytes"], usage["bytes_limit"], usage["connections"]),
            ("unlisted", 9 * MIB, 10 * MIB, 1),
        )
        usage = self.run_json("usage", "user:+54321")
        self.assertEqual((usage["subject"], usage["bytes"], usage["bytes_limit"]), ("user:+54321", 9 * MIB, 10 * MIB))
        self.assertEqual(self.listed("unlisted", "bytes")["value"], "10M")
        text, performance = self.check("unlisted", "--warn", "90%", "--crit", "100%", status=1)
        self.assertRegex(text, r"^DISKALLOC WARNING - (disk .*, )?unlisted bytes 90% \(9.0M of 10M\), ")
        resources = ("bytes", "regions", "connections")
        self.assertEqual(set(performance), {f"unlisted {what}" for what in resources} | {"disk"})
        _, performance = self.check("total", "unlisted", *self.LENIENT)
        self.assertEqual(
            set(performance), {f"{whose} {what}" for whose in ("total", "unlisted") for what in resources} | {"disk"}
        )
        self.check("unlisted", "user:no-such-user-here", *self.LENIENT, status=3)
        self.run_ctl("quota", "unset", "unlisted")
        self.assertEqual(self.run_json("usage", "unlisted")["bytes_limit"], 64 * MIB)

    def test_as_json(self):
        answer = self.run_json("check", *self.LENIENT)
        self.assertEqual((answer["state"], answer["status"]), ("OK", 0))
        self.assertEqual((answer["warn_percent"], answer["crit_percent"]), (100, 100))
        (own,) = [c for c in answer["checks"] if c["name"] == "own bytes"]
        self.assertEqual(own, {"name": "own bytes", "used": 0, "limit": 64 * MIB, "percent": 0, "state": "OK"})
        done = self.start_ctl("check", "--json", "--address", "unix:/nonexistent")
        answer = json.loads(done.stdout)
        self.assertEqual((done.returncode, answer["state"], answer["status"]), (3, "UNKNOWN", 3))
        self.assertIn("no daemon", answer["message"])

    def test_what_cannot_be_written_is_unknown(self):
        for arguments in ((), ("--json",)):
            with self.subTest(arguments=arguments), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run(
                    [ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", *arguments, "check"],
                    stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                )
                self.assertEqual(done.returncode, 3)
                self.assertIn("can't be written", done.stderr)

    def test_output_that_is_closed_does_not_go_to_the_daemon(self):
        for command in ("status", "usage", "regions"):
            with self.subTest(command):
                done = subprocess.run(
                    ["/bin/sh", "-c", 'exec "$0" "$@" <&- >&-', ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", command],
                    stderr=subprocess.PIPE, text=True, check=False,
                )
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("can't be written", done.stderr)
        log = wire_case.daemon.log()
        self.assertNotIn("packet", log)

    def test_what_cannot_be_told_is_unknown(self):
        for arguments in (
            ("--address", "unix:/nonexistent"),
            ("--address", "nonsense"),
            ("--warn", "80x"),
            ("-w", "80", "-c", "x"),
            ("--all", "total"),
            ("--warn", "101%"),
            ("--crit", "-1%"),
            ("--crit", "%"),
            ("--crit", "9%%"),
            ("--crit", "99999999999%"),
            ("--warn", "95%", "--crit", "80%"),
            ("--warn",),
            ("--frobnicate",),
            ("--force",),
            ("more",),
        ):
            with self.subTest(arguments=arguments):
                self.check(*arguments, status=3)


class HungDaemonTest(AdminTest):
    def await_stop(self, pid):
        """The signal has been sent; each thread stops a moment later."""

        def state(task):
            with open(f"/proc/{pid}/task/{task}/stat") as f:
                return f.read().rpartition(")")[2].split()[0]

        deadline = time.monotonic() + 60
        while any(state(task) != "T" for task in os.listdir(f"/proc/{pid}/task")):
            self.assertLess(time.monotonic(), deadline)

    def test_a_daemon_that_does_not_answer_ends_the_command_all_the_same(self):
        pid = wire_case.daemon.process.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.await_stop(pid)
        for arguments in (("status",), ("usage",), ("regions",), ("quota", "list"), ("rm", "x"), ("check",)):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.start_ctl("--timeout", "1", *arguments).returncode, 3)


class NoDaemonTest(CtlTest):
    def test_every_command_exits_with_3(self):
        for arguments in (
            ("status",),
            ("usage",),
            ("regions",),
            ("quota", "list"),
            ("quota", "set", "total", "bytes=1G"),
            ("quota", "unset", "total"),
            ("rm", "name"),
            ("disconnect", "root"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn("no daemon", self.run_ctl(*arguments, address="unix:/nonexistent/socket", status=3))

    def test_one_that_hangs_up_exits_with_3(self):
        self.assertIn("no daemon", self.ask_who_hangs_up(lambda client: None))

    def test_one_that_goes_after_hello_exits_with_3(self):
        def answer_hello(client):
            hello = pb.Request.FromString(client.recv(65536))
            reply = pb.HelloReply(version=1, max_packet=65536, max_in_flight=64, daemon_version="1")
            client.send(pb.Reply(id=hello.id, hello=reply).SerializeToString())
            client.recv(65536)

        self.assertIn("did not answer", self.ask_who_hangs_up(answer_hello))

    def ask_who_hangs_up(self, before):
        """What the command says that asks such a daemon."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(path)
                listener.listen()
                tool = subprocess.Popen(
                    [ctl_case.program, "--address", f"unix:{path}", "status"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                with listener.accept()[0] as client:
                    before(client)
                _, sentence = tool.communicate(timeout=60)
        self.assertEqual(tool.returncode, 3)
        return sentence.decode()


@needs_users
class AnybodyTest(AdminTest):
    """An ordinary user: sees what is theirs, changes nothing."""

    def setUp(self):
        super().setUp()
        self.anybody = identity(ANYBODY)

    def test_their_own_usage_and_regions_are_shown_and_nobody_elses(self):
        mine = self.connect()
        mine.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        theirs = self.connect(user=self.anybody)
        handle = os.urandom(16)
        theirs.call(create_region=pb.CreateRegion(handle=handle, size=8192))
        usage = self.run_json("usage", user=self.anybody)
        self.assertEqual((usage["subject"], usage["bytes"]), (f"user:{ANYBODY}", 8192))
        regions = self.run_json("regions", user=self.anybody)["regions"]
        self.assertEqual([r["handle"] for r in regions], [handle.hex()])
        self.assertLessEqual({handle.hex(), self.handle.hex()}, {r["handle"] for r in self.run_json("regions")["regions"]})
        self.run_ctl("usage", "total", user=self.anybody)
        self.run_ctl("usage", "user:root", status=1, user=self.anybody)
        self.run_json("status", user=self.anybody)

    def test_the_list_of_quotas_has_what_concerns_them(self):
        self.set_quota(f"user:{ANYBODY}", "bytes=32M")
        self.set_quota(f"user:{ADMIN}", "bytes=33M")
        self.set_quota(f"members:{ADMINS}", "regions=9")
        self.assertEqual(self.listed(f"user:{ANYBODY}", "bytes", user=self.anybody)["value"], "32M")
        self.assertEqual(self.listed("default", "bytes", user=self.anybody)["value"], "64M")
        self.assertIsNone(self.listed(f"user:{ADMIN}", "bytes", user=self.anybody))
        self.assertIsNone(self.listed(f"members:{ADMINS}", "regions", user=self.anybody))
        self.assertEqual(self.listed(f"user:{ADMIN}", "bytes")["value"], "33M")

    def test_they_may_not_set_or_disconnect(self):
        before = self.run_ctl("quota", "list")
        for arguments in (
            ("quota", "set", f"user:{ANYBODY}", "bytes=1T"),
            ("quota", "set", "total", "bytes=1T"),
            ("quota", "unset", "total"),
            ("disconnect", "root"),
            ("disconnect", ANYBODY),
        ):
            with self.subTest(arguments=arguments):
                self.run_ctl(*arguments, status=1, user=self.anybody)
        self.assertEqual(self.run_ctl("quota", "list"), before)

    def test_they_remove_their_own_regions_and_nobody_elses(self):
        client = self.connect()
        self.make_named(client, mode=0o666)
        for argument in (f"root/{self.name}", self.handle.hex()):
            self.run_ctl("rm", "--force", argument, status=1, user=self.anybody)
        self.run_ctl("set-expiry", f"root/{self.name}", "1s", status=1, user=self.anybody)
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.name.decode(), self.name)
        self.run_ctl("rm", "--force", self.name)
        theirs = self.connect(user=self.anybody)
        handle = os.urandom(16)
        theirs.call(create_region=pb.CreateRegion(handle=handle))
        self.assertIn(ANYBODY, self.run_ctl("rm", handle.hex(), status=1, user=self.anybody))
        self.run_ctl("rm", "--force", handle.hex(), user=self.anybody)

    def test_check_looks_at_what_they_may_see(self):
        answer = self.run_json("check", "--warn", "100%", "--crit", "100%", user=self.anybody)
        names = {c["name"] for c in answer["checks"]}
        self.assertIn("own bytes", names)
        self.assertIn("total bytes", names)


@needs_users
class GroupAdminTest(AdminTest):
    """A member of admin_group: may do what root may."""

    def setUp(self):
        super().setUp()
        self.admin = identity(ADMIN)
        self.anybody = identity(ANYBODY)

    def test_they_see_everything(self):
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        self.assertIn(self.handle.hex(), {r["handle"] for r in self.run_json("regions", user=self.admin)["regions"]})
        self.assertGreaterEqual(self.run_json("usage", "total", user=self.admin)["bytes"], 4096)
        self.assertEqual(self.run_json("usage", self.me, user=self.admin)["bytes"], 4096)

    def test_they_set_quotas(self):
        self.addCleanup(self.run_ctl, "quota", "unset", f"user:{ANYBODY}")
        self.run_ctl("quota", "set", f"user:{ANYBODY}", "bytes=5M", user=self.admin)
        self.assertEqual(self.run_json("usage", user=self.anybody)["bytes_limit"], 5 * MIB)
        self.run_ctl("quota", "unset", f"user:{ANYBODY}", user=self.admin)
        self.assertEqual(self.run_json("usage", user=self.anybody)["bytes_limit"], 64 * MIB)

    def test_they_remove_anybodys_region_by_user_and_name(self):
        client = self.connect(user=self.anybody)
        self.make_named(client)
        self.assertIn(f"{ANYBODY} (pid ", self.run_ctl("rm", f"{ANYBODY}/{self.name}", status=1, user=self.admin))
        self.run_ctl("rm", "--force", f"{ANYBODY}/{self.name}", user=self.admin)
        with self.assertRaises(Refused) as caught:
            client.call(grow_region=pb.GrowRegion(handle=self.handle, size=8192))
        self.assertEqual(caught.exception.code, pb.STALE)

    def test_they_disconnect_a_user_who_may_come_again(self):
        client = self.connect(user=self.anybody)
        bystander = self.connect()
        self.assertEqual(self.run_ctl("disconnect", ANYBODY, user=self.admin), "1 connection closed\n")
        self.assertRaises((Closed, OSError), client.receive)
        self.assertTrue(bystander.call(get_status=pb.GetStatus()).status.version)
        self.assertTrue(self.connect(user=self.anybody).call(get_status=pb.GetStatus()).status.version)

    def test_a_members_quota_is_each_members_own(self):
        self.set_quota(f"members:{ADMINS}", "bytes=6M")
        self.assertEqual(self.run_json("usage", user=self.admin)["bytes_limit"], 6 * MIB)
        self.assertEqual(self.run_json("usage", user=self.anybody)["bytes_limit"], 64 * MIB)

    def test_a_groups_sum_counts_its_members(self):
        self.set_quota(f"group:{ADMINS}", "bytes=6M")
        client = self.connect(user=self.admin)
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4 * MIB))
        usage = self.run_json("usage", f"group:{ADMINS}", user=self.admin)
        self.assertEqual((usage["bytes"], usage["bytes_limit"]), (4 * MIB, 6 * MIB))
        with self.assertRaises(Refused) as caught:
            client.call(grow_region=pb.GrowRegion(handle=self.handle, size=7 * MIB))
        self.assertEqual(caught.exception.error.limit_name, f"group:{ADMINS} bytes")


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
