#!/usr/bin/python3
"""diskallocctl with a daemon that has several disks: status and regions."""

import os
import shutil
import unittest

import ctl_case
import disks_case
import wire_case
from ctl_case import CtlTest
from disks_case import DisksTest
from wire_case import MIB


def setUpModule():
    disks_case.mount_unseen()


class DisksCtlTest(DisksTest, CtlTest):
    def start(self, *arguments, **options):
        super().start(*arguments, **options)
        wire_case.daemon = self.daemon

    def test_status_shows_each_disk_and_the_sums(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        self.make_and_leave(b"one")
        text = self.run_ctl("status")
        for name, regions in (("a", f"1, with {MIB}"), ("b", "0, with 0")):
            rows = text[text.index(self.daemon.path(name)) :].split("\n\n")[0]
            self.assertRegex(rows, rf"Regions there +{regions}\b")
        self.assertEqual(text.count("Guarantee "), 2)
        self.assertRegex(text, r"Disks available +\d+\n")
        answer = self.run_json("status")
        self.assertEqual([d["spill_dir"] for d in answer["disks"]], [self.daemon.path("a"), self.daemon.path("b")])
        self.assertEqual([d["regions"] for d in answer["disks"]], [1, 0])
        self.assertEqual((answer["spill_dir"], answer["disk_total"]), (self.daemon.path("a"), answer["disks"][0]["total"]))
        (region,) = self.run_json("regions")["regions"]
        self.assertEqual(region["disk"], self.daemon.path("a"))

    def test_status_says_what_is_not_in_use_and_what_is_leaving(self):
        self.start()
        self.daemon.configure(names=("a",))
        self.daemon.reload()
        self.assertRegex(self.run_ctl("status"), r"Leaving +not in the configuration any more")
        self.assertEqual([d["leaving"] for d in self.run_json("status")["disks"]], [False, True])
        self.daemon.configure(names=("a", "c"))
        os.rmdir(self.daemon.path("c"))
        self.daemon.restart()
        self.assertRegex(self.run_ctl("status"), r"Not in use +No such file or directory")
        self.assertFalse(self.run_json("status")["disks"][-1]["in_use"])

    def test_check_is_critical_if_any_disk_has_a_problem(self):
        self.start()
        self.assertTrue(self.run_ctl("check").startswith("DISKALLOC OK"))
        shutil.move(self.daemon.path("b"), self.daemon.path("away"))
        self.daemon.restart()
        self.assertIn(f"{self.daemon.path('b')}: No such file or directory", self.start_ctl("check").stdout)
        self.assertEqual(self.start_ctl("check").returncode, 2)
        self.daemon.configure(names=("a",))
        self.daemon.reload()
        self.assertEqual(self.start_ctl("check").returncode, 0)

    def test_with_one_disk_status_is_as_it_was(self):
        self.start(names=("a",))
        text = self.run_ctl("status")
        self.assertRegex(text, r"Disk available +\d+\n")
        self.assertNotIn("Regions there", text)
        self.assertEqual(len(self.run_json("status")["disks"]), 1)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
