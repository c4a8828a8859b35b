#!/usr/bin/python3
"""WatchEvents and ListUsage, as somebody meets them who has the .proto and nothing else."""

import os
import select
import struct
import time
import unittest

import wire_case
from wire_case import MIB, WireTest
from wire_client import Client, Refused, pb


def setUpModule():
    wire_case.start_daemon()


def tearDownModule():
    wire_case.stop_daemon()


class WatchTest(WireTest):
    def watch(self):
        client = self.connect(name=b"watcher")
        reply = client.call(watch_events=pb.WatchEvents())
        self.assertIsNone(reply.WhichOneof("body"))
        return client

    def next_report(self, client, kind):
        """The next report of that kind, which must be the next one of all but those about connections."""
        while True:
            event = client.next_event()
            self.assertEqual(event.kind, pb.EVENT_REPORT)
            if event.report.kind == kind:
                return event.report
            self.assertIn(event.report.kind, (pb.REPORT_CONNECTED, pb.REPORT_DISCONNECTED))

    def test_the_feature_is_agreed_on(self):
        client = self.connect(features=pb.FEATURE_EVENTS)
        self.assertEqual(client.hello.features, pb.FEATURE_EVENTS)

    def test_a_report_has_what_is_known_and_nothing_else(self):
        watcher = self.watch()
        client = self.connect(name=b"maker")
        report = self.next_report(watcher, pb.REPORT_CONNECTED)
        self.assertEqual((report.has_user, report.uid, report.pid), (True, os.getuid(), os.getpid()))
        self.assertEqual((report.client_name, report.handle, report.limit_name), (b"maker", b"", ""))
        self.assertLess(abs(report.time_us / 1e6 - time.time()), 600)
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        report = self.next_report(watcher, pb.REPORT_CREATED)
        self.assertEqual((report.handle, report.name, report.size, report.pid), (self.handle, b"", MIB, os.getpid()))
        self.assertEqual((report.limit_name, report.limit, report.lost), ("", 0, 0))
        client.call(detach_region=pb.DetachRegion(handle=self.handle))
        self.assertEqual(self.next_report(watcher, pb.REPORT_REMOVED).handle, self.handle)

    def test_an_early_grow_that_is_refused_is_no_refusal(self):
        client = self.connect(features=pb.FEATURE_EARLY_GROWTH)
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        watcher = self.watch()
        self.assert_refused(
            pb.EARLY_REFUSED, client, grow_region=pb.GrowRegion(handle=self.handle, size=47 * MIB, early=True)
        )
        self.assert_refused(pb.LIMIT, client, grow_region=pb.GrowRegion(handle=self.handle, size=49 * MIB))
        report = self.next_report(watcher, pb.REPORT_REFUSED)
        self.assertEqual((report.limit, report.asked), (48 * MIB, 48 * MIB))
        self.assertTrue(report.limit_name.endswith(" region_bytes"))

    def test_a_copy_is_reported_as_one(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        watcher = self.watch()
        copy = os.urandom(16)
        client.call(clone_region=pb.CloneRegion(source=self.handle, handle=copy))
        report = self.next_report(watcher, pb.REPORT_CREATED)
        self.assertEqual((report.handle, report.text), (copy, b"a copy"))

    def test_a_watcher_makes_other_requests_too_and_may_ask_again(self):
        watcher = self.watch()
        watcher.call(watch_events=pb.WatchEvents())
        self.assertEqual(watcher.call(get_usage=pb.GetUsage()).WhichOneof("body"), "usage")
        watcher.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        self.assertEqual(self.next_report(watcher, pb.REPORT_CREATED).handle, self.handle)
        # Watching twice is watching once.
        self.assertFalse(select.select([watcher.socket], [], [], 0)[0])

    def test_the_number_of_watchers_is_bounded_and_places_come_back(self):
        watchers = [self.watch() for _ in range(8)]
        another = self.connect()
        error = self.assert_refused(pb.TOO_MANY_REQUESTS, another, watch_events=pb.WatchEvents())
        self.assertIn("8", error.message)
        watchers.pop().close()
        deadline = time.monotonic() + 60
        while True:
            try:
                another.call(watch_events=pb.WatchEvents())
                break
            except Refused:
                self.assertLess(time.monotonic(), deadline)

    def test_watchers_that_never_read_hold_nobody_up_and_may_leave(self):
        watchers = [self.watch() for _ in range(8)]
        client = self.connect()
        for _ in range(3000):
            self.assert_refused(pb.LIMIT, client, create_region=pb.CreateRegion(handle=os.urandom(16), size=49 * MIB))
        for watcher in watchers:
            watcher.close()
        self.assert_open(client)


class ListTest(WireTest):
    def pages(self, client):
        found, cursor, n = [], b"", 0
        while True:
            page = client.call(list_usage=pb.ListUsage(cursor=cursor)).usage_list
            found.extend(page.usages)
            cursor, n = page.next_cursor, n + 1
            if not cursor:
                return found, page.everything, n

    def test_the_total_comes_first_and_each_account_once(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        usages, _, _ = self.pages(client)
        subjects = [u.subject for u in usages]
        self.assertEqual(subjects[0], b"total")
        self.assertEqual(len(subjects), len(set(subjects)))
        own = client.call(get_usage=pb.GetUsage()).usage
        (listed,) = [u for u in usages if u.subject == own.subject]
        self.assertEqual((listed.bytes, listed.regions, listed.bytes_limit), (MIB, 1, own.bytes_limit))

    @unittest.skipUnless(os.getuid() == 0, "only root may set limits")
    def test_many_accounts_come_by_pages(self):
        client = self.connect()
        for i in range(80):
            setting = pb.QuotaSetting(key=b"bytes", text=b"1M")
            client.call(set_quota=pb.SetQuota(subject=b"user:+%d" % (4000000100 + i), settings=[setting]))
        try:
            usages, _, n = self.pages(client)
            self.assertGreater(n, 2)
            listed = {u.subject: u for u in usages}
            for i in range(80):
                usage = listed[b"user:+%d" % (4000000100 + i)]
                self.assertEqual((usage.bytes, usage.bytes_limit), (0, MIB))
        finally:
            for i in range(80):
                client.call(unset_quota=pb.UnsetQuota(subject=b"user:+%d" % (4000000100 + i)))
        usages, _, _ = self.pages(client)
        self.assertFalse([u for u in usages if u.subject.startswith(b"user:+40000001")])

    def test_cursors_that_are_none(self):
        client = self.connect()
        for cursor in (b"x", b"x" * 7, b"x" * 9, b"x" * 300):
            self.assert_refused(pb.INVALID, client, list_usage=pb.ListUsage(cursor=cursor))
        # Places that do not exist are the end of the list.
        for section, at in ((4, 0), (2**32 - 1, 2**32 - 1), (3, 2**32 - 1), (2, 2**32 - 1)):
            page = client.call(list_usage=pb.ListUsage(cursor=struct.pack("=II", section, at))).usage_list
            self.assertEqual((len(page.usages), page.next_cursor), (0, b""))

    def test_the_usage_of_whoever_is_not_here_is_zero(self):
        if os.getuid() != 0:
            self.skipTest("only administrators see others")
        client = self.connect()
        usage = client.call(get_usage=pb.GetUsage(subject=b"user:+4000000001")).usage
        self.assertEqual((usage.subject, usage.bytes, usage.regions), (b"user:+4000000001", 0, 0))
        # Many at once, and the connection closes before they are answered.
        for i in range(50):
            client.send(pb.Request(get_usage=pb.GetUsage(subject=b"user:+%d" % (4000001000 + i))))
        client.close()
        error = self.assert_refused(pb.NOT_FOUND, self.connect(), get_usage=pb.GetUsage(subject=b"user:no-such-user"))
        self.assertTrue(error.message)
        for subject in (b"default", b"members:root", b"alice", b"user", b"x" * 300):
            self.assert_refused(pb.INVALID, self.connect(), get_usage=pb.GetUsage(subject=subject))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
