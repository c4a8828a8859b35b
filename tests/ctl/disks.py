#!/usr/bin/python3
"""diskallocctl with a daemon that has several disks: status, regions and move."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import ctl_case
import disks_case
import wire_case
from ctl_case import CtlTest
from disks_case import DisksTest, wait_until
from wire_case import MIB
from wire_client import Client, pb


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

    def test_check_names_a_disk_that_is_nearly_full_although_there_is_room_on_another(self):
        self.start_mounted({"a": 48, "b": 96}, text="[disk DIR/b]\nnew_regions = no\n")
        self.make_and_leave(b"one", size=self.disk("a").free * 9 // 10)
        done = wait_until(lambda: (d := self.start_ctl("check", "-w", "85", "-c", "100")).returncode == 1 and d)
        self.assertIn(f"disk {self.daemon.path('a')} ", done.stdout)
        self.assertNotIn(self.daemon.path("b"), done.stdout)

    def test_doctor_examines_each_disk(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        path = self.daemon.path("b")
        with open(os.path.join(path, "not-ours"), "w", encoding="ascii"):
            pass
        self.daemon.restart()
        os.chmod(path, 0o755)
        found = self.findings()
        self.assertEqual([f["what"].split(": ")[0] for f in found["guarantee"]], [self.daemon.path("a"), path])
        (foreign,) = found["foreign-files"]
        self.assertTrue(foreign["what"].startswith(f"{path}: when the daemon started, 1 entries"), foreign)
        self.assertEqual([f["state"] for f in found["spill-directory-mode"]], ["well", "wrong"])
        os.chmod(path, 0o700)
        shutil.move(path, self.daemon.path("away"))
        self.daemon.restart()
        a, b = self.findings()["spill-directory"]
        self.assertEqual((a["state"], b["state"]), ("well", "wrong"))
        self.assertTrue(b["what"].startswith(f"{path}: No such file or directory"), b)

    def test_doctor_status_and_check_name_a_disk_that_cannot_be_read(self):
        self.start_failing()
        marker = self.fail_to_read("b")
        self.daemon.restart()
        words = "it cannot be read: Input/output error"
        path = self.daemon.path("b")
        wrong = self.findings()["spill-directory"][1]
        self.assertEqual((wrong["state"], wrong["what"]), ("wrong", f"{path}: {words}"))
        self.assertRegex(self.run_ctl("status"), f"Not in use +{words}")
        self.assertIn(f"{path}: {words}", self.start_ctl("check").stdout)
        os.unlink(marker)
        self.daemon.reload()
        wait_until(lambda: self.start_ctl("check").returncode == 0)
        self.assertEqual([f["state"] for f in self.findings()["spill-directory"]], ["well", "well"])

    def findings(self):
        found = {}
        for finding in json.loads(self.start_ctl("--json", "doctor").stdout)["findings"]:
            found.setdefault(finding["id"], []).append(finding)
        return found

    def test_doctor_notes_a_disk_that_is_leaving(self):
        self.start()
        self.daemon.configure(names=("a",))
        self.daemon.reload()
        (leaving,) = self.findings()["leaving"]
        self.assertEqual((leaving["state"], leaving["what"].split(": ")[0]), ("note", self.daemon.path("b")))

    @unittest.skipUnless(os.getuid() == 0, "only root may open the files of regions")
    def test_top_finds_the_memory_of_regions_on_each_disk(self):
        self.start(text="[disk DIR/a]\nnew_regions = no\n")
        with self.connect() as client:
            _, disk = self.make(client, b"one", content=b"x" * MIB)
            self.assertEqual(disk, "b")
            (region,) = self.run_json("top")["regions"]
        if region["resident"] is None and tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 5):
            self.skipTest("the kernel does not tell what is in memory before Linux 6.5")
        self.assertEqual(region["resident"], MIB)

    def test_events_name_the_disk_that_goes_and_comes(self):
        self.start()
        with Client(self.daemon.socket, features=pb.FEATURE_EVENTS) as client:
            client.call(watch_events=pb.WatchEvents())
            os.rename(self.daemon.path("b"), self.daemon.path("away"))
            problem = self.next_report(client, pb.REPORT_DISK_PROBLEM)
            os.rename(self.daemon.path("away"), self.daemon.path("b"))
            well = self.next_report(client, pb.REPORT_DISK_WELL)
        self.assertTrue(problem.text.startswith(self.daemon.path("b").encode() + b": "), problem)
        self.assertEqual(well.text, self.daemon.path("b").encode())

    def next_report(self, client, kind):
        while True:
            report = client.next_event().report
            if report.kind == kind:
                return report

    def test_with_one_disk_status_is_as_it_was(self):
        self.start(names=("a",))
        text = self.run_ctl("status")
        self.assertRegex(text, r"Disk available +\d+\n")
        self.assertNotIn("Regions there", text)
        self.assertEqual(len(self.run_json("status")["disks"]), 1)

    def test_a_region_moves_by_name_and_by_handle(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        region, _ = self.make_and_leave(b"one", content=b"hello")
        self.assertEqual(self.run_ctl("move", "one", self.daemon.path("b") + "/"), "")
        self.assertEqual(self.files("b"), [region.handle.hex()])
        answer = self.run_json("move", region.handle.hex(), self.daemon.path("a"))
        self.assertEqual((answer["region"], answer["disk"]), (region.handle.hex(), self.daemon.path("a")))
        self.assertEqual(self.read(b"one", 5), b"hello")

    def test_what_does_not_move_is_refused_with_a_sentence(self):
        self.start()
        _, disk = self.make_and_leave(b"one")
        self.assertIn("on that disk already", self.run_ctl("move", "one", self.daemon.path(disk), status=1))
        self.assertIn("no such disk", self.run_ctl("move", "one", "/nowhere", status=1))
        self.assertRegex(self.run_ctl("move", "two", self.daemon.path("b"), status=1), "two: .*no such region")
        self.run_ctl("move", "one", status=2)
        self.run_ctl("move", status=2)

    def test_interrupting_the_command_ends_the_move(self):
        self.start_mounted({"a": 48, "b": 48}, text="[disk DIR/b]\nnew_regions = no\n")
        self.make_and_leave(b"one", size=16 * MIB, content=b"hello")
        frozen = self.daemon.path("b")
        disks_case.thaw_at_the_end(self, frozen)
        subprocess.run(["fsfreeze", "-f", frozen], check=True)
        tool = subprocess.Popen([ctl_case.program, "--address", f"unix:{self.daemon.socket}", "move", "one", frozen])
        wait_until(lambda: self.disk("b").bytes == 16 * MIB)  # the copy is charged
        tool.send_signal(signal.SIGINT)
        self.assertEqual(tool.wait(60), -signal.SIGINT)
        wait_until(lambda: len(self.connections()) == 0)
        subprocess.run(["fsfreeze", "-u", frozen], check=True)
        wait_until(lambda: self.disk("b").bytes == 0)
        self.assertEqual(self.files("b"), [])
        self.assertEqual(self.read(b"one", 5), b"hello")

    def connections(self):
        """Those besides the one that asks."""
        with self.connect() as client:
            return range(client.call(get_usage=pb.GetUsage()).usage.connections - 1)


class ProgressTest(unittest.TestCase):
    def serve(self, listener):
        """A daemon that takes a while."""
        client, _ = listener.accept()
        with client:
            hello = pb.Request.FromString(client.recv(65536))
            client.send(pb.Reply(id=hello.id, hello=pb.HelloReply(version=1)).SerializeToString())
            self.asked = pb.Request.FromString(client.recv(65536))
            for used in (0, 3 * MIB, 6 * MIB):
                time.sleep(0.15)  # a line is shown a tenth of a second after the one before, and not sooner
                event = pb.Event(kind=pb.EVENT_MOVE_PROGRESS, used=used, limit=6 * MIB)
                client.send(pb.Reply(event=event).SerializeToString())
            client.send(pb.Reply(id=self.asked.id, region=pb.Region(disk=b"/b")).SerializeToString())

    def run_tool(self, stderr):
        path = f"/tmp/diskalloc-progress-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            self.addCleanup(os.unlink, path)
            listener.listen()
            thread = threading.Thread(target=self.serve, args=[listener])
            thread.start()
            done = subprocess.run(
                [ctl_case.program, "--address", f"unix:{path}", "move", "one", "/b"], stderr=stderr, timeout=60, check=False
            )
            thread.join(60)
        return done

    def test_a_terminal_shows_how_far_the_copying_has_come(self):
        primary, secondary = pty.openpty()
        done = self.run_tool(secondary)
        os.close(secondary)
        text = ctl_case.read_terminal(primary)
        self.assertEqual(done.returncode, 0)
        self.assertEqual((self.asked.move_region.name, self.asked.move_region.disk), (b"one", b"/b"))
        self.assertIn(b"moving: 3.0M of 6.0M, 50%", text)
        self.assertIn(b"moving: 6.0M of 6.0M, 100%, in ", text)
        self.assertTrue(text.endswith(b"\r\n"), text)

    def test_elsewhere_nothing_is_shown(self):
        done = self.run_tool(subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
