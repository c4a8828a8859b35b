#!/usr/bin/python3
"""diskallocctl selftest: as any user, what it says when something fails, and that it leaves nothing behind."""

import json
import os
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ANYBODY, AdminTest, identity, needs_users
from wire_case import MIB

STEPS = ["connect", "create", "grow", "store", "write back", "verify", "attach read-only", "shrink", "drop"]


def setUpModule():
    ctl_users.set_up_module()


class SelftestTest(AdminTest):
    def test_every_step_is_done_and_nothing_stays(self):
        lines = self.run_ctl("selftest", "--size", "16M").splitlines()
        self.assertEqual(lines[0], f"unix:{wire_case.daemon.socket}, with 16M")
        self.assertEqual([line[:17].rstrip() for line in lines[1:-1]], STEPS)
        for line in lines[1:-1]:
            self.assertRegex(line[17:], r"^ done +[\d.]+ ms")
        for step in ("store", "write back", "verify"):
            self.assertRegex(lines[1 + STEPS.index(step)], r"[\d.]+[KMGT]/s$")
        self.assertEqual(lines[-1], "Everything works.")
        self.wait_for_regions(0)

    def test_as_json(self):
        answer = self.run_json("selftest", "--size", "8M")
        self.assertEqual((answer["passed"], answer["size"]), (True, 8 * MIB))
        self.assertEqual([s["step"] for s in answer["steps"]], STEPS)
        self.assertTrue(all(s["done"] and s["why"] is None for s in answer["steps"]))

    @needs_users
    def test_an_ordinary_user_may(self):
        self.assertIn("Everything works.", self.run_ctl("selftest", "--size", "8M", user=identity(ANYBODY)))

    def test_a_limit_is_named_with_what_to_do(self):
        self.set_quota(self.me, "bytes=4M")
        done = self.start_ctl("selftest", "--size", "8M")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"(?m)^grow +FAILED\n    .*" + self.me + r" bytes.*\n    next: diskallocctl usage")
        self.assertIn("diskallocctl: grow failed: ", done.stderr)
        self.wait_for_regions(0)
        done = self.start_ctl("--json", "selftest", "--size", "8M")
        answer = json.loads(done.stdout)
        self.assertEqual((done.returncode, answer["passed"]), (1, False))
        self.assertEqual((answer["steps"][-1]["step"], answer["steps"][-1]["done"]), ("grow", False))
        self.assertIn("quota set", answer["steps"][-1]["next"])

    def test_wrong_usage_and_no_daemon(self):
        for size in ("", "0", "4095", "-1", "5X", "1e6", "5T", "many"):
            with self.subTest(size=size):
                self.assertIn("from 8K to 4T", self.run_ctl("selftest", "--size", size, status=2))
        self.assertIn("usage: diskallocctl selftest", self.run_ctl("selftest", "more", status=2))
        self.assertIn("usage: diskallocctl selftest", self.run_ctl("selftest", "--all", status=2))
        self.assertIn("no daemon", self.run_ctl("selftest", status=3, address="unix:/nonexistent/socket"))
        self.assertIn("a directory", self.run_ctl("selftest", status=2, address="dir:/var/tmp"))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
