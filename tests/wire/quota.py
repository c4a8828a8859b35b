#!/usr/bin/python3
"""Quotas, removal, discarding and waiting from another language: what is answered, and what is refused."""

import os
import unittest

import wire_case
from wire_case import MIB, WireTest
from wire_client import Closed, Refused, pb

BLOCK = 4096
FOR_EVER = (1 << 64) - 1
STRANGER = 54321  # a uid that nobody has

needs_root = unittest.skipUnless(os.getuid() == 0, "another uid is taken by root only")


def setUpModule():
    wire_case.start_daemon()
    unittest.addModuleCleanup(wire_case.stop_daemon)
    os.chmod(wire_case.daemon.dir, 0o711)


def setting(key, text):
    return pb.QuotaSetting(key=key, text=text)


class RequestTest(WireTest):
    def quotas(self, client):
        """All that ListQuota tells: {(subject, key): value}."""
        found, cursor = {}, b""
        while True:
            page = client.call(list_quota=pb.ListQuota(cursor=cursor)).quota_list
            for entry in page.entries:
                for value in entry.values:
                    self.assertNotIn((entry.subject, value.key), found)
                    found[entry.subject, value.key] = value
            cursor = page.next_cursor
            if not cursor:
                return found

    def stranger(self):
        os.seteuid(STRANGER)
        try:
            return self.connect(name=b"stranger")
        finally:
            os.seteuid(0)

    def created(self, client, size=16 * BLOCK, **more):
        client.call(create_region=pb.CreateRegion(handle=self.handle, size=size, **more))
        return client


class QuotaTest(RequestTest):
    def test_set_listed_and_unset(self):
        client = self.connect()
        before = self.quotas(client)
        self.assertEqual(before[b"default", b"bytes"].value, 64 * MIB)
        settings = [setting(b"bytes", b"3M"), setting(b"connections", b"unlimited"), setting(b"warn_at", b"50%")]
        for _ in range(2):  # may be repeated
            client.call(set_quota=pb.SetQuota(subject=b"user:+54321", settings=settings))
        after = self.quotas(client)
        listed = after[b"user:+54321", b"bytes"]
        self.assertEqual((listed.text, listed.value, listed.origin), (b"3M", 3 * MIB, b"set at run time"))
        self.assertEqual(after[b"user:+54321", b"connections"].value, (1 << 64) - 1)
        self.assertEqual(after[b"user:+54321", b"warn_at"].value, 3 * MIB // 2)
        for _ in range(2):
            client.call(unset_quota=pb.UnsetQuota(subject=b"user:+54321"))
        self.assertEqual(self.quotas(client), before)

    def test_many_subjects_make_many_pages(self):
        client = self.connect()
        subjects = [f"user:+{uid}".encode() for uid in range(60000, 60150)]
        for subject in subjects:
            client.call(set_quota=pb.SetQuota(subject=subject, settings=[setting(b"regions", b"1")]))
        listed = {subject for subject, _ in self.quotas(client)}
        self.assertLessEqual(set(subjects), listed)
        for subject in subjects:
            client.call(unset_quota=pb.UnsetQuota(subject=subject))
        self.assertFalse(set(subjects) & {subject for subject, _ in self.quotas(client)})

    def test_bad_subjects_are_refused(self):
        client = self.connect()
        before = self.quotas(client)
        for subject in (
            b"",
            b"nonsense",
            b"Total",
            b"total ",
            b"user:",
            b"user:+",
            b"user:+x",
            b"user:+4294967295",
            b"user:+99999999999999999999",
            b"members:",
            b"group:",
            b"user:a]b",
            b"user:a\n[daemon]",
            b"user:a\x00b",
            b"user:\xff",
            b"user:a #b",
            b"user:" + b"u" * 300,
            b"user:" + b"u" * 60000,
        ):
            with self.subTest(subject=subject[:20]):
                settings = [setting(b"bytes", b"1M")]
                self.assert_refused(pb.INVALID, client, set_quota=pb.SetQuota(subject=subject, settings=settings))
                self.assert_refused(pb.INVALID, client, unset_quota=pb.UnsetQuota(subject=subject))
        self.assertEqual(self.quotas(client), before)

    def test_bad_keys_are_refused(self):
        client = self.connect()
        for key in (b"", b"byte", b"bytes ", b"BYTES", b"keep_free", b"bytes\x00", b"\xff", b"k" * 60000, b"bytes\n"):
            with self.subTest(key=key[:20]):
                settings = [setting(b"regions", b"5"), setting(key, b"1")]
                self.assert_refused(pb.INVALID, client, set_quota=pb.SetQuota(subject=b"total", settings=settings))
                self.assert_refused(pb.INVALID, client, unset_quota=pb.UnsetQuota(subject=b"total", keys=[key]))
        self.assertEqual(self.quotas(client)[b"total", b"regions"].origin, b"built in")

    def test_bad_values_are_refused(self):
        client = self.connect()
        before = self.quotas(client)
        bad = {
            b"bytes": (b"", b"-1", b"+1", b" 1", b"1 ", b"5X", b"5GB", b"1.5G", b"0x10", b"G", b"%", b"101%", b"-1%", b"5.5%",
                       b"Unlimited", b"16777216T", b"18446744073709551615", b"9" * 50, b"0" * 200, b"9" * 60000, b"\xff",
                       b"1\n[daemon]", b"1\x00"),
            b"regions": (b"", b"-1", b"5%", b"1K", b"18446744073709551615", b"18446744073709551616", b"many", b"1.0"),
            b"connections": (b"-1", b"1e3"),
            b"region_bytes": (b"-1", b"lots", b"120%"),
            b"warn_at": (b"-1", b"120%", b"soon"),
        }  # fmt: skip
        for key, texts in bad.items():
            for text in texts:
                with self.subTest(key=key, text=text[:20]):
                    settings = [setting(b"bytes", b"1M"), setting(key, text)] if key != b"bytes" else [setting(key, text)]
                    error = self.assert_refused(
                        pb.INVALID, client, set_quota=pb.SetQuota(subject=b"total", settings=settings)
                    )
                    self.assertNotIn("\n", error.message)
        self.assertEqual(self.quotas(client), before)

    def test_nothing_a_key_twice_and_too_many_settings_are_refused(self):
        client = self.connect()
        for settings in ([], [setting(b"bytes", b"1M")] * 2, [setting(b"bytes", b"1M")] * 1000):
            self.assert_refused(pb.INVALID, client, set_quota=pb.SetQuota(subject=b"total", settings=settings))
        self.assert_refused(pb.INVALID, client, unset_quota=pb.UnsetQuota(subject=b"total", keys=[b"bytes"] * 1000))

    def test_zero_allows_nothing(self):
        client = self.connect()
        me = client.call(get_usage=pb.GetUsage()).usage.subject
        client.call(set_quota=pb.SetQuota(subject=me, settings=[setting(b"bytes", b"0")]))
        error = self.assert_refused(pb.LIMIT, client, create_region=pb.CreateRegion(handle=self.handle, size=1))
        self.assertEqual((error.limit, error.used), (0, 0))
        client.call(unset_quota=pb.UnsetQuota(subject=me, keys=[b"bytes"]))
        self.created(client)

    def test_a_bad_cursor_does_no_harm(self):
        client = self.connect()
        for cursor in (b"x", b"\xff" * 4, bytes(16), os.urandom(60000)):
            try:
                client.call(list_quota=pb.ListQuota(cursor=cursor))
            except Refused as refused:
                self.assertEqual(refused.code, pb.INVALID)
        self.assert_open(client)

    @needs_root
    def test_who_is_no_administrator_changes_nothing(self):
        client = self.connect()
        before = self.quotas(client)
        stranger = self.stranger()
        for body in (
            {"set_quota": pb.SetQuota(subject=b"user:+54321", settings=[setting(b"bytes", b"1T")])},
            {"set_quota": pb.SetQuota(subject=b"total", settings=[setting(b"bytes", b"1T")])},
            {"unset_quota": pb.UnsetQuota(subject=b"total")},
            {"disconnect_user": pb.DisconnectUser(user=b"+0")},
            {"disconnect_user": pb.DisconnectUser(user=b"+54321")},
        ):
            self.assert_refused(pb.ACCESS, stranger, **body)
        self.assertEqual(self.quotas(client), before)
        self.assert_open(stranger)


class RemoveTest(RequestTest):
    def test_neither_or_both_targets_and_bad_ones_are_refused(self):
        client = self.created(self.connect())
        for remove in (
            pb.RemoveRegion(),
            pb.RemoveRegion(force=True),
            pb.RemoveRegion(name=b"x", handle=self.handle),
            pb.RemoveRegion(name=b"x", handle=self.handle, force=True),
            pb.RemoveRegion(handle=self.handle[:15]),
            pb.RemoveRegion(handle=self.handle + b"x"),
            pb.RemoveRegion(name=b"../etc"),
            pb.RemoveRegion(name=b".hidden"),
            pb.RemoveRegion(name=b"a\x00b"),
        ):
            with self.subTest(remove=remove):
                self.assert_refused(pb.INVALID, client, remove_region=remove)
        self.assert_refused(pb.NAME_TOO_LONG, client, remove_region=pb.RemoveRegion(name=b"n" * 129))
        self.assertEqual(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.attachments, 1)

    def test_what_is_not_there_is_not_found(self):
        client = self.connect()
        for remove in (
            pb.RemoveRegion(handle=os.urandom(16)),
            pb.RemoveRegion(name=b"no-such-name"),
            pb.RemoveRegion(name=b"x", user=b"no-such-user-here"),
            pb.RemoveRegion(name=b"x", user=b"+4000000000"),
            pb.RemoveRegion(name=b"x", user=b"u" * 60000),
        ):
            with self.subTest(user=remove.user[:20]):
                self.assert_refused(pb.NOT_FOUND, client, remove_region=remove)

    def test_an_attached_region_is_refused_with_its_holders(self):
        client = self.created(self.connect(name=b"holder"))
        client.send(pb.Request(id=50, remove_region=pb.RemoveRegion(handle=self.handle)))
        reply, _ = client.receive()
        self.assertEqual((reply.id, reply.error.code), (50, pb.BUSY))
        self.assertEqual(reply.region.handle, self.handle)
        self.assertEqual([(h.pid, h.client_name) for h in reply.region.holders], [(os.getpid(), b"holder")])
        client.call(remove_region=pb.RemoveRegion(handle=self.handle, force=True))
        self.assert_refused(pb.STALE, client, grow_region=pb.GrowRegion(handle=self.handle, size=MIB))

    @needs_root
    def test_a_stranger_removes_nothing_of_others(self):
        client = self.created(self.connect())
        stranger = self.stranger()
        with self.assertRaises(Refused) as caught:
            stranger.call(remove_region=pb.RemoveRegion(handle=self.handle, force=True))
        self.assertIn(caught.exception.code, (pb.ACCESS, pb.NOT_FOUND))
        self.assertFalse(client.call(stat_region=pb.StatRegion(handle=self.handle)).region.unlinked)


class DisconnectTest(RequestTest):
    def test_bad_and_unknown_users_are_refused(self):
        client = self.connect()
        for user in (b"", b"no-such-user-here", b"+", b"+x", b"+4000000000", b"a\x00b", b"\xff", b"u" * 60000):
            with self.subTest(user=user[:20]), self.assertRaises(Refused) as caught:
                client.call(disconnect_user=pb.DisconnectUser(user=user))
            self.assertIn(caught.exception.code, (pb.INVALID, pb.NOT_FOUND))
        self.assert_open(client)

    @needs_root
    def test_a_users_connections_are_closed_and_nobodys_else(self):
        strangers = [self.stranger() for _ in range(3)]
        client = self.connect()
        closed = client.call(disconnect_user=pb.DisconnectUser(user=b"+54321")).disconnected.connections
        self.assertEqual(closed, 3)
        for stranger in strangers:
            self.assertRaises((Closed, OSError), stranger.receive)
        self.assert_open(client)


class DiscardTest(RequestTest):
    def stat(self, client):
        return client.call(stat_region=pb.StatRegion(handle=self.handle)).region

    def test_what_is_discarded_is_given_back_and_listed(self):
        client = self.created(self.connect())
        for _ in range(2):  # may be repeated
            client.call(discard_region=pb.DiscardRegion(handle=self.handle, offset=4 * BLOCK, length=2 * BLOCK))
        region = self.stat(client)
        self.assertEqual((region.size, region.granted, region.discarded), (16 * BLOCK, 14 * BLOCK, 2 * BLOCK))
        self.assertEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, 14 * BLOCK)
        ranges = client.call(list_discarded=pb.ListDiscarded(handle=self.handle)).range_list.ranges
        self.assertEqual([(r.offset, r.length) for r in ranges], [(4 * BLOCK, 2 * BLOCK)])
        for _ in range(2):
            client.call(restore_region=pb.RestoreRegion(handle=self.handle, offset=0, length=16 * BLOCK))
        self.assertEqual((self.stat(client).granted, self.stat(client).discarded), (16 * BLOCK, 0))

    def test_the_last_part_of_a_block_is_not_discarded(self):
        client = self.created(self.connect(), size=2 * BLOCK + 5)
        for length in (BLOCK + 5, 2 * BLOCK):
            discard = pb.DiscardRegion(handle=self.handle, offset=BLOCK, length=length)
            self.assert_refused(pb.INVALID, client, discard_region=discard)
        client.call(discard_region=pb.DiscardRegion(handle=self.handle, offset=BLOCK, length=BLOCK))
        self.assertEqual(self.stat(client).granted, 2 * BLOCK)

    def test_bad_ranges_are_refused_and_change_nothing(self):
        client = self.created(self.connect())
        client.call(discard_region=pb.DiscardRegion(handle=self.handle, offset=0, length=BLOCK))
        for offset, length in (
            (1, BLOCK),
            (BLOCK, 1),
            (BLOCK, BLOCK - 1),
            (BLOCK + 512, BLOCK),
            (16 * BLOCK, BLOCK),
            (15 * BLOCK, 2 * BLOCK),
            (0, 17 * BLOCK),
            (1 << 40, BLOCK),
            (1 << 63, BLOCK),
            ((1 << 64) - BLOCK, BLOCK),
            ((1 << 64) - BLOCK, 2 * BLOCK),
            (BLOCK, (1 << 64) - BLOCK),
            (2 * BLOCK, (1 << 64) - BLOCK),
            (0, (1 << 64) - 1),
        ):
            for body in (
                {"discard_region": pb.DiscardRegion(handle=self.handle, offset=offset, length=length)},
                {"restore_region": pb.RestoreRegion(handle=self.handle, offset=offset, length=length)},
            ):
                with self.subTest(body=body), self.assertRaises(Refused) as caught:
                    client.call(**body)
                self.assertIn(caught.exception.code, (pb.INVALID, pb.OVERFLOW))
        region = self.stat(client)
        self.assertEqual((region.granted, region.discarded), (15 * BLOCK, BLOCK))

    def test_others_attached_and_regions_that_are_not_are_refused(self):
        client = self.created(self.connect())
        other = self.connect()
        for body in (
            {"discard_region": pb.DiscardRegion(handle=self.handle, offset=0, length=BLOCK)},
            {"restore_region": pb.RestoreRegion(handle=self.handle, offset=0, length=BLOCK)},
            {"list_discarded": pb.ListDiscarded(handle=self.handle)},
        ):
            self.assert_refused(pb.NOT_ATTACHED, other, **body)
        other.call(attach_region=pb.AttachRegion(handle=self.handle))
        self.assert_refused(pb.BUSY, client, discard_region=pb.DiscardRegion(handle=self.handle, offset=0, length=BLOCK))

    def test_a_sparse_region_has_nothing_to_discard(self):
        client = self.created(self.connect(), flags=pb.REGION_SPARSE)
        discard = pb.DiscardRegion(handle=self.handle, offset=0, length=BLOCK)
        self.assert_refused(pb.UNSUPPORTED, client, discard_region=discard)

    def test_a_region_in_too_many_pieces_is_refused(self):
        client = self.created(self.connect(), size=40 * MIB)
        with self.assertRaises(Refused) as caught:
            for i in range(5120):
                client.call(discard_region=pb.DiscardRegion(handle=self.handle, offset=2 * i * BLOCK, length=BLOCK))
        self.assertEqual(caught.exception.code, pb.TOO_MANY_REQUESTS)
        error = caught.exception.error
        self.assertEqual((error.limit_name, error.used), ("discarded ranges", error.limit))
        listed, at = [], 0
        while True:
            page = client.call(list_discarded=pb.ListDiscarded(handle=self.handle, **{"from": at})).range_list
            listed.extend((r.offset, r.length) for r in page.ranges)
            at = page.next
            if not at:
                break
        self.assertEqual(listed, [(2 * i * BLOCK, BLOCK) for i in range(error.limit)])
        self.assertEqual(self.stat(client).discarded, error.limit * BLOCK)


class WaitTest(RequestTest):
    def test_what_is_above_the_limit_itself_is_refused_at_once_however_long_it_would_wait(self):
        client = self.created(self.connect())
        for wait_ms in (1, 1 << 31, 1 << 32, 1 << 62, 1 << 63, FOR_EVER - 1, FOR_EVER):
            with self.subTest(wait_ms=wait_ms):
                for size in (65 * MIB, 49 * MIB):
                    grow = pb.GrowRegion(handle=self.handle, size=size, wait_ms=wait_ms)
                    self.assert_refused(pb.LIMIT, client, grow_region=grow)

    def test_a_wait_ends_with_the_limit_with_cancel_or_with_space(self):
        client = self.created(self.connect())
        holder = self.connect()
        ballast = os.urandom(16)
        holder.call(create_region=pb.CreateRegion(handle=ballast, size=40 * MIB))
        error = self.assert_refused(
            pb.TIMED_OUT, client, grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB, wait_ms=1)
        )
        self.assertEqual((error.limit, error.limit_name.endswith(" bytes")), (64 * MIB, True))
        for wait_ms in (1 << 63, FOR_EVER - 1, FOR_EVER):  # none of them wraps to no wait
            wanted = client.send(pb.Request(grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB, wait_ms=wait_ms)))
            cancel = client.send(pb.Request(cancel=pb.Cancel(target=wanted)))
            replies = [client.receive()[0] for _ in range(2)]
            self.assertEqual([(r.id, r.error.code) for r in replies], [(wanted, pb.CANCELLED), (cancel, pb.OK)])
        wanted = client.send(pb.Request(grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB, wait_ms=FOR_EVER)))
        holder.call(shrink_region=pb.ShrinkRegion(handle=ballast, size=0, known_size=40 * MIB))
        reply, _ = client.receive()
        self.assertEqual((reply.id, reply.region.size), (wanted, 30 * MIB))

    def test_a_waiter_is_let_in_by_a_limit_that_is_raised(self):
        client = self.created(self.connect())
        admin = self.connect()
        me = admin.call(get_usage=pb.GetUsage()).usage.subject
        admin.call(set_quota=pb.SetQuota(subject=me, settings=[setting(b"bytes", b"40M")]))
        holder = self.connect()
        holder.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=20 * MIB))
        wanted = client.send(pb.Request(grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB, wait_ms=FOR_EVER)))
        while admin.call(get_usage=pb.GetUsage()).usage.waiters == 0:
            pass
        admin.call(unset_quota=pb.UnsetQuota(subject=me))
        reply, _ = client.receive()
        self.assertEqual((reply.id, reply.region.size), (wanted, 30 * MIB))

    def test_a_waiter_that_hangs_up_is_forgotten(self):
        client = self.created(self.connect())
        admin = self.connect()
        holder = self.connect()
        holder.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=40 * MIB))
        client.send(pb.Request(grow_region=pb.GrowRegion(handle=self.handle, size=30 * MIB, wait_ms=FOR_EVER)))
        while admin.call(get_usage=pb.GetUsage()).usage.waiters == 0:
            pass
        client.close()
        while admin.call(get_usage=pb.GetUsage()).usage.waiters:
            pass


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
