#!/usr/bin/python3
"""Everything that a bad client may send: the right error, closed or not as the .proto says, and nobody else notices."""

import errno
import os
import socket
import unittest

import wire_case
from wire_case import MIB, WireTest
from wire_client import Client, Closed, Refused, pb


def setUpModule():
    wire_case.start_daemon()


def tearDownModule():
    wire_case.stop_daemon()


class RefusalTest(WireTest):
    """Requests that are well formed and can't be done: an Error, and the connection stays."""

    def test_limits_refuse_with_their_numbers(self):
        client = self.connect()
        before = client.call(get_usage=pb.GetUsage()).usage
        self.assertEqual(before.grantable_bytes, min(48 * MIB, 64 * MIB - before.bytes))
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=40 * MIB))
        used = client.call(get_usage=pb.GetUsage()).usage.bytes
        error = self.assert_refused(
            pb.LIMIT, client, create_region=pb.CreateRegion(handle=os.urandom(16), size=30 * MIB)
        )
        self.assertRegex(error.limit_name, "^user:.* bytes$")
        self.assertEqual((error.limit, error.used, error.asked), (64 * MIB, used, 30 * MIB))
        error = self.assert_refused(pb.LIMIT, client, grow_region=pb.GrowRegion(handle=self.handle, size=49 * MIB))
        self.assertRegex(error.limit_name, "^user:.* region_bytes$")
        self.assertEqual((error.limit, error.used + error.asked), (48 * MIB, 49 * MIB))
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.size, 40 * MIB)
        self.assert_open(client)

    def test_absurd_sizes_change_nothing(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        for size in (1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 4096):
            for body in (
                {"create_region": pb.CreateRegion(handle=os.urandom(16), size=size)},
                {"grow_region": pb.GrowRegion(handle=self.handle, size=size)},
                {
                    "open_region": pb.OpenRegion(
                        name=b"absurd", handle=os.urandom(16), size=size, flags=pb.REGION_CREATE, mode=0o600
                    )
                },
            ):
                with self.subTest(size=size, body=body), self.assertRaises(Refused) as caught:
                    client.call(**body)
                self.assertIn(caught.exception.code, (pb.OVERFLOW, pb.LIMIT))
        for size in (1 << 63, (1 << 64) - 1):
            self.assert_refused(pb.OVERFLOW, client, create_region=pb.CreateRegion(handle=os.urandom(16), size=size))
        self.assert_refused(pb.INVALID, client, commit_region=pb.CommitRegion(handle=self.handle, used=(1 << 64) - 1))
        with self.assertRaises(Refused) as caught:
            client.call(shrink_region=pb.ShrinkRegion(handle=self.handle, size=1 << 63, known_size=4096))
        self.assertIn(caught.exception.code, (pb.INVALID, pb.OVERFLOW))
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.size, 4096)
        self.assert_refused(pb.NOT_FOUND, client, open_region=pb.OpenRegion(name=b"absurd"))

    def test_handles_have_sixteen_bytes(self):
        client = self.connect()
        for handle in (b"", bytes(15), bytes(17), bytes(4096)):
            for body in (
                {"create_region": pb.CreateRegion(handle=handle)},
                {"attach_region": pb.AttachRegion(handle=handle)},
                {"grow_region": pb.GrowRegion(handle=handle)},
                {"stat_region": pb.StatRegion(handle=handle)},
                {"open_file": pb.OpenFile(handle=handle)},
                {"open_region": pb.OpenRegion(name=b"x", handle=handle, flags=pb.REGION_CREATE)},
            ):
                with self.subTest(length=len(handle), body=body):
                    self.assert_refused(pb.INVALID, client, **body)

    def test_unknown_handles_are_not_found(self):
        client = self.connect()
        self.assert_refused(pb.NOT_FOUND, client, attach_region=pb.AttachRegion(handle=os.urandom(16)))
        for body in (
            {"grow_region": pb.GrowRegion(handle=os.urandom(16), size=1)},
            {"shrink_region": pb.ShrinkRegion(handle=os.urandom(16))},
            {"commit_region": pb.CommitRegion(handle=os.urandom(16))},
        ):
            self.assert_refused(pb.NOT_ATTACHED, client, **body)

    def test_bad_names_are_refused(self):
        client = self.connect()
        names = (b"", b".", b"..", b".hidden", b"a/b", b"../../etc/passwd", b"a b", b"a\x00b", b"\xc3\xa4", b"0" * 32, b"a\n")
        for name in names:
            with self.subTest(name=name):
                self.assert_refused(
                    pb.INVALID,
                    client,
                    open_region=pb.OpenRegion(name=name, handle=os.urandom(16), flags=pb.REGION_CREATE, mode=0o600),
                )
                self.assert_refused(pb.INVALID, client, unlink_region=pb.UnlinkRegion(name=name))
        self.assert_refused(
            pb.NAME_TOO_LONG,
            client,
            open_region=pb.OpenRegion(name=b"n" * 129, handle=os.urandom(16), flags=pb.REGION_CREATE),
        )

    def test_unknown_users_groups_and_subjects_are_refused(self):
        client = self.connect()
        self.assert_refused(pb.NOT_FOUND, client, open_region=pb.OpenRegion(name=b"x", user=b"no-such-user-here"))
        self.assert_refused(pb.NOT_FOUND, client, get_usage=pb.GetUsage(subject=b"user:no-such-user-here"))
        self.assert_refused(pb.NOT_FOUND, client, get_usage=pb.GetUsage(subject=b"group:no-such-group-here"))
        for subject in (b"nonsense", b"user:", b"user:+x", b"user:\x00", b"\xff\xfe", b"user:" + b"u" * 5000):
            with self.subTest(subject=subject[:20]), self.assertRaises(Refused) as caught:
                client.call(get_usage=pb.GetUsage(subject=subject))
            self.assertIn(caught.exception.code, (pb.INVALID, pb.NOT_FOUND))

    def test_unknown_flags_are_refused(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle))
        for body in (
            {"create_region": pb.CreateRegion(handle=os.urandom(16), flags=1 << 20)},
            {"open_region": pb.OpenRegion(name=b"x", handle=os.urandom(16), flags=1 << 31 | pb.REGION_CREATE)},
            {"attach_region": pb.AttachRegion(handle=self.handle, flags=1 << 20)},
            {"commit_region": pb.CommitRegion(handle=self.handle, flags=1 << 20)},
        ):
            with self.subTest(body=body), self.assertRaises(Refused) as caught:
                client.call(**body)
            self.assertIn(caught.exception.code, (pb.UNSUPPORTED, pb.INVALID))
        self.assert_open(client)

    def test_bad_cursors_do_no_harm(self):
        client = self.connect()
        for cursor in (b"x", bytes(16), b"\xff" * 24, os.urandom(60000)):
            try:
                client.call(list_regions=pb.ListRegions(cursor=cursor))
            except Refused as refused:
                self.assertEqual(refused.code, pb.INVALID)
        client.call(list_regions=pb.ListRegions(max=(1 << 32) - 1))
        self.assert_open(client)

    def test_a_request_that_the_daemon_does_not_know_is_unsupported(self):
        client = self.connect()
        for body in (b"", b"\xfa\x3e\x00", b"\xfa\x3e\x03abc"):  # none; field 1007, as a later version may have it
            client.send_bytes(b"\x08\x63" + body)
            reply, _ = client.receive()
            self.assertEqual((reply.id, reply.error.code), (0x63, pb.UNSUPPORTED))
        self.assert_open(client)

    def test_unknown_fields_are_ignored(self):
        client = self.connect()
        client.send_bytes(pb.Request(id=5, get_status=pb.GetStatus()).SerializeToString() + b"\xfa\x3e\x03abc")
        reply, _ = client.receive()
        self.assertEqual((reply.id, reply.WhichOneof("body")), (5, "status"))


class BadClientTest(WireTest):
    """What breaks the protocol: one last word, and that connection is closed."""

    def test_an_empty_packet_closes(self):
        for hello in (True, False):
            client = self.connect(hello=hello)
            client.send_bytes(b"")
            self.assert_last_word(client)

    def test_an_oversize_packet_closes(self):
        for size in (65537, 100000, 150000):
            client = self.connect()
            client.send_bytes(bytes(size))
            self.assert_last_word(client)

    def test_a_packet_as_long_as_allowed_is_read(self):
        client = self.connect()
        request = pb.Request(id=7, list_regions=pb.ListRegions(cursor=b"")).SerializeToString()
        filler = client.hello.max_packet - len(request) - 5  # field 1007 with its length in three bytes
        length = bytes((filler & 0x7F | 0x80, filler >> 7 & 0x7F | 0x80, filler >> 14))
        client.send_bytes(request + b"\xfa\x3e" + length + bytes(filler))
        self.assertEqual(client.receive()[0].id, 7)

    def test_garbage_closes(self):
        for garbage in (b"\xff", b"\x00", b"GET / HTTP/1.0\r\n\r\n", b"\x12\x80", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 60000):
            client = self.connect()
            client.send_bytes(garbage)
            self.assert_last_word(client)

    def test_every_truncation_of_a_message_is_survived(self):
        whole = pb.Request(
            id=300, open_region=pb.OpenRegion(name=b"trunc", handle=self.handle, size=1 << 40, mode=0o600, user=b"+1")
        ).SerializeToString()
        for n in range(1, len(whole)):
            with self.connect() as client:
                client.send_bytes(whole[:n])
                reply, _ = client.receive()
                self.assertTrue(reply.HasField("error"))
                if reply.id == 0:
                    self.assertEqual(reply.error.code, pb.PROTOCOL)
                    self.assertRaises(Closed, client.receive)

    def test_a_message_that_asks_for_much_memory_is_refused(self):
        client = self.connect()
        deep = pb.Request(id=1, get_status=pb.GetStatus()).SerializeToString()
        client.send_bytes(deep + b"\x72\x00" * 30000)  # the same field again and again
        reply, _ = client.receive()
        self.assertIn(reply.error.code, (pb.OK, pb.PROTOCOL, pb.NO_MEMORY))

    def test_a_request_before_hello_closes(self):
        client = self.connect(hello=False)
        client.send(pb.Request(id=4, get_status=pb.GetStatus()))
        self.assert_last_word(client, ids=(0, 4))

    def test_a_second_hello_closes(self):
        client = self.connect()
        client.send(pb.Request(id=4, hello=pb.Hello(version_min=1, version_max=1)))
        self.assert_last_word(client, ids=(0, 4))

    def test_id_zero_closes(self):
        client = self.connect()
        client.send_bytes(pb.Request(get_status=pb.GetStatus()).SerializeToString())
        self.assert_last_word(client)

    def test_versions_that_the_daemon_does_not_speak_are_refused_with_its_own(self):
        for lowest, highest in ((2, 9), (0, 0), (2, (1 << 32) - 1)):
            with self.subTest(lowest=lowest, highest=highest):
                client = self.connect(hello=False)
                client.send(pb.Request(id=1, hello=pb.Hello(version_min=lowest, version_max=highest)))
                error = self.assert_last_word(client, pb.VERSION, ids=(0, 1))
                self.assertEqual((error.used, error.limit), (1, 1))

    def test_a_version_range_that_ends_before_it_begins_is_refused(self):
        client = self.connect(hello=False)
        client.send(pb.Request(id=1, hello=pb.Hello(version_min=9, version_max=1)))
        reply, _ = client.receive()
        self.assertIn(reply.error.code, (pb.VERSION, pb.INVALID, pb.PROTOCOL))
        self.assertRaises(Closed, client.receive)

    def test_a_range_around_the_daemons_version_is_fine(self):
        client = self.connect(hello=False)
        self.assertEqual(client.say_hello(lowest=0, highest=9).hello.version, 1)

    def test_descriptors_from_a_client_close_and_are_closed(self):
        fds_before, n_open = os.listdir(f"/proc/{wire_case.daemon.process.pid}/fd"), 0
        for n in (1, 2, 3, 100):
            client = self.connect()
            request = pb.Request(id=9, get_status=pb.GetStatus()).SerializeToString()
            with open("/dev/null", "rb") as null:
                try:
                    client.send_bytes(request, [null.fileno()] * n)
                except PermissionError:  # Linux 6.16: the kernel refuses, and the connection goes on
                    client.send(pb.Request(id=9, get_status=pb.GetStatus()))
                    self.assertEqual(client.receive()[0].id, 9)
                    n_open += 1
                else:
                    self.assert_last_word(client, ids=(0, 9))
        self.assertLessEqual(len(os.listdir(f"/proc/{wire_case.daemon.process.pid}/fd")), len(fds_before) + n_open)

    def test_an_id_that_is_in_flight_twice_closes_or_is_answered_for_each(self):
        # Whether the first is still in flight when the second is read is for the daemon's speed to decide.
        client = self.connect()
        for i in range(20):
            create = pb.CreateRegion(handle=bytes(15) + bytes([i + 1]), size=MIB, flags=0)
            try:
                client.send(pb.Request(id=77, create_region=create))
            except OSError as error:
                self.assertIn(error.errno, (errno.EPIPE, errno.ECONNRESET))
                break
        replies = []
        try:
            while len(replies) < 20:
                reply, fd = client.receive()
                if fd is not None:
                    os.close(fd)
                replies.append(reply)
        except Closed:
            self.assertIn((0, pb.PROTOCOL), [(r.id, r.error.code) for r in replies])
        for reply in replies:
            self.assertIn((reply.id, reply.error.code), ((77, pb.OK), (0, pb.PROTOCOL)))

    def test_hanging_up_in_the_middle_of_everything_does_no_harm(self):
        for _ in range(20):
            client = self.connect()
            for _ in range(10):
                client.send(pb.Request(create_region=pb.CreateRegion(handle=os.urandom(16), size=4096)))
            client.close()

    def test_whoever_ends_only_its_sending_gets_every_reply(self):
        client = self.connect()
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        sent = set()
        for _ in range(100):  # more than may be in flight
            request = pb.Request(commit_region=pb.CommitRegion(handle=self.handle, flags=pb.COMMIT_DURABLE))
            client.send(request)
            sent.add(request.id)
        request = pb.Request(create_region=pb.CreateRegion(handle=os.urandom(16), size=60 * MIB))
        client.send(request)
        sent.add(request.id)
        client.socket.shutdown(socket.SHUT_WR)
        got = [client.receive() for _ in sent]
        self.assertEqual({reply.id for reply, _ in got}, sent)
        for _, fd in got:
            if fd is not None:
                os.close(fd)
        with self.assertRaises(Closed):
            client.receive()

    def test_a_long_client_name_is_kept_in_part(self):
        client = self.connect(name=b"\x1b[31m" + b"n" * 5000)
        client.call(create_region=pb.CreateRegion(handle=self.handle))
        (listed,) = [r for r in client.regions() if r.handle == self.handle]
        self.assertLessEqual(len(listed.holders[0].client_name), 64)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
