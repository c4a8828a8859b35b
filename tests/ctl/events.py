#!/usr/bin/python3
"""diskallocctl events: what is told, to whom, as lines and as JSON, and how it ends."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ADMINS, ANYBODY, AdminTest, identity, needs_users
from wire_case import MIB, USER
from wire_client import DEADLINE_SECONDS, Refused, pb

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def setUpModule():
    ctl_users.set_up_module()


class Follower:
    """`diskallocctl events` at work."""

    def __init__(self, *arguments, user=None, stdout=subprocess.PIPE):
        who = dict(zip(("user", "group", "extra_groups"), user)) if user else {}
        self.process = subprocess.Popen(
            [ctl_case.program, "--address", f"unix:{wire_case.daemon.socket}", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd="/",
            **who,
        )
        self.text = b""

    def next_line(self):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"no further event; {self.text}")
            self.text += data
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def wait_for(self, **wanted):
        """The next event that has these members."""
        while True:
            event = json.loads(self.next_line())
            if all(event[key] == value for key, value in wanted.items()):
                return event

    def end(self, number=signal.SIGINT):
        if number:
            self.process.send_signal(number)
        _, error = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, error.decode()


class EventsTest(AdminTest):
    def follow(self, *arguments, user=None):
        """It watches when the connection of a client is told."""
        follower = Follower(*arguments, user=user)
        self.addCleanup(self.reap, follower)
        return follower

    def follow_json(self, user=None):
        follower = self.follow("--json", "events", user=user)
        self.wait_until_it_watches(follower, user)
        return follower

    def wait_until_it_watches(self, follower, user=None):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not select.select([follower.process.stdout], [], [], 0.02)[0]:
            self.connect(name=b"beacon", user=user).close()
            self.assertLess(time.monotonic(), deadline)

    @staticmethod
    def reap(follower):
        if follower.process.poll() is None:
            follower.process.kill()
        follower.process.communicate()

    def test_the_life_of_a_region(self):
        f = self.follow_json()
        client = self.connect(name=b"sorter")
        self.make_named(client, size=3 * MIB)
        event = f.wait_for(event="created")
        self.assertRegex(event["time"], TIME)
        self.assertEqual(
            {k: event[k] for k in ("version", "handle", "name", "size", "uid", "pid", "lost")},
            {"version": 1, "handle": self.handle.hex(), "name": self.name, "size": 3 * MIB, "uid": os.getuid(), "pid": os.getpid(), "lost": 0},
        )
        client.call(unlink_region=pb.UnlinkRegion(name=self.name.encode()))
        self.assertEqual(f.wait_for(event="unlinked")["name"], self.name)
        client.close()
        self.assertEqual(f.wait_for(event="disconnected", client_name="sorter")["pid"], os.getpid())
        self.assertEqual(f.wait_for(event="removed")["handle"], self.handle.hex())
        self.assertEqual(f.end(), (0, ""))

    def test_a_refusal_and_a_wait_name_the_limit(self):
        f = self.follow_json()
        client = self.connect()
        self.set_quota(self.me, "bytes=8M")
        event = f.wait_for(event="limits-changed")
        self.assertIn(f"quota set {self.me}", event["text"])
        self.assertIn("after: bytes=8M", event["text"])
        with self.assertRaises(Refused):
            client.call(create_region=pb.CreateRegion(handle=self.handle, size=9 * MIB))
        event = f.wait_for(event="refused")
        self.assertEqual(
            (event["limit_name"], event["limit"], event["used"], event["asked"]), (f"{self.me} bytes", 8 * MIB, 0, 9 * MIB)
        )
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=7 * MIB))
        self.assertEqual(f.wait_for(event="warning")["limit_name"], f"{self.me} bytes")
        other = os.urandom(16)
        client.call(create_region=pb.CreateRegion(handle=other, size=4096))
        asked = client.send(pb.Request(grow_region=pb.GrowRegion(handle=other, size=2 * MIB, wait_ms=60000)))
        self.assertEqual(f.wait_for(event="waits")["limit_name"], f"{self.me} bytes")
        client.send(pb.Request(cancel=pb.Cancel(target=asked)))
        self.assertEqual(f.wait_for(event="wait-ended")["handle"], other.hex())
        self.assertEqual(f.end(signal.SIGTERM), (0, ""))

    @needs_users
    def test_what_administrators_do_is_told(self):
        f = self.follow_json()
        client = self.connect()
        self.make_named(client)
        self.run_ctl("rm", "--force", self.name)
        self.assertRegex(f.wait_for(event="administered")["text"], rf"rm --force \S+/{self.name}; before: 4.0K, attached by 1")
        self.connect(user=identity(ANYBODY))
        self.run_ctl("disconnect", ANYBODY)
        self.assertIn(f"disconnect {ANYBODY}; before: 1 connection; ", f.wait_for(event="administered")["text"])

    def test_a_reload_is_told_to_everybody(self):
        f = self.follow_json()
        wire_case.daemon.process.send_signal(signal.SIGHUP)
        self.assertIn("read again", f.wait_for(event="limits-changed")["text"])

    def test_the_disk_going_and_coming_is_told_to_everybody(self):
        f = self.follow_json(user=identity(ANYBODY) if ctl_users.WITH_USERS else None)
        os.rename(wire_case.daemon.spill, wire_case.daemon.spill + ".away")
        try:
            event = f.wait_for(event="disk-problem")
            check = self.start_ctl("check", "-w", "100", "-c", "100")
            doctor = self.start_ctl("doctor")
        finally:
            os.rename(wire_case.daemon.spill + ".away", wire_case.daemon.spill)
        self.assertIn("not at its place", event["text"])
        self.assertEqual(check.returncode, 2, check.stdout)
        self.assertEqual(doctor.returncode, 1)
        self.assertRegex(doctor.stdout, r"(?m)^WRONG  spill-directory: .*not at its place")
        f.wait_for(event="disk-well")

    def test_a_file_that_is_changed_behind_the_daemons_back_is_told(self):
        f = self.follow_json()
        client = self.connect(name=b"cheat")
        _, fd = client.call_with_fd(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        try:
            os.pwrite(fd, b"x" * 4096, 8 * MIB)
        except OSError as error:  # a stronger fence
            self.skipTest(f"the file can't be changed here: {error}")
        finally:
            os.close(fd)
        event = f.wait_for(event="tampered")
        self.assertEqual((event["handle"], event["uid"]), (self.handle.hex(), os.getuid()))
        self.assertIn("longer than granted", event["text"])
        finding = [x for x in json.loads(self.start_ctl("--json", "doctor").stdout)["findings"] if x["id"] == "mended"]
        self.assertEqual(finding[0]["state"], "note")

    def test_lines_for_people_are_harmless_and_name_what_happened(self):
        f = self.follow("--human", "events")
        self.wait_until_it_watches(f)
        client = self.connect(name=b"evil\x1b[31m")
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=2 * MIB))
        while "created" not in (line := f.next_line()):
            self.assertNotIn("\x1b", line)
        self.assertRegex(line, TIME + rf" created +{re.escape(USER)} \(pid {os.getpid()}\)  {self.handle.hex()}  2.0M$")

    @needs_users
    def test_users_see_what_concerns_them_and_administrators_all(self):
        theirs = identity(ANYBODY)
        f, admin = self.follow_json(user=theirs), self.follow_json()
        mine = self.connect(name=b"secret")
        mine.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        client = self.connect(name=b"theirs", user=theirs)
        handle = os.urandom(16)
        client.call(create_region=pb.CreateRegion(handle=handle, size=4096))
        seen = []
        while not seen or seen[-1]["event"] != "created":
            seen.append(json.loads(f.next_line()))
        self.assertEqual(seen[-1]["handle"], handle.hex())
        self.assertEqual({event["user"] for event in seen}, {ANYBODY})
        self.assertEqual(admin.wait_for(event="created", handle=self.handle.hex())["user"], USER)
        self.assertEqual(admin.wait_for(event="created", handle=handle.hex())["user"], ANYBODY)
        # One user of all, for an administrator.
        one = self.follow("--json", "events", "--user", ANYBODY)
        self.wait_until_it_watches(one, theirs)
        self.connect(name=b"root's")
        self.connect(name=b"anybody's", user=theirs)
        self.assertEqual(one.wait_for(event="connected", client_name="anybody's")["user"], ANYBODY)

    def test_each_user_may_watch_a_few_times(self):
        watchers = [self.connect(name=b"watcher") for _ in range(9)]
        for client in watchers[:8]:
            client.call(watch_events=pb.WatchEvents())
        with self.assertRaises(Refused) as caught:
            watchers[8].call(watch_events=pb.WatchEvents())
        self.assertEqual(caught.exception.code, pb.TOO_MANY_REQUESTS)
        self.assertIn("8", self.run_ctl("events", status=1))
        watchers[0].call(watch_events=pb.WatchEvents())  # again: it watches already
        watchers[0].close()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                watchers[8].call(watch_events=pb.WatchEvents())
                break
            except Refused:
                self.assertLess(time.monotonic(), deadline)

    def test_a_watcher_that_does_not_read_loses_events_and_holds_nobody_up(self):
        slow = self.connect(name=b"slow")
        slow.call(watch_events=pb.WatchEvents())
        busy = self.connect(name=b"busy")
        with open("/proc/sys/net/core/wmem_default", encoding="ascii") as file:
            n = 1200 + int(file.read()) // 400  # more than the socket and the queue take
        for _ in range(n):
            with self.assertRaises(Refused):
                busy.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=60 * MIB))
        seen = lost = 0
        while seen + lost < n:
            event = slow.next_event()
            self.assertEqual(event.kind, pb.EVENT_REPORT)
            lost += event.report.lost
            seen += event.report.kind == pb.REPORT_REFUSED
            self.assertTrue(lost > 0 or seen < n, "nothing was lost")
            if not select.select([slow.socket], [], [], 0.2)[0]:
                # The count comes with the next event.
                busy.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=4096))
        self.assertGreater(lost, 0)
        self.assertGreater(seen, 500)

    def test_the_end_of_the_daemon_is_told_and_the_status_is_3(self):
        f = self.follow_json()
        wire_case.daemon.restart()
        f.wait_for(event="daemon-ends")
        while '"error"' not in (line := f.next_line()):
            pass
        self.assertEqual(json.loads(line)["error"]["status"], 3)
        status, sentence = f.end(None)
        self.assertEqual(status, 3)
        self.assertRegex(sentence, r"^diskallocctl: the daemon has ended.*run the command again")

    def test_it_ends_when_nobody_reads_its_output(self):
        f = self.follow_json()
        f.process.stdout.close()
        f.process.stdout = None
        self.connect().close()
        self.assertEqual(f.process.wait(DEADLINE_SECONDS), 0)

    def test_it_ends_when_its_reader_goes_while_it_writes(self):
        output, reader = socket.socketpair()
        self.addCleanup(output.close)
        self.addCleanup(reader.close)
        output.shutdown(socket.SHUT_WR)  # poll says nothing of that, and a write fails as into a pipe that nobody reads
        for arguments in (("--json", "events"), ("events",)):
            f = Follower(*arguments, stdout=output)
            self.addCleanup(self.reap, f)
            deadline = time.monotonic() + DEADLINE_SECONDS
            while f.process.poll() is None:
                self.connect(name=b"beacon").close()
                self.assertLess(time.monotonic(), deadline)
            self.assertEqual(f.end(None), (0, ""))

    def test_wrong_usage_and_no_daemon(self):
        for arguments, status, said in (
            (("events", "more"), 2, "usage: diskallocctl events"),
            (("events", "--force"), 2, "usage: diskallocctl events"),
            (("events", "--user"), 2, "requires an argument"),
            (("events", "--user", "no-such-user-here"), 1, "there is no user no-such-user-here"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(said, self.run_ctl(*arguments, status=status))
        self.assertIn("no daemon", self.run_ctl("events", status=3, address="unix:/nonexistent/socket"))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
