#!/usr/bin/python3
"""A daemon with several spill directories, of which one is on a disk that hangs when it is to be opened."""

import contextlib
import os
import signal
import subprocess
import threading
import unittest

import disks_case
import wire_case
from disks_case import DisksTest, thaw_at_the_end, wait_until
from wire_case import MIB
from wire_client import pb

SILENT = b"the disk does not answer"
# The daemon's waits that are to last no longer than that are short here, in seconds: all of them, or those before it
# tells of a disk.
ALL_WAITS, FIRST_WAITS = "600", "60"


def setUpModule():
    disks_case.mount_unseen()
    # A daemon that ends without a thread that hangs has not forgotten it.
    os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"


class HangTest(DisksTest):
    def begin(self, names=("a", "b", "c")):
        """A daemon on disks of their own, of which b can be frozen.  It has the disks of these names."""
        self.preload(os.environ["TEST_SHORT_WAITS_LIBRARY"], TEST_SHORT_WAITS=ALL_WAITS)
        self.start_mounted({"a": 64, "b": 64, "c": 64}, text="[quota total]\nregions = 1000\n")
        thaw_at_the_end(self, self.daemon.path("b"))
        self.use(names)

    def use(self, names):
        self.daemon.configure(names=names)
        self.daemon.restart()

    def freeze(self):
        subprocess.run(["fsfreeze", "-f", self.daemon.path("b")], check=True)

    def thaw(self):
        subprocess.run(["fsfreeze", "-u", self.daemon.path("b")], check=True)

    @contextlib.contextmanager
    def hanging(self):
        self.freeze()
        yield
        self.thaw()

    def times_told(self, words):
        """How often the log says that of disk b."""
        return self.daemon.log().count(f"spill directory {self.daemon.path('b')}: {words}")

    def end_daemon(self):
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.wait(60), 0)

    def make_on(self, disk, name, content):
        others = "".join(f"[disk DIR/{other}]\nnew_regions = no\n" for other in self.daemon.names if other != disk)
        self.daemon.configure(text=others)
        self.daemon.reload()
        self.assertEqual(self.make_and_leave(name, content=content)[1], disk)
        self.daemon.configure(text="")
        self.daemon.reload()

    def find(self, client, name):
        return next(region.handle for region in client.regions() if region.name == name)

    def attach(self, client, handle):
        return client.call(attach_region=pb.AttachRegion(handle=handle, held=True))

    def open(self, client, name):
        return client.call(open_region=pb.OpenRegion(name=name, flags=pb.REGION_READ_ONLY))

    def limit_regions(self, n):
        with self.connect() as client:
            setting = pb.QuotaSetting(key=b"regions", text=b"%d" % n)
            client.call(set_quota=pb.SetQuota(subject=b"user:+4242", settings=[setting]))

    def test_the_others_are_served_when_the_daemon_starts_and_it_is_used_when_it_answers(self):
        self.begin()
        self.make_on("b", b"far", b"hello")
        self.make_on("c", b"near", b"world")
        self.end_daemon()
        with self.hanging():
            self.daemon.start()
            self.assertEqual([d.in_use for d in map(self.disk, "abc")], [True, False, True])
            self.assertEqual((self.disk("b").problem, self.status().problem.split(b": ")[-1]), (SILENT, SILENT))
            self.assertEqual(self.times_told("the disk has not answered for 10 seconds"), 1)
            self.assertEqual(self.times_told("the disk does not answer"), 1)
            self.assertEqual(self.read(b"near", 5), b"world")
            self.make_and_leave(b"new")
            # A reload does not wait for it either, and tells nothing twice.
            self.daemon.reload()
            self.assertEqual(self.read(b"near", 5), b"world")
            self.assertEqual(self.times_told("the disk does not answer"), 1)
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.read(b"far", 5), b"hello")
        self.assertEqual((self.disk("b").regions, self.disk("b").bytes), (1, MIB))
        self.assertEqual(self.status().problem, b"")

    def test_a_start_waits_for_one_that_is_slow(self):
        self.begin()
        self.make_on("b", b"far", b"hello")
        self.end_daemon()
        os.environ["TEST_SHORT_WAITS"] = FIRST_WAITS
        words = "the disk has not answered for 10 seconds; the start waits for it for up to 120 seconds in all"

        def thaw_when_told():
            wait_until(lambda: self.times_told(words))
            self.thaw()

        self.freeze()
        other = threading.Thread(target=thaw_when_told)
        other.start()
        self.daemon.start()
        other.join()
        self.assertTrue(self.disk("b").in_use)
        self.assertEqual(self.read(b"far", 5), b"hello")
        self.assertEqual((self.times_told(words), self.times_told("the disk does not answer")), (1, 0))

    def test_an_attach_is_refused_as_one_that_may_be_tried_again(self):
        self.begin()
        self.make_on("b", b"far", b"hello")
        with self.connect() as client:
            handle = self.find(client, b"far")
        self.end_daemon()
        client = None
        with self.hanging():
            self.daemon.start()
            client = self.connect()
            self.assert_refused(pb.TIMED_OUT, "a disk of the daemon does not answer", lambda: self.attach(client, handle))
            self.assert_refused(pb.TIMED_OUT, "the region may be there", lambda: self.attach(client, os.urandom(16)))
            for name in (b"far", b"nowhere"):
                self.assert_refused(pb.TIMED_OUT, "the region may be there", lambda: self.open(client, name))
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.attach(client, handle).region.name, b"far")
        self.assertEqual(self.open(client, b"far").region.handle, handle)
        self.assert_refused(pb.NOT_FOUND, "no such region", lambda: self.open(client, b"nowhere"))
        self.assert_refused(pb.NOT_FOUND, "no such region", lambda: self.attach(client, os.urandom(16)))

    def test_others_that_a_reload_adds_are_used_meanwhile(self):
        self.begin(names=("a",))
        with self.hanging():
            self.daemon.configure(names=("a", "b", "c"))
            self.daemon.reload()
            wait_until(lambda: self.disk("c") and self.disk("c").in_use)
            wait_until(lambda: self.disk("b"))
            self.assertEqual((self.disk("b").in_use, self.disk("b").problem), (False, SILENT))
        wait_until(lambda: self.disk("b").in_use)

    def test_if_it_is_taken_out_meanwhile_it_is_not_used(self):
        self.begin(names=("a",))
        with self.hanging():
            self.daemon.configure(names=("a", "b"))
            self.daemon.reload()
            wait_until(lambda: self.disk("b"))
            self.daemon.configure(names=("a",))
            self.daemon.reload()
            self.assertIsNone(self.disk("b"))
            # Named again it is shown again.
            self.daemon.configure(names=("a", "b"))
            self.daemon.reload()
            wait_until(lambda: self.disk("b"))
            self.assertEqual((self.disk("b").problem, self.times_told("the disk does not answer")), (SILENT, 2))
            self.daemon.configure(names=("a",))
            self.daemon.reload()
            self.assertIsNone(self.disk("b"))
        self.daemon.configure(names=("a", "c"))
        self.daemon.reload()
        wait_until(lambda: self.disk("c"))
        self.assertIsNone(self.disk("b"))

    def test_one_that_hangs_while_it_is_opened_is_told_of_and_used_when_it_answers(self):
        self.start_failing(("a",))
        marker = self.hang_when_opened("b")
        self.daemon.configure(names=("a", "b", "c"))
        self.daemon.reload()
        wait_until(lambda: self.disk("b"))
        self.assertFalse(self.disk("b").in_use)
        self.assertIn(b"the disk does not answer while it is opened", self.disk("b").problem)
        self.make_and_leave(b"new")
        with self.connect() as client:
            self.assert_refused(pb.TIMED_OUT, "may be there", lambda: self.attach(client, os.urandom(16)))
        os.unlink(marker)
        wait_until(lambda: self.disk("b").in_use)
        wait_until(lambda: self.disk("c") and self.disk("c").in_use)
        self.assertEqual(self.times_told("the disk does not answer while it is opened"), 1)

    def test_an_end_does_not_wait_for_it(self):
        self.begin(names=("a", "b"))
        self.end_daemon()
        with self.hanging():
            self.daemon.start()
            self.daemon.process.send_signal(signal.SIGTERM)
            stat = f"/proc/{self.daemon.process.pid}/stat"

            def main_thread_has_ended():
                with open(stat, encoding="ascii") as file:
                    return " Z " in file.read()

            wait_until(main_thread_has_ended)
        self.assertEqual(self.daemon.process.wait(60), 0)
        self.daemon.start()
        self.assertTrue(self.disk("b").in_use)

    def test_a_disk_that_brings_no_quotas_has_no_file_read_again(self):
        self.begin(names=("a",))
        with self.hanging():
            self.daemon.configure(names=("a", "b"))
            self.daemon.reload()
            self.daemon.configure(text="[quota total]\nregions = 2000\n")  # and nobody tells the daemon
        wait_until(lambda: self.disk("b") and self.disk("b").in_use)
        self.limit_regions(5)  # changes are made one after the other
        self.assertEqual(self.status().regions_limit, 1000)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument()
    unittest.main()
