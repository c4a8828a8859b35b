#!/usr/bin/python3
"""The wire protocol as it is meant, from another language, against the real daemon."""

import mmap
import os
import time
import unittest

import wire_case
from wire_case import MIB, WireTest
from wire_client import DEADLINE_SECONDS, Client, pb


def setUpModule():
    wire_case.start_daemon()


def tearDownModule():
    wire_case.stop_daemon()


class ConversationTest(WireTest):
    def test_hello_tells_what_both_need_to_know(self):
        hello = self.connect().hello
        self.assertEqual(hello.version, 1)
        self.assertEqual(len(hello.generation), 16)
        self.assertGreaterEqual(hello.max_packet, 1024)
        self.assertLessEqual(hello.max_packet, 65536)
        self.assertGreaterEqual(hello.max_in_flight, 1)
        self.assertEqual(hello.block_size & (hello.block_size - 1), 0)
        self.assertIn(hello.guarantee, (pb.HARD, pb.SOFT))
        self.assertTrue(hello.daemon_version)
        self.assertEqual(hello.generation, self.bystander.hello.generation)

    def test_a_region_is_created_mapped_grown_committed_listed_and_charged(self):
        client = self.connect(name=b"a client in Python")
        before = client.call(get_usage=pb.GetUsage()).usage
        reply, fd = client.call_with_fd(create_region=pb.CreateRegion(handle=self.handle, size=5000))
        region = reply.region
        self.assertEqual((region.handle, region.size, region.name), (self.handle, 5000, b""))
        self.assertEqual(region.granted, 2 * client.hello.block_size if client.hello.block_size == 4096 else region.granted)
        self.assertEqual(region.owner_uid, os.getuid())
        self.assertEqual(os.fstat(fd).st_size, 5000)
        with mmap.mmap(fd, 5000) as memory:
            memory[:5] = b"hello"
        grown = client.call(grow_region=pb.GrowRegion(handle=self.handle, size=MIB)).region
        self.assertEqual(grown.size, MIB)
        self.assertEqual(os.fstat(fd).st_size, MIB)
        self.assertGreaterEqual(os.fstat(fd).st_blocks * 512, MIB)
        with mmap.mmap(fd, MIB) as memory:
            self.assertEqual(memory[:5], b"hello")
            self.assertEqual(memory[MIB - 5 :], bytes(5))
            memory[MIB - 5 :] = b"world"
        os.close(fd)
        client.call(commit_region=pb.CommitRegion(handle=self.handle, used=4000, element_size=8, flags=pb.COMMIT_DURABLE))

        (listed,) = [r for r in client.regions() if r.handle == self.handle]
        self.assertEqual((listed.size, listed.used, listed.element_size, listed.committed), (MIB, 4000, 8, True))
        self.assertEqual([(h.uid, h.client_name) for h in listed.holders], [(os.getuid(), b"a client in Python")])
        self.assertEqual(listed.holders[0].pid, os.getpid())
        after = client.call(get_usage=pb.GetUsage()).usage
        self.assertEqual((after.bytes - before.bytes, after.regions - before.regions), (MIB, 1))
        self.assertEqual(after.bytes_limit, 64 * MIB)
        self.assertLessEqual(after.grantable_bytes, after.bytes_limit - after.bytes)

    def test_growing_again_finds_the_work_done_and_a_stale_shrink_tells_the_size(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        for size in (2 * MIB, 2 * MIB, 5):
            grown = client.call(grow_region=pb.GrowRegion(handle=self.handle, size=size)).region
            self.assertEqual(grown.size, 2 * MIB)
        stale = self.assert_refused(
            pb.STALE, client, shrink_region=pb.ShrinkRegion(handle=self.handle, size=0, known_size=MIB)
        )
        self.assertEqual(stale.size, 2 * MIB)
        shrunk = client.call(shrink_region=pb.ShrinkRegion(handle=self.handle, size=3, known_size=2 * MIB)).region
        self.assertEqual(shrunk.size, 3)
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.size, 3)

    def test_creating_again_attaches_the_same_region(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
        with self.connect() as second:
            again, fd = second.call_with_fd(create_region=pb.CreateRegion(handle=self.handle, size=MIB))
            os.close(fd)
            self.assertEqual((again.region.size, again.region.attachments), (MIB, 2))
            self.assert_refused(
                pb.BUSY, client, shrink_region=pb.ShrinkRegion(handle=self.handle, size=0, known_size=MIB)
            )

    def test_a_named_region_stays_until_it_is_unlinked(self):
        name = b"wire-" + self.handle.hex().encode()
        with self.connect() as client:
            reply, fd = client.call_with_fd(
                open_region=pb.OpenRegion(
                    name=name, handle=self.handle, size=MIB, flags=pb.REGION_CREATE | pb.REGION_EXCLUSIVE, mode=0o600
                )
            )
            os.pwrite(fd, b"kept", 0)
            os.close(fd)
            self.assertEqual((reply.region.name, reply.region.mode), (name, 0o600))
        client = self.connect()
        reply, fd = client.call_with_fd(open_region=pb.OpenRegion(name=name))
        self.assertEqual((reply.region.handle, reply.region.size, os.pread(fd, 4, 0)), (self.handle, MIB, b"kept"))
        os.close(fd)
        other = os.urandom(16)
        self.assert_refused(
            pb.EXISTS,
            client,
            open_region=pb.OpenRegion(name=name, handle=other, flags=pb.REGION_CREATE | pb.REGION_EXCLUSIVE),
        )
        client.call(unlink_region=pb.UnlinkRegion(name=name))
        self.assert_refused(pb.NOT_FOUND, client, open_region=pb.OpenRegion(name=name))
        self.assert_refused(pb.NOT_FOUND, client, unlink_region=pb.UnlinkRegion(name=name))
        self.assert_refused(pb.STALE, client, grow_region=pb.GrowRegion(handle=self.handle, size=2 * MIB))

    def test_a_read_only_attachment_gets_a_descriptor_for_reading(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        with self.connect() as reader:
            _, fd = reader.call_with_fd(attach_region=pb.AttachRegion(handle=self.handle, flags=pb.REGION_READ_ONLY))
            with self.assertRaises(OSError):
                os.pwrite(fd, b"x", 0)
            os.close(fd)
            self.assert_refused(pb.READ_ONLY, reader, grow_region=pb.GrowRegion(handle=self.handle, size=8192))

    def test_one_more_descriptor_is_sent_for_what_is_attached_only(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        _, fd = client.call_with_fd(open_file=pb.OpenFile(handle=self.handle))
        self.assertEqual(os.fstat(fd).st_size, 4096)
        os.close(fd)
        client.call(detach_region=pb.DetachRegion(handle=self.handle))
        client.call(detach_region=pb.DetachRegion(handle=self.handle))
        self.assert_refused(pb.NOT_ATTACHED, client, open_file=pb.OpenFile(handle=os.urandom(16)))

    def test_lists_come_in_pages(self):
        client = self.connect()
        handles = sorted(os.urandom(16) for _ in range(7))
        for handle in handles:
            client.call(create_region=pb.CreateRegion(handle=handle))
        page = client.call(list_regions=pb.ListRegions(max=3)).region_list
        self.assertEqual(len(page.regions), 3)
        self.assertTrue(page.next_cursor)
        found = [r.handle for r in client.regions(page=3)]
        self.assertEqual(len(found), len(set(found)))
        self.assertLessEqual(set(handles), set(found))

    def test_requests_are_answered_by_their_id_in_any_order(self):
        client = self.connect()
        ids = {client.send(pb.Request(get_status=pb.GetStatus())) for _ in range(20)}
        self.assertEqual({client.receive()[0].id for _ in range(20)}, ids)

    def test_more_requests_than_may_be_in_flight_wait_in_the_socket(self):
        client = self.connect()
        n = client.hello.max_in_flight + 50
        client.socket.setblocking(False)
        ids, answered = set(), set()
        while len(ids) < n or answered != ids:
            if len(ids) < n:
                try:
                    ids.add(client.send(pb.Request(id=len(ids) + 100, get_status=pb.GetStatus())))
                    continue
                except BlockingIOError:
                    pass
            client.socket.settimeout(DEADLINE_SECONDS)
            answered.add(client.receive()[0].id)
            client.socket.setblocking(False)

    def test_cancelling_what_is_not_in_flight_is_no_error(self):
        client = self.connect()
        client.call(cancel=pb.Cancel(target=12345))
        self.assert_open(client)

    def test_total_and_own_user_may_be_asked_for(self):
        client = self.connect()
        own = client.call(get_usage=pb.GetUsage()).usage
        self.assertTrue(own.subject.startswith(b"user:"))
        by_uid = client.call(get_usage=pb.GetUsage(subject=b"user:+%d" % os.getuid())).usage
        self.assertEqual(by_uid.bytes_limit, own.bytes_limit)
        self.assertEqual(client.call(get_usage=pb.GetUsage(subject=b"total")).usage.bytes_limit, 256 * MIB)


class CloneTest(WireTest):
    def cloned(self, client, **more):
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=100000))
        client.call(commit_region=pb.CommitRegion(handle=self.handle, used=80000, element_size=8))
        copy = os.urandom(16)
        reply, fd = client.call_with_fd(clone_region=pb.CloneRegion(source=self.handle, handle=copy, **more))
        self.addCleanup(os.close, fd)
        return reply.region, fd, copy

    def test_a_copy_has_size_and_commit_and_a_descriptor(self):
        region, fd, copy = self.cloned(self.connect())
        self.assertEqual((region.handle, region.size, region.used, region.element_size), (copy, 100000, 80000, 8))
        self.assertEqual((region.granted, region.attachments, region.name), (102400, 1, b""))
        self.assertEqual(os.fstat(fd).st_size, 100000)

    def test_the_feature_is_agreed_on(self):
        with Client(wire_case.daemon.socket, hello=False) as client:
            reply = client.call(
                hello=pb.Hello(version_min=1, version_max=1, features=pb.FEATURE_CLONE, client_name=b"x")
            )
            self.assertEqual(reply.hello.features, pb.FEATURE_CLONE)

    def test_a_repeated_clone_finds_its_region(self):
        client = self.connect()
        region, _, copy = self.cloned(client, name=b"repeated", mode=0o640)
        self.assertEqual((region.name, region.mode), (b"repeated", 0o640))
        again = client.call(clone_region=pb.CloneRegion(source=self.handle, handle=copy, name=b"repeated"))
        self.assertEqual((again.region.handle, again.region.attachments), (copy, 1))
        client.call(detach_region=pb.DetachRegion(handle=copy))
        client.call(unlink_region=pb.UnlinkRegion(name=b"repeated"))

    def test_what_makes_no_sense_is_refused_and_costs_nothing(self):
        client = self.connect()
        _, _, copy = self.cloned(client, name=b"taken")
        before = client.call(get_usage=pb.GetUsage()).usage
        source, new = self.handle, os.urandom(16)
        for code, fields in (
            (pb.NOT_ATTACHED, {"source": os.urandom(16), "handle": new}),
            (pb.INVALID, {"source": b"short", "handle": new}),
            (pb.INVALID, {"source": source, "handle": b"short"}),
            (pb.INVALID, {"source": source, "handle": new, "name": b".dot"}),
            (pb.NAME_TOO_LONG, {"source": source, "handle": new, "name": b"x" * 129}),
            (pb.INVALID, {"source": source, "handle": new, "name": b"x", "mode": 0o1777}),
            (pb.UNSUPPORTED, {"source": source, "handle": new, "flags": pb.REGION_SPARSE}),
            (pb.UNSUPPORTED, {"source": source, "handle": new, "flags": 1 << 20}),
            (pb.INVALID, {"source": source, "handle": new, "flags": pb.REGION_READ_ONLY | pb.REGION_SOLE_WRITER}),
            (pb.EXISTS, {"source": source, "handle": new, "name": b"taken"}),
        ):
            with self.subTest(fields):
                self.assert_refused(code, client, clone_region=pb.CloneRegion(**fields))
        self.assertEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, before.bytes)
        # region_bytes is 48 MiB, bytes 64 MiB.
        large = os.urandom(16)
        client.call(create_region=pb.CreateRegion(handle=large, size=40 * MIB))
        error = self.assert_refused(pb.LIMIT, client, clone_region=pb.CloneRegion(source=large, handle=new))
        self.assertEqual((error.limit, error.asked), (64 * MIB, 40 * MIB))
        client.call(detach_region=pb.DetachRegion(handle=copy))
        client.call(unlink_region=pb.UnlinkRegion(name=b"taken"))

    def test_a_read_only_attachment_may_be_copied(self):
        owner, reader = self.connect(), self.connect()
        copy = os.urandom(16)
        owner.call(create_region=pb.CreateRegion(handle=self.handle, size=8192))
        reader.call(attach_region=pb.AttachRegion(handle=self.handle, flags=pb.REGION_READ_ONLY))
        reader.call(clone_region=pb.CloneRegion(source=self.handle, handle=copy))
        reader.call(grow_region=pb.GrowRegion(handle=copy, size=16384))
        frozen = os.urandom(16)
        reply, fd = reader.call_with_fd(
            clone_region=pb.CloneRegion(source=self.handle, handle=frozen, flags=pb.REGION_READ_ONLY)
        )
        self.assertRaises(OSError, os.write, fd, b"x")
        os.close(fd)
        self.assertTrue(reply.region.flags & pb.REGION_READ_ONLY)
        self.assert_refused(pb.READ_ONLY, reader, grow_region=pb.GrowRegion(handle=frozen, size=16384))

    def test_what_is_cancelled_or_abandoned_leaves_nothing(self):
        watcher = self.connect()
        before = watcher.call(get_usage=pb.GetUsage()).usage
        for leaves in (False, True):
            client = self.connect()
            source, copy = os.urandom(16), os.urandom(16)
            client.call(create_region=pb.CreateRegion(handle=source, size=30 * MIB))
            target = client.send(pb.Request(clone_region=pb.CloneRegion(source=source, handle=copy)))
            if leaves:
                client.close()
            else:
                cancel = client.send(pb.Request(cancel=pb.Cancel(target=target)))
                replies = [client.next_reply() for _ in range(2)]
                self.assertEqual([reply.id for reply, _ in replies], [target, cancel])
                clone, fd = replies[0]
                if fd is not None:
                    os.close(fd)
                self.assertIn(clone.error.code if clone.HasField("error") else pb.OK, (pb.OK, pb.CANCELLED))
                client.close()
            for _ in range(1000):
                usage = watcher.call(get_usage=pb.GetUsage()).usage
                if (usage.bytes, usage.regions) == (before.bytes, before.regions):
                    break
                time.sleep(0.02)
            self.assertEqual((usage.bytes, usage.regions), (before.bytes, before.regions))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
