#!/usr/bin/python3
"""usage and check of others and of all: who is listed, what is 0, what an unknown name is told, and what monitoring gets."""

import json
import os
import re
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ADMIN, ADMINS, ANYBODY, AdminTest, identity, needs_users
from wire_case import MIB, USER
from wire_client import pb


def setUpModule():
    ctl_users.set_up_module()


class UsageTest(AdminTest):
    def all_usages(self, user=None):
        answer = self.run_json("usage", "--all", user=user)
        return {u["subject"]: u for u in answer["usages"]}, answer["everything"]

    def test_all_lists_whoever_has_something_or_has_limits(self):
        self.set_quota("cgroup:/no-such.slice", "bytes=9M")
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=3 * MIB))
        usages, everything = self.all_usages()
        self.assertTrue(everything)
        self.assertEqual(next(iter(usages)), "total")
        self.assertGreaterEqual(set(usages), {"total", "unlisted", self.me, "cgroup:/no-such.slice"})
        self.assertEqual(usages[self.me]["bytes"], 3 * MIB)
        self.assertEqual(usages[self.me]["bytes_limit"], 64 * MIB)
        self.assertEqual(usages["cgroup:/no-such.slice"]["bytes_limit"], 9 * MIB)
        self.assertEqual(len(usages), len(self.run_json("usage", "--all")["usages"]))

    def test_the_table_has_bars_for_people_and_bytes_for_programs(self):
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=32 * MIB))
        lines = self.run_ctl("usage", "--all").splitlines()
        self.assertEqual(lines[0].split(), ["SUBJECT", "BYTES", "LIMIT", "USED", "REGIONS", "CONNECTIONS"])
        self.assertTrue(any(l.startswith(self.me) and f" {32 * MIB} " in l for l in lines), lines)
        self.assertRegex(self.run_ctl("--human", "usage", "--all"), rf"(?m)^{re.escape(self.me)} +32M +64M  \[#+-+\] +50% +1 of 50 ")

    @needs_users
    def test_many_users_are_listed_once_each_over_several_pages(self):
        clients = [self.connect(user=(60000 + i, 60000 + i)) for i in range(70)]
        usages, _ = self.all_usages()
        self.assertEqual(len(usages), len(self.run_json("usage", "--all")["usages"]))
        self.assertGreaterEqual(set(usages), {f"user:+{60000 + i}" for i in range(70)})
        for client in clients:
            client.close()

    @needs_users
    def test_users_and_groups_that_are_idle_have_zeros_and_their_limits(self):
        self.set_quota(f"user:{ANYBODY}", "bytes=5M")
        self.set_quota(f"group:{ADMINS}", "bytes=6M")
        self.set_quota(f"members:{ADMINS}", "bytes=7M")
        usages, _ = self.all_usages()
        self.assertEqual((usages[f"user:{ANYBODY}"]["bytes"], usages[f"user:{ANYBODY}"]["bytes_limit"]), (0, 5 * MIB))
        self.assertEqual((usages[f"group:{ADMINS}"]["bytes"], usages[f"group:{ADMINS}"]["bytes_limit"]), (0, 6 * MIB))
        self.assertNotIn(f"members:{ADMINS}", usages)
        self.assertNotIn(f"user:{ADMIN}", usages)
        # A user of whom the daemon knows nothing yet: the groups count, so the user database was asked.
        usage = self.run_json("usage", f"user:{ADMIN}")
        self.assertEqual(
            (usage["subject"], usage["bytes"], usage["regions"], usage["bytes_limit"]), (f"user:{ADMIN}", 0, 0, 7 * MIB)
        )
        self.assertEqual(usage["grantable_bytes"], 6 * MIB)
        usage = self.run_json("usage", f"user:+{identity(ADMIN)[0]}")
        self.assertEqual((usage["subject"], usage["bytes_limit"]), (f"user:{ADMIN}", 7 * MIB))

    @needs_users
    def test_names_hold_after_a_restart(self):
        client = self.connect(user=identity(ANYBODY))
        self.make_named(client)
        wire_case.daemon.restart()
        self.assertIn(f"user:{ANYBODY}", self.all_usages()[0])

    @needs_users
    def test_an_ordinary_user_sees_their_own_and_is_told_so(self):
        theirs = identity(ANYBODY)
        usages, everything = self.all_usages(user=theirs)
        self.assertEqual((set(usages), everything), ({"total", f"user:{ANYBODY}"}, False))
        status = self.run_json("status", user=theirs)
        self.assertEqual((usages["total"]["bytes"], usages["total"]["bytes_limit"]), (status["bytes"], status["bytes_limit"]))
        self.assertIn("administrators see all", self.run_ctl("--human", "usage", "--all", user=theirs))
        self.set_quota(f"group:{ADMINS}", "bytes=6M")
        usages, everything = self.all_usages(user=identity(ADMIN))
        self.assertTrue(everything)
        sentence = self.run_ctl("usage", "user:root", status=1, user=theirs)
        self.assertIn(f"root, the daemon's own user, and the members of the group {ADMINS}", sentence)

    def test_each_wrong_subject_has_its_own_sentence(self):
        for subject, status, said in (
            ("alice", 2, "say user:alice for a user"),
            ("", 2, "total, unlisted, user:NAME"),
            ("users:alice", 2, "total, unlisted, user:NAME"),
            ("default", 2, "quota list"),
            ("members:root", 2, "quota list"),
            ("user:no-such-user-here", 1, "there is no user no-such-user-here"),
            ("group:no-such-group-here", 1, "there is no group no-such-group-here"),
            ("group:root", 1, "no limit is set for group:root"),
            ("cgroup:/nothing-set.slice", 1, "no limit is set for cgroup:/nothing-set.slice"),
        ):
            with self.subTest(subject=subject):
                self.assertIn(said, self.run_ctl("usage", subject, status=status))
        self.assertIn("not both", self.run_ctl("usage", "total", "--all", status=2))
        self.assertIn("there is no user no-such", self.run_ctl("regions", "--user", "no-such", status=1))

    @needs_users
    def test_a_member_is_told_that_the_group_is_not_counted(self):
        sentence = self.run_ctl("usage", f"group:{ADMINS}", status=1, user=identity(ANYBODY))
        self.assertIn("permission denied", sentence)
        sentence = self.run_ctl("usage", f"group:{ANYBODY}", status=1, user=identity(ANYBODY))
        self.assertIn(f"no limit is set for group:{ANYBODY}", sentence)

    def told_of(self, *words, user):
        """What the command says of a region that is not removed or changed, but for the name that the caller gave."""
        command, *options, region = words
        sentence = self.run_ctl(command, region, *options, status=1, user=user)
        self.assertIn(f"{region}: ", sentence)
        return sentence.replace(region, "REGION")

    @needs_users
    def test_a_stranger_does_not_learn_which_regions_exist(self):
        self.make_named(self.connect())
        theirs = identity(ANYBODY)
        for command in (("rm",), ("rm", "--force")):
            there = self.told_of(*command, f"root/{self.name}", user=theirs)
            self.assertEqual(there, self.told_of(*command, "root/no-such-region", user=theirs))
            self.assertEqual(there, self.told_of(*command, "no-such-user/no-such-region", user=theirs))
        there = self.told_of("set-expiry", "7d", f"root/{self.name}", user=theirs)
        self.assertEqual(there, self.told_of("set-expiry", "7d", "root/no-such-region", user=theirs))

    def test_failures_with_json_are_objects(self):
        for arguments, status in ((("usage", "alice"), 2), (("rm", "no-such-region"), 1), (("frobnicate",), 2)):
            done = self.start_ctl("--json", *arguments)
            answer = json.loads(done.stdout)
            self.assertEqual((done.returncode, answer["version"], answer["error"]["status"]), (status, 1, status))
            self.assertIn(answer["error"]["message"], done.stderr)
        done = self.start_ctl("--json", "status", address="unix:/nonexistent")
        self.assertIn("no daemon", json.loads(done.stdout)["error"]["message"])

    def test_lists_fit_a_terminal(self):
        self.make_named(self.connect(), size=MIB)
        for arguments in (("regions",), ("usage", "--all")):
            for width in (80, 60, 40):
                text = self.run_on_terminal(*arguments, columns=width, NO_COLOR="1").replace("\r", "")
                least = 63 + len(USER) if arguments == ("regions",) else 40 + len(USER)  # a handle is never cut
                self.assertLessEqual(max(map(len, text.splitlines())), max(width, least), text)
        self.assertIn(self.handle.hex(), self.run_on_terminal("regions", columns=80))

    def test_status_has_bars_on_a_terminal(self):
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=32 * MIB))
        text = self.run_on_terminal("status", NO_COLOR="1")
        self.assertRegex(text, r"Bytes +32M of 256M  \[##-+\] +12%")
        self.assertRegex(text, r"Disk +\S+  \[[#-]+\] +\d+%")


class CheckTest(AdminTest):
    LENIENT = ("-w", "100", "-c", "100%")

    def check(self, *arguments, status=0, user=None):
        done = self.start_ctl("check", *arguments, user=user)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("\n"), 1)
        word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
        self.assertRegex(done.stdout, rf"^DISKALLOC {word} - ")
        text, _, performance = done.stdout.partition(" | ")
        return text, dict(re.findall(r"'([^']+)'=(\S+)", performance))

    def test_thresholds_have_letters_and_need_no_percent_sign(self):
        self.set_quota(self.me, "bytes=10M")
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=9 * MIB))
        for arguments in (("-w", "90", "-c", "100"), ("-w90%", "-c100%"), ("--warning", "90", "--critical=100"), ("--warn=90%", "-c", "100")):
            with self.subTest(arguments=arguments):
                text, performance = self.check(*arguments, status=1)
                self.assertEqual(performance["own bytes"], f"{9 * MIB}B;{9 * MIB};{10 * MIB};0;{10 * MIB}")
        self.check("-w", "10", "-c", "90", status=2)
        self.check("-t", "5", *self.LENIENT)

    @needs_users
    def test_all_is_as_bad_as_the_worst_subject(self):
        self.set_quota(f"user:{ANYBODY}", "bytes=10M")
        self.check("--all", *self.LENIENT)
        client = self.connect(user=identity(ANYBODY))
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=10 * MIB))
        self.check(*self.LENIENT)
        text, performance = self.check("--all", *self.LENIENT, status=2)
        self.assertRegex(text, rf"- (disk [^,]*, )?user:{ANYBODY} bytes 100% \(10M of 10M\), ")
        self.assertRegex(text, r"\d+ subjects$")
        self.assertNotIn("unlisted", text)
        self.assertEqual(performance[f"user:{ANYBODY} bytes"], f"{10 * MIB}B;{10 * MIB};{10 * MIB};0;{10 * MIB}")
        self.assertIn("unlisted bytes", performance)
        self.check(f"user:{ANYBODY}", "total", *self.LENIENT, status=2)
        self.check("total", "unlisted", *self.LENIENT)

    @needs_users
    def test_a_user_who_may_not_see_all_is_told_which_group_may(self):
        text, _ = self.check("--all", status=3, user=identity(ANYBODY))
        self.assertIn("admin_group", text)
        self.check("--all", *self.LENIENT, user=identity(ADMIN))
        self.check(*self.LENIENT, user=identity(ANYBODY))

    @needs_users
    def test_idle_users_are_well_and_unknown_ones_are_not(self):
        self.check(f"user:{ANYBODY}", *self.LENIENT)
        text, _ = self.check("user:no-such-user-here", status=3)
        self.assertIn("there is no user", text)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
