#!/usr/bin/python3
"""The metrics and the state of a daemon with several disks: the numbers of each, those of all together, and what others see of many."""

import os
import shutil
import unittest

import ctl_case
import metrics_case
import wire_case
from disks_case import DisksTest, wait_until
from metrics_case import parse, value
from wire_case import MIB

# A user that every system has.
SOMEBODY = (1, 1, [])
LISTEN = "[daemon]\nkeep_free = 0\nmetrics_listen = localhost:0\n"


class DisksMetricsTest(DisksTest, ctl_case.CtlTest):
    def start(self, *arguments, **options):
        super().start(*arguments, **options)
        kept = wire_case.daemon
        wire_case.daemon = self.daemon
        self.addCleanup(lambda: setattr(wire_case, "daemon", kept))
        os.chmod(self.daemon.dir, 0o755)

    def samples(self):
        return parse(metrics_case.ask("/metrics")[1].decode())

    def of_disk(self, samples, what, name):
        return value(samples, f"diskalloc_disk_{what}", disk=self.daemon.path(name))

    def test_each_disk_has_its_numbers_and_a_move_is_counted(self):
        self.start(text=LISTEN + "[disk DIR/b]\nkeep_free = 3M\nnew_regions = no\n")
        self.assertEqual(self.make_and_leave(b"one")[1], "a")
        with self.connect() as client:
            self.move(client, b"one", "b")

        def has_moved():
            samples = self.samples()
            numbers = [self.of_disk(samples, what, name) for what in ("regions", "granted_bytes") for name in "ab"]
            return numbers == [0, 1, 0, MIB] and samples

        samples = wait_until(has_moved)
        self.assertEqual([self.of_disk(samples, "keep_free_bytes", name) for name in "ab"], [0, 3 * MIB])
        self.assertEqual([self.of_disk(samples, "healthy", name) for name in "ab"], [1, 1])
        self.assertEqual(value(samples, "diskalloc_operations_total", operation="move", result="done"), 1)
        self.assertEqual(value(samples, "diskalloc_operation_duration_seconds_count", operation="move"), 1)

    def test_disks_of_one_file_system_have_its_space_once(self):
        self.start(text=LISTEN)
        a, b = metrics_case.state()["disks"]
        self.assertEqual(a["device"], b["device"])
        self.assertEqual((a["fences"], a["fences_missing"]), (b["fences"], b["fences_missing"]))
        history = wait_until(lambda: (h := metrics_case.state()["history"])["available"] and h)
        self.assertLess(history["available"][0], 1.5 * a["size"])

    def test_a_disk_that_could_not_be_opened_is_not_healthy(self):
        self.start(text=LISTEN)
        self.daemon.restart(meanwhile=lambda: shutil.rmtree(self.daemon.path("b")))
        samples = self.samples()
        self.assertEqual([self.of_disk(samples, "healthy", name) for name in "ab"], [1, 0])
        self.assertNotIn(("diskalloc_disk_size_bytes", frozenset({("disk", self.daemon.path("b"))})), samples)
        state = metrics_case.state()
        self.assertEqual([d["path"] for d in state["disks"]], [self.daemon.path("a")])
        self.assertEqual([(d["path"], bool(d["problem"])) for d in state["absent"]], [(self.daemon.path("b"), True)])

    def test_a_disk_that_could_not_be_read_is_not_healthy_until_it_can(self):
        self.start_failing(text=LISTEN)
        marker = self.fail_to_read("b")
        self.daemon.restart()
        self.assertEqual([self.of_disk(self.samples(), "healthy", name) for name in "ab"], [1, 0])
        (absent,) = metrics_case.state()["absent"]
        self.assertEqual(absent["problem"], "it cannot be read: Input/output error")
        os.unlink(marker)
        self.daemon.reload()
        wait_until(lambda: len(metrics_case.state()["disks"]) == 2)
        self.assertEqual(metrics_case.state()["absent"], [])

    def test_a_disk_that_leaves_has_nothing_to_grant(self):
        self.start(text=LISTEN)
        self.daemon.configure(names=("a",))
        self.daemon.reload()
        def leaves():
            b = metrics_case.state()["disks"][1]
            return b["leaving"] and b["free"] == 0 and not b["stopped"]
        wait_until(leaves)
        self.assertGreater(metrics_case.state()["disks"][0]["free"], 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_others_see_all_of_many_disks(self):
        """Their text has some lines for each disk: of so many, it is longer than a packet."""
        names = tuple(f"{i:02}{'x' * 120}" for i in range(60))
        self.start(names, text=LISTEN)
        text = self.run_ctl("metrics", "openmetrics", user=SOMEBODY)
        self.assertGreater(len(text), 65536)
        self.assertEqual((text.count("# EOF"), text[-6:]), (1, "# EOF\n"))
        samples = parse(text)
        self.assertEqual([self.of_disk(samples, "healthy", name) for name in names], [1] * len(names))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
