#!/usr/bin/python3
"""Events about regions, and asking others before a region is cut, as another client than the library meets them."""

import os
import time
import unittest

import wire_case
from wire_case import MIB, WireTest
from wire_client import Client, Refused, pb

FOR_EVER = (1 << 64) - 1


def setUpModule():
    wire_case.start_daemon(wire_case.CONFIG.replace("regions = 50", "regions = 200"))


def tearDownModule():
    wire_case.stop_daemon()


class SharingTest(WireTest):
    def share(self, n=2, size=MIB, flags=0):
        """N connections that have the same region attached; the first one has made it."""
        clients = [self.connect(features=pb.FEATURE_SHARING) for _ in range(n)]
        clients[0].call(create_region=pb.CreateRegion(handle=self.handle, size=size))
        for client in clients[1:]:
            self.attach(client, flags)
        return clients

    def attach(self, client, flags=0):
        client.call(attach_region=pb.AttachRegion(handle=self.handle, flags=flags))

    def grow(self, client, size):
        return client.call(grow_region=pb.GrowRegion(handle=self.handle, size=size)).region.size

    def stat(self, client, watch=False):
        return client.call(stat_region=pb.StatRegion(handle=self.handle, watch=watch)).region

    def ask(self, client, size, wait_ms=FOR_EVER, known=MIB):
        """Sends a Shrink; the id of the request."""
        return client.send(
            pb.Request(
                shrink_region=pb.ShrinkRegion(handle=self.handle, size=size, known_size=known, wait_ms=wait_ms)
            )
        )

    def agree(self, client, number):
        client.call(agree_shrink=pb.AgreeShrink(handle=self.handle, ask=number))

    def assert_event(self, client, kind, size):
        event = client.next_event()
        self.assertEqual(pb.EventKind.Name(event.kind), pb.EventKind.Name(kind))
        self.assertEqual((event.handle, event.size), (self.handle, size))
        return event

    def assert_answer(self, client, request, code=None):
        """The answer to REQUEST is CODE, or the region."""
        while True:
            reply, _ = client.receive()
            if reply.id == request:
                break
            self.assertEqual(reply.id, 0)
            client.events.append(reply.event)
        if code is not None:
            self.assertEqual(pb.ErrorCode.Name(reply.error.code), pb.ErrorCode.Name(code))
            self.assertTrue(reply.error.message)
            return reply.error
        self.assertFalse(reply.HasField("error"), reply.error)
        return reply.region

    def assert_no_event(self, client):
        """What was sent before is read with an answer; what waits for its turn, a moment later."""
        for _ in range(3):
            self.stat(client)
        self.assertEqual(client.events, [])

    def assert_charged(self, size):
        self.assertEqual(self.bystander.call(get_usage=pb.GetUsage()).usage.bytes, size)

    # ---- Events ----

    def test_others_are_told_of_a_resize(self):
        one, two, three = self.share(3)
        self.grow(one, 2 * MIB)
        for client in (two, three):
            self.assert_event(client, pb.EVENT_REGION_RESIZED, 2 * MIB)
        self.grow(two, 2 * MIB)  # changes nothing
        self.assert_no_event(one)
        self.assert_no_event(three)

    def test_a_client_that_does_not_know_them_gets_no_events(self):
        one, _ = self.share()
        old = self.connect()
        self.attach(old)
        self.grow(one, 2 * MIB)
        self.assert_no_event(old)

    def test_a_flood_of_resizes_becomes_few_events_with_the_newest_size(self):
        one, two = self.share(size=0)
        for i in range(2000):
            self.grow(one, 4096 * (i + 1))
        events = []
        while not events or events[-1].size != 4096 * 2000:
            events.append(two.next_event())
        self.assertEqual(sorted(e.size for e in events), [e.size for e in events])
        self.assertLess(len(events), 1000)
        self.assert_no_event(two)

    def test_a_client_that_does_not_read_stops_nobody(self):
        clients = self.share(4, size=0)
        deaf = clients[3]
        for i in range(1000):
            self.grow(clients[0], 4096 * (i + 1))
        for client in clients[1:3]:
            while client.next_event().size != 4096 * 1000:
                pass
        sizes = []
        while not sizes or sizes[-1] != 4096 * 1000:
            sizes.append(deaf.next_event().size)
        self.assertLess(len(sizes), 200)

    def test_who_watches_is_told_before_the_change_is_answered(self):
        one, two = self.share()
        for i in range(200):
            self.assertTrue(self.stat(two, watch=True).watched)
            size = self.grow(one, MIB + 4096 * (i + 1))
            two.socket.setblocking(False)
            self.assertEqual(self.assert_event(two, pb.EVENT_REGION_RESIZED, size).size, size)
            two.socket.settimeout(60)
        self.assertTrue(self.stat(two, watch=True).watched)
        one.call(commit_region=pb.CommitRegion(handle=self.handle, used=80, element_size=8))
        two.socket.setblocking(False)
        self.assert_event(two, pb.EVENT_REGION_CHANGED, size)
        two.socket.settimeout(60)
        one.call(commit_region=pb.CommitRegion(handle=self.handle, used=88, element_size=8))
        self.assert_no_event(two)  # once for each Stat

    def test_few_attachments_of_a_connection_watch(self):
        one, old = self.connect(features=pb.FEATURE_SHARING), self.connect()
        handles = [os.urandom(16) for _ in range(80)]
        for handle in handles:
            one.call(create_region=pb.CreateRegion(handle=handle))
        for _ in range(2):  # a second time does not count
            watched = [one.call(stat_region=pb.StatRegion(handle=h, watch=True)).region.watched for h in handles]
            self.assertEqual(sum(watched), 64)
        one.call(detach_region=pb.DetachRegion(handle=handles[0]))
        self.assertTrue(one.call(stat_region=pb.StatRegion(handle=handles[79], watch=True)).region.watched)
        old.call(attach_region=pb.AttachRegion(handle=handles[1]))
        self.assertFalse(old.call(stat_region=pb.StatRegion(handle=handles[1], watch=True)).region.watched)

    # ---- Asking ----

    def test_a_region_is_cut_when_all_have_agreed(self):
        one, two, three = self.share(3)
        request = self.ask(one, 4096)
        second = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096)
        third = self.assert_event(three, pb.EVENT_SHRINK_ASKED, 4096)
        self.agree(two, second.ask)
        self.agree(two, second.ask)  # once more is fine
        self.assertEqual(self.stat(three).size, MIB)
        self.assert_charged(MIB)
        self.agree(three, third.ask)
        self.assertEqual(self.assert_answer(one, request).size, 4096)
        for client in (two, three):
            self.assert_event(client, pb.EVENT_REGION_RESIZED, 4096)
            self.assertEqual(self.stat(client).size, 4096)
        self.assert_charged(4096)

    def test_without_agreement_nothing_changes_and_those_who_agreed_are_told(self):
        one, two, three = self.share(3)
        request = self.ask(one, 4096, wait_ms=300)
        self.agree(two, self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask)
        late = self.assert_event(three, pb.EVENT_SHRINK_ASKED, 4096)
        self.assert_answer(one, request, pb.BUSY)
        for client in (two, three):
            self.assert_event(client, pb.EVENT_REGION_RESIZED, MIB)
        with self.assertRaises(Refused) as caught:
            self.agree(three, late.ask)
        self.assertEqual(caught.exception.code, pb.STALE)
        self.assertEqual(self.stat(two).size, MIB)
        self.assert_charged(MIB)

    def test_without_a_time_to_wait_nobody_is_asked(self):
        one, two = self.share()
        self.assert_answer(one, self.ask(one, 4096, wait_ms=0), pb.BUSY)
        self.assert_no_event(two)

    def test_agreements_that_nobody_asked_for_count_for_nothing(self):
        one, two = self.share()
        for number in (0, 1, FOR_EVER):
            self.assert_refused(pb.STALE, two, agree_shrink=pb.AgreeShrink(handle=self.handle, ask=number))
        self.assert_refused(pb.NOT_ATTACHED, two, agree_shrink=pb.AgreeShrink(handle=os.urandom(16), ask=1))
        self.assert_refused(pb.INVALID, two, agree_shrink=pb.AgreeShrink(handle=b"short", ask=1))
        request = self.ask(one, 4096, wait_ms=200)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
        for wrong in (number + 1, number - 1, 0):
            self.assert_refused(pb.STALE, two, agree_shrink=pb.AgreeShrink(handle=self.handle, ask=wrong))
        self.assert_answer(one, request, pb.BUSY)

    def test_a_client_that_cannot_be_asked_is_a_refusal_at_once(self):
        one, two = self.share()
        old = self.connect()
        self.attach(old)
        self.assert_answer(one, self.ask(one, 4096), pb.BUSY)
        old.call(detach_region=pb.DetachRegion(handle=self.handle))
        request = self.ask(one, 4096)
        self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096)
        self.attach(old)
        self.assertIn("can't be asked", self.assert_answer(one, request, pb.BUSY).message)

    def test_a_newcomer_is_asked_as_well(self):
        one, two = self.share()
        request = self.ask(one, 4096)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
        newcomer = self.connect(features=pb.FEATURE_SHARING)
        self.attach(newcomer)
        self.agree(two, number)
        self.assertEqual(self.stat(two).size, MIB)
        self.agree(newcomer, self.assert_event(newcomer, pb.EVENT_SHRINK_ASKED, 4096).ask)
        self.assertEqual(self.assert_answer(one, request).size, 4096)

    def test_who_attaches_once_more_has_to_agree_once_more(self):
        one, two, three = self.share(3)
        request = self.ask(one, 4096)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
        third = self.assert_event(three, pb.EVENT_SHRINK_ASKED, 4096).ask
        self.agree(two, number)
        self.attach(two)
        self.agree(three, third)
        self.assertEqual(self.stat(three).size, MIB)
        self.assert_refused(pb.STALE, two, agree_shrink=pb.AgreeShrink(handle=self.handle, ask=number))
        self.agree(two, self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask)
        self.assertEqual(self.assert_answer(one, request).size, 4096)

    def test_a_grow_by_another_refuses_the_cut(self):
        for size, agrees in ((MIB, False), (2 * MIB, False), (0, True)):
            with self.subTest(size=size, agrees=agrees):
                self.handle = os.urandom(16)
                one, two, three = self.share(3)
                request = self.ask(one, 4096)
                number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
                if agrees:
                    self.agree(two, number)
                self.grow(two, size)
                self.assert_answer(one, request, pb.STALE if size > MIB else pb.BUSY)
                self.assert_event(three, pb.EVENT_SHRINK_ASKED, 4096)
                while three.next_event().size != max(size, MIB):
                    pass

    def test_a_small_grow_by_one_who_has_not_agreed_says_nothing(self):
        one, two = self.share()
        request = self.ask(one, 8192)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 8192).ask
        self.assertEqual(self.grow(two, 4096), MIB)
        self.agree(two, number)
        self.assertEqual(self.assert_answer(one, request).size, 8192)

    def test_who_detaches_need_not_agree(self):
        one, two = self.share()
        request = self.ask(one, 4096)
        self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096)
        two.call(detach_region=pb.DetachRegion(handle=self.handle))
        self.assertEqual(self.assert_answer(one, request).size, 4096)

    def test_an_end_of_a_connection_is_no_agreement(self):
        one, two = self.share()
        request = self.ask(one, 4096, wait_ms=400)
        self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096)
        two.close()  # this process lives, and may map the region
        self.assert_answer(one, request, pb.BUSY)
        self.assertEqual(self.stat(one).size, MIB)

    def test_one_asks_at_a_time(self):
        one, two = self.share()
        first = self.ask(one, 4096, wait_ms=400)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
        self.assert_answer(two, self.ask(two, 0), pb.BUSY)
        self.agree(two, number)
        self.assertEqual(self.assert_answer(one, first).size, 4096)

    def test_an_ask_can_be_cancelled(self):
        one, two = self.share()
        request = self.ask(one, 4096)
        number = self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask
        cancel = one.send(pb.Request(cancel=pb.Cancel(target=request)))
        self.assert_answer(one, request, pb.CANCELLED)
        one.receive()
        self.assertTrue(cancel)
        self.assert_event(two, pb.EVENT_REGION_RESIZED, MIB)
        self.assert_refused(pb.STALE, two, agree_shrink=pb.AgreeShrink(handle=self.handle, ask=number))

    def test_an_asker_that_goes_leaves_the_region_as_it_was(self):
        one, two, three = self.share(3)
        self.ask(one, 4096)
        self.agree(two, self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask)
        number = self.assert_event(three, pb.EVENT_SHRINK_ASKED, 4096).ask
        one.close()
        self.assert_event(two, pb.EVENT_REGION_RESIZED, MIB)
        self.assert_event(three, pb.EVENT_REGION_RESIZED, MIB)
        self.assert_refused(pb.STALE, three, agree_shrink=pb.AgreeShrink(handle=self.handle, ask=number))

    def test_readers_are_asked_and_agree(self):
        one, two = self.share(flags=pb.REGION_READ_ONLY)
        request = self.ask(one, 4096)
        self.agree(two, self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096).ask)
        self.assertEqual(self.assert_answer(one, request).size, 4096)
        self.assert_answer(two, self.ask(two, 0, known=4096), pb.READ_ONLY)

    def test_an_unlinked_region_is_not_cut(self):
        one, two = self.share()
        name = b"wire-sharing-" + self.handle.hex().encode()
        self.handle = os.urandom(16)
        one.call(open_region=pb.OpenRegion(name=name, handle=self.handle, size=MIB, flags=pb.REGION_CREATE, mode=0o600))
        two.call(open_region=pb.OpenRegion(name=name))
        request = self.ask(one, 4096)
        self.assert_event(two, pb.EVENT_SHRINK_ASKED, 4096)
        two.call(unlink_region=pb.UnlinkRegion(name=name))
        self.assert_answer(one, request, pb.STALE)

    def test_a_user_asks_a_bounded_number_of_times(self):
        one, two = (self.connect(features=pb.FEATURE_SHARING) for _ in range(2))
        requests = []
        for _ in range(65):
            self.handle = os.urandom(16)
            one.call(create_region=pb.CreateRegion(handle=self.handle, size=4096))
            self.attach(two)
            requests.append((self.handle, self.ask(one, 0, known=4096)))
        self.assert_answer(one, requests[64][1], pb.BUSY)
        asks = {event.handle: event.ask for event in (two.next_event() for _ in range(64))}
        for self.handle, request in requests[:64]:
            self.agree(two, asks[self.handle])
            self.assertEqual(self.assert_answer(one, request).size, 0)
        request = self.ask(one, 4096, known=0)  # is no shrink
        self.assert_answer(one, request, pb.INVALID)

    def test_a_flood_of_asks_and_cancels_becomes_few_events(self):
        one, two = self.share()
        for _ in range(1000):
            request = self.ask(one, 4096)
            one.send(pb.Request(cancel=pb.Cancel(target=request)))
            self.assert_answer(one, request, pb.CANCELLED)
            one.receive()
        start = time.monotonic()
        self.stat(two)
        self.assertLess(time.monotonic() - start, 10)
        self.assertLess(len(two.events), 500)

    # ---- Expiry ----

    def test_an_expiry_is_shown_and_taken_back(self):
        client = self.connect()
        name = b"wire-expiry-" + self.handle.hex().encode()
        client.call(open_region=pb.OpenRegion(name=name, handle=self.handle, flags=pb.REGION_CREATE, mode=0o600))
        self.assertEqual(client.call(set_expiry=pb.SetExpiry(name=name, expires=3600)).region.expires, 3600)
        self.assertEqual(self.stat(client).expires, 3600)
        self.bystander.close()
        wire_case.daemon.restart()
        self.bystander = Client(wire_case.daemon.socket)
        client = self.connect()
        (region,) = [r for r in client.regions() if r.handle == self.handle]
        self.assertEqual(region.expires, 3600)
        self.assertEqual(client.call(set_expiry=pb.SetExpiry(name=name)).region.expires, 0)
        for body in (
            pb.SetExpiry(name=name, expires=1 << 32),
            pb.SetExpiry(name=b""),
            pb.SetExpiry(name=b"a/b"),
        ):
            self.assert_refused(pb.INVALID, client, set_expiry=body)
        self.assert_refused(pb.NOT_FOUND, client, set_expiry=pb.SetExpiry(name=b"nothing", expires=1))
        self.assert_refused(pb.NOT_FOUND, client, set_expiry=pb.SetExpiry(name=name, user=b"+4242", expires=1))
        client.call(unlink_region=pb.UnlinkRegion(name=name))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
