#!/usr/bin/python3
"""What a reload changes for the spill directories and the socket that are in use, and what it leaves as it was and says so."""

import os
import unittest

import wire_case
from disks_case import MIB, DisksTest, wait_until
from wire_client import pb


class ReloadTest(DisksTest):
    def test_a_mount_can_be_asked_for_and_given_up(self):
        self.start(names=("a",))
        self.assertEqual(self.disk("a").problem, b"")
        for text in ("[daemon]\nspill_dir_require_mount = yes\n", "[disk DIR/a]\nrequire_mount = yes\n"):
            self.daemon.configure(text=text)
            self.daemon.reload()
            wait_until(lambda: b"no mount point" in self.disk("a").problem)
            self.daemon.configure(text="[daemon]\n")
            self.daemon.reload()
            wait_until(lambda: self.disk("a").problem == b"")

    def test_a_new_disk_has_the_fence_that_the_daemon_has(self):
        self.start(names=("a",))
        self.daemon.configure(names=("a", "b"), text="[daemon]\nfence = off\n")
        self.daemon.reload()
        wait_until(lambda: len(self.status().disks) == 2 and self.disk("b").in_use)
        self.assertIn("another fence needs a restart", self.daemon.log())
        self.assertEqual(self.disk("b").fences, self.disk("a").fences)

    def test_the_socket_keeps_its_permissions_and_the_log_says_so(self):
        self.start(names=("a",))
        mode = os.stat(self.daemon.socket).st_mode
        self.daemon.configure(text="[daemon]\nsocket_mode = 0600\n")
        self.daemon.reload()
        self.assertEqual(os.stat(self.daemon.socket).st_mode, mode)
        self.assertIn("another socket_mode needs a restart", self.daemon.log())

    def test_a_restart_is_needed_for_as_long_as_another_value_is_in_force(self):
        self.start(names=("a",))
        remark = "another socket_mode needs a restart"
        for mode, n_remarks in (("0600", 1), ("0600", 2), ("0666", 2), ("0640", 3)):
            self.daemon.configure(text=f"[daemon]\nsocket_mode = {mode}\n")
            self.daemon.reload()
            self.assertEqual(self.daemon.log().count(remark), n_remarks)


class GrantableTest(DisksTest):
    def test_it_falls_with_each_grant(self):
        """Also between two looks at the disk.  Others may free space meanwhile, but not each time."""
        self.start(names=("a",))
        self.daemon.configure(text="[quota default]\nbytes = unlimited\n")
        self.daemon.reload()
        fell = 0
        with self.connect() as client:
            for _ in range(10):
                before = client.call(get_usage=pb.GetUsage()).usage.grantable_bytes
                self.make(client, os.urandom(8).hex().encode(), size=16 * MIB)
                fell += before - client.call(get_usage=pb.GetUsage()).usage.grantable_bytes >= 8 * MIB
        if self.status().guarantee == pb.HARD:
            self.assertGreaterEqual(fell, 7)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
