#!/usr/bin/python3
"""Disks and files on them that a daemon can't use as they are: what it makes of them, and what it tells."""

import os
import shutil
import unittest

import wire_case
from disks_case import MIB, DisksTest, wait_until
from wire_client import pb


class UnusedTest(DisksTest):
    def test_one_that_was_taken_out_is_not_forgotten(self):
        self.start_failing(text="[disk DIR/a]\nnew_regions = no\n")
        self.assertEqual(self.make_and_leave(b"one", content=b"hello")[1], "b")
        wait_until(lambda: os.path.exists(self.daemon.path("a/.disks")))  # written some time after the start
        self.daemon.configure(names=("a",), text="")
        for folders in (("b",), ("b", str(os.getuid()))):
            with self.subTest(folders=folders):
                marker = self.fail_to_read(*folders)
                self.daemon.restart()
                gone = wait_until(lambda: self.disk("b"))
                self.assertIn(b"cannot be looked at: Input/output error", gone.problem)
                os.unlink(marker)
                self.daemon.restart()
                self.assertIn(b"holds 1 regions", wait_until(lambda: self.disk("b")).problem)

    def test_a_running_daemon_uses_64_at_most_with_those_that_leave(self):
        names = [f"d{n}" for n in range(64)]
        self.start(tuple(names))
        self.daemon.configure(names=(*names[:63], "more"))
        self.daemon.reload()
        words = "more: the daemon uses 64 already, and can use no more: start it anew"
        wait_until(lambda: words in self.daemon.log())
        self.assertFalse(self.disk("more").in_use)
        self.assertIn(b"can use no more", self.disk("more").problem)
        self.assertTrue(self.disk("d63").is_leaving)
        self.daemon.restart()
        self.assertTrue(self.disk("more").in_use)

    def test_what_a_reload_cannot_change_and_what_has_no_meaning_is_told(self):
        self.start(names=("a",), text="[daemon]\nkeep_free = 0\nsocket = DIR/socket\n")
        self.daemon.arguments = lambda: ["--config", self.daemon.config]
        self.daemon.restart()
        self.daemon.configure(text="[daemon]\nkeep_free = 0\nsocket = DIR/other\n[disk /nowhere]\nkeep_free = 1M\n")
        self.daemon.reload()
        self.assertIn("[disk /nowhere] means nothing: that is no spill_dir", self.daemon.log())
        self.assertIn("another socket needs a restart: the present one is kept", self.daemon.log())
        self.assertEqual(len(self.status().disks), 1)

    def test_since_when_accounts_are_above_soft_limits_is_known_whichever_disk_is_first(self):
        self.start(text="[quota default]\nbytes = 64M\nsoft_bytes = 1M\ngrace = 1h\n")
        with self.connect() as client:
            self.make(client, b"one", size=2 * MIB)
            path = self.daemon.path("a/.grace")
            wait_until(lambda: os.path.exists(path))
            with open(path, encoding="ascii") as file:
                account = file.read().split(maxsplit=1)[1]
            self.daemon.kill()
            with open(path, "w", encoding="ascii") as file:
                file.write(f"1000 {account}")
        obstacle = self.daemon.path("b/.grace.new")
        os.makedirs(os.path.join(obstacle, "kept"))
        self.daemon.configure(names=("b", "a"))
        self.daemon.start()
        self.assertIn("a/.grace cannot be copied to the first spill directory", self.daemon.log())
        self.daemon.kill()
        shutil.rmtree(obstacle)
        self.daemon.start()
        self.assertIn("a/.grace was copied to the first spill directory", self.daemon.log())
        with self.connect() as client:  # whoever is not listed is known to be above the limit only when users were looked up
            wait_until(lambda: client.call(get_usage=pb.GetUsage()).usage.grace_ends == 1000 + 3600)

    def test_the_rest_of_a_region_that_has_moved_is_removed_when_its_disk_comes_back(self):
        self.start(text="[disk DIR/a]\nnew_regions = no\n")
        region, disk = self.make_and_leave(b"one", content=b"hello")
        self.assertEqual(disk, "b")
        folder = self.daemon.path(f"b/{os.getuid()}")
        old = os.path.join(folder, region.handle.hex())
        os.link(old, self.daemon.path("kept"))
        with self.connect() as client:
            self.move(client, b"one", "a")
        self.daemon.configure(names=("a",), text="")
        self.daemon.restart()
        # As a daemon that was killed before it had removed the file.
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.rename(self.daemon.path("kept"), old)
        self.daemon.configure(names=("a", "b"))
        self.daemon.reload()
        wait_until(lambda: self.disk("b") and self.disk("b").in_use)
        wait_until(lambda: not self.files("b"))
        self.assertEqual((self.disk("b").regions, self.disk("b").bytes), (0, 0))
        self.assertEqual(self.read(b"one", 5), b"hello")


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
