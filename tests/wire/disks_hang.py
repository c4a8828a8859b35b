#!/usr/bin/python3
"""A daemon with several spill directories, of which one is on a disk that hangs when it is to be opened."""

import contextlib
import signal
import subprocess
import unittest

import disks_case
import wire_case
from disks_case import DisksTest, thaw_at_the_end, wait_until
from wire_case import MIB
from wire_client import pb

SILENT = b"the disk does not answer"


def setUpModule():
    disks_case.mount_unseen()


class HangTest(DisksTest):
    def begin(self, names=("a", "b", "c")):
        """A daemon on disks of their own, of which b can be frozen.  It has the disks of these names."""
        self.start_mounted({"a": 64, "b": 64, "c": 64}, text="[quota total]\nregions = 1000\n")
        thaw_at_the_end(self, self.daemon.path("b"))
        self.use(names)

    def use(self, names):
        self.daemon.configure(names=names)
        self.daemon.restart()

    @contextlib.contextmanager
    def hanging(self):
        path = self.daemon.path("b")
        subprocess.run(["fsfreeze", "-f", path], check=True)
        yield
        subprocess.run(["fsfreeze", "-u", path], check=True)

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
            self.assertIn(f"{self.daemon.path('b')}: the disk does not answer", self.daemon.log())
            self.assertEqual(self.read(b"near", 5), b"world")
            self.make_and_leave(b"new")
            # A reload does not wait for it either, and tells nothing twice.
            self.daemon.reload()
            self.assertEqual(self.read(b"near", 5), b"world")
            self.assertEqual(self.daemon.log().count("the disk does not answer"), 1)
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.read(b"far", 5), b"hello")
        self.assertEqual((self.disk("b").regions, self.disk("b").bytes), (1, MIB))
        self.assertEqual(self.status().problem, b"")

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
        self.daemon.configure(names=("a", "c"))
        self.daemon.reload()
        wait_until(lambda: self.disk("c"))
        self.assertIsNone(self.disk("b"))

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
