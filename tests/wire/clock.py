#!/usr/bin/python3
"""Somebody sets the clock: no time has passed, for regions that expire and for grace periods."""

import os
import tempfile
import time
import unittest

import wire_case
from disks_case import MIB, DisksTest, wait_until
from wire_client import pb

DAY = 86400
HOUR = 3600


class ClockTest(DisksTest):
    def start_with_clock(self, text=""):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clock = os.path.join(folder.name, "clock")
        self.preload(os.environ["TEST_MADE_UP_CLOCK"], TEST_CLOCK=self.clock)
        self.start(names=("a",), text=text)

    def set_clock(self, offset, said):
        """By so many seconds beyond the time that it is; returns when the daemon has SAID so in its log."""
        before = self.daemon.log().count(said)
        with open(self.clock + ".new", "w", encoding="ascii") as file:
            file.write(f"{offset}\n")
        os.rename(self.clock + ".new", self.clock)
        wait_until(lambda: self.daemon.log().count(said) > before)

    def leave(self, name, expires):
        self.make_and_leave(name)
        with self.connect() as client:
            client.call(set_expiry=pb.SetExpiry(name=name, expires=expires))

    def names(self):
        with self.connect() as client:
            return {region.name for region in client.regions() if region.name}

    def await_expiry(self, name):
        """Returns when the daemon has looked at all regions, and has removed one that expires in a second."""
        self.leave(name, 1)
        wait_until(lambda: name not in self.names())

    def test_a_clock_that_is_set_forward_removes_no_region(self):
        self.start_with_clock()
        self.leave(b"kept", HOUR)
        self.await_expiry(b"first")
        self.set_clock(30 * DAY - 2, "the time of day was set forward by 30d:")
        self.await_expiry(b"second")
        self.assertEqual(self.names(), {b"kept"})
        # The record says so too.
        self.daemon.kill()
        self.daemon.start()
        self.await_expiry(b"third")
        self.assertEqual(self.names(), {b"kept"})
        self.assertEqual(self.daemon.log().count("was set"), 1)

    def test_a_clock_that_is_set_back_keeps_no_region_for_longer(self):
        self.start_with_clock()
        self.leave(b"left", 4)
        self.await_expiry(b"first")
        self.set_clock(-30 * DAY, "the time of day was set back by 30d")
        wait_until(lambda: b"left" not in self.names())

    def test_a_clock_that_is_set_ends_no_grace_period(self):
        self.start_with_clock(text="[quota default]\nbytes = 64M\nsoft_bytes = 1M\ngrace = 1h\n")
        path = self.daemon.path("a/.grace")
        with self.connect() as client:
            region, _ = self.make(client, b"one", size=2 * MIB)
            ends = self.grace_ends(client)
            self.assertAlmostEqual(ends, time.time() + HOUR, delta=HOUR / 2)
            wait_until(lambda: os.path.exists(path))
            before = self.text_of(path)
            self.set_clock(30 * DAY, "the time of day was set forward by 30d")
            self.assertAlmostEqual(self.grace_ends(client) - ends, 30 * DAY, delta=5)
            client.call(grow_region=pb.GrowRegion(handle=region.handle, size=3 * MIB))
            wait_until(lambda: self.text_of(path) != before)
        self.daemon.kill()
        self.daemon.start()
        with self.connect() as client:
            wait_until(lambda: abs(self.grace_ends(client) - ends - 30 * DAY) <= 5)
            self.set_clock(0, "the time of day was set back by 30d")
            self.assertAlmostEqual(self.grace_ends(client), ends, delta=5)

    def text_of(self, path):
        with open(path, encoding="ascii") as file:
            return file.read()

    def grace_ends(self, client):
        return client.call(get_usage=pb.GetUsage()).usage.grace_ends


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
