#!/usr/bin/python3
"""What administrators do is in the daemon's log: who, what, before and after."""

import os
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ADMIN, ANYBODY, AdminTest, identity, needs_users
from wire_client import pb


def setUpModule():
    ctl_users.set_up_module()


class JournalTest(AdminTest):
    def setUp(self):
        super().setUp()
        self.logged = len(wire_case.daemon.log())

    def log(self):
        """The lines since the test began that tell what an administrator did."""
        return [line for line in wire_case.daemon.log()[self.logged :].splitlines() if ", diskallocctl): " in line]

    def test_quotas_are_logged_with_what_they_were_before(self):
        me = f"{self.me.removeprefix('user:')} (uid {os.getuid()}, pid "
        self.set_quota(self.me, "bytes=8M", "regions=7")
        self.run_ctl("quota", "set", self.me, "bytes=9M")
        self.run_ctl("quota", "unset", self.me, "bytes")
        self.run_ctl("quota", "unset", self.me, "bytes")
        self.run_ctl("quota", "set", "default", "bytes=63M")
        self.run_ctl("quota", "unset", "default")
        lines = self.log()
        self.assertTrue(all(line.startswith(me) for line in lines), lines)
        self.assertEqual(
            [line.partition("diskallocctl): ")[2] for line in lines],
            [
                f"quota set {self.me}; before: bytes=not set regions=not set; after: bytes=8M regions=7",
                f"quota set {self.me}; before: bytes=8M; after: bytes=9M",
                f"quota unset {self.me}; before: bytes=9M; after: bytes=not set",
                "quota set default; before: bytes=64M; after: bytes=63M",
                "quota unset default; before: bytes=63M; after: bytes=64M",
            ],
        )

    def test_what_was_refused_is_not_logged(self):
        self.run_ctl("quota", "set", self.me, "bytes=5X", status=2)
        self.run_ctl("rm", "--force", "no-such-region", status=1)
        self.run_ctl("disconnect", "no-such-user-here", status=1)
        self.assertEqual(self.log(), [])

    @needs_users
    def test_removals_expiries_and_disconnections_say_whose(self):
        client = self.connect(user=identity(ANYBODY))
        self.make_named(client, size=8192)
        admin = identity(ADMIN)
        self.run_ctl("set-expiry", f"{ANYBODY}/{self.name}", "7d", user=admin)
        self.run_ctl("rm", "--force", f"{ANYBODY}/{self.name}", user=admin)
        self.run_ctl("disconnect", ANYBODY, user=admin)
        lines = self.log()
        self.assertTrue(all(line.startswith(f"{ADMIN} (uid {admin[0]}, pid ") for line in lines), lines)
        self.assertEqual(
            [line.partition("diskallocctl): ")[2] for line in lines],
            [
                f"set-expiry {ANYBODY}/{self.name}; before: never; after: 7d",
                f"rm --force {ANYBODY}/{self.name}; before: 8.0K, attached by 1",
                f"disconnect {ANYBODY}; before: 1 connection; after: closed",
            ],
        )

    @needs_users
    def test_what_users_do_with_their_own_is_their_business(self):
        theirs = identity(ANYBODY)
        client = self.connect(user=theirs)
        self.make_named(client)
        self.run_ctl("set-expiry", self.name, "7d", user=theirs)
        self.run_ctl("rm", "--force", self.name, user=theirs)
        mine = self.connect()
        handle = os.urandom(16)
        mine.call(open_region=pb.OpenRegion(name=b"mine", handle=handle, size=4096, flags=pb.REGION_CREATE, mode=0o600))
        mine.call(detach_region=pb.DetachRegion(handle=handle))
        self.run_ctl("rm", "mine")
        self.assertEqual(self.log(), [])


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
