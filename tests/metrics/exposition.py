#!/usr/bin/python3
"""The metrics as text: both formats, their values, who sees what, pages, and that nobody can make the text grow or break."""

import os
import pwd
import re
import shutil
import subprocess
import unittest

import ctl_case
import metrics_case
import wire_case
from ctl_case import CtlTest
from metrics_case import ask, families, parse, value
from wire_case import GROUP, MIB, USER
from wire_client import Client, Refused, pb

# A user that every system has; the uid of nobody has no account of its own.
SOMEBODY = (1, 1, [])
LIMIT = 64 * MIB


def setUpModule():
    # So many control groups that the text is longer than a packet.
    slices = "".join(f"[quota cgroup:/slice-{i}.slice]\nbytes = 1G\n" for i in range(110))
    wire_case.start_daemon(metrics_case.CONFIG + f"[quota group:{GROUP}]\n" + "bytes = 1G\nsoft_bytes = 1M\n[quota cgroup:/]\nbytes = unlimited\n" + slices)
    os.chmod(wire_case.daemon.dir, 0o755)


def tearDownModule():
    wire_case.stop_daemon()


class MetricsTest(CtlTest):
    def setUp(self):
        self.client = Client(wire_case.daemon.socket)
        self.addCleanup(self.client.close)
        self.handle = os.urandom(16)

    def create(self, size):
        self.client.call(create_region=pb.CreateRegion(handle=self.handle, size=size))

    def fetch(self, format=pb.METRICS_TEXT, client=None):
        text, cursor = b"", b""
        while True:
            page = (client or self.client).call(get_metrics=pb.GetMetrics(format=format, cursor=cursor)).metrics
            text, cursor = text + page.text, page.next_cursor
            if not cursor:
                return text.decode()

    def new_samples(self, seen):
        """Samples that are newer than the text SEEN: a text is given out for a second."""
        text = seen
        def is_newer():
            nonlocal text
            text = self.fetch()
            return text != seen
        metrics_case.wait_until(is_newer, "newer metrics")
        return parse(text)

    def test_the_two_formats_say_the_same(self):
        openmetrics, text = self.fetch(pb.METRICS_OPENMETRICS), self.fetch(pb.METRICS_TEXT)
        self.assertTrue(openmetrics.endswith("\n# EOF\n"))
        self.assertEqual(openmetrics.count("# EOF"), 1)
        self.assertNotIn("# EOF", text)
        self.assertNotIn("# UNIT", text)
        # They may be of two moments, between which something was refused for the first time.
        metrics_case.wait_until(lambda: set(parse(self.fetch(pb.METRICS_OPENMETRICS))) == set(parse(self.fetch())), "the same samples")
        for name, kind in families(openmetrics).items():
            in_text = families(text)
            if kind == "counter":
                self.assertEqual(in_text[name + "_total"], "counter")
            elif kind == "info":
                self.assertEqual(in_text[name + "_info"], "gauge")
            else:
                self.assertEqual(in_text[name], kind)
            self.assertRegex(openmetrics, rf"(?m)^# HELP {name} \S.*\.$")
        for name, unit in re.findall(r"(?m)^# UNIT (\S+) (\S+)$", openmetrics):
            self.assertTrue(name.endswith("_" + unit), name)

    def test_samples_follow_their_family(self):
        """A reader of OpenMetrics refuses samples that stand elsewhere, or with another ending than their type allows."""
        endings = {"gauge": [""], "counter": ["_total"], "info": ["_info"], "histogram": ["_bucket", "_sum", "_count"]}
        name = kind = None
        for line in self.fetch(pb.METRICS_OPENMETRICS).splitlines()[:-1]:
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
            elif line.startswith("#"):
                self.assertEqual(line.split()[2], name)
            else:
                self.assertIn(re.match(r"[a-z_]+", line)[0], [name + e for e in endings[kind]])

    @unittest.skipUnless(shutil.which("promtool"), "promtool (prometheus) is not there")
    def test_promtool_has_no_complaint(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.fetch(), capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_openmetrics_is_what_the_reference_parser_takes(self):
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        except ImportError:
            self.skipTest("python3-prometheus-client is not there")
        names = [f.name for f in text_string_to_metric_families(self.fetch(pb.METRICS_OPENMETRICS))]
        self.assertEqual(sorted(names), sorted(families(self.fetch(pb.METRICS_OPENMETRICS))))

    def test_the_values_are_those_of_the_daemon(self):
        before = self.fetch()
        self.create(5 * MIB)
        samples = self.new_samples(before)
        self.assertGreaterEqual(value(samples, "diskalloc_account_bytes", kind="user", name=USER), 5 * MIB)
        self.assertEqual(value(samples, "diskalloc_account_limit_bytes", kind="user", name=USER), LIMIT)
        self.assertEqual(value(samples, "diskalloc_account_limit_bytes", kind="total", name=""), 256 * MIB)
        self.assertGreaterEqual(value(samples, "diskalloc_account_regions", kind="total", name=""), 1)
        self.assertEqual(value(samples, "diskalloc_account_regions_limit", kind="user", name=USER), 50)
        self.assertGreaterEqual(value(samples, "diskalloc_account_connections", kind="user", name=USER), 1)
        self.assertEqual(value(samples, "diskalloc_account_soft_limit_bytes", kind="group", name=GROUP), MIB)
        self.assertGreater(value(samples, "diskalloc_account_grace_end_timestamp_seconds", kind="group", name=GROUP), 1.6e9)
        self.assertEqual(value(samples, "diskalloc_account_limit_bytes", kind="cgroup", name="/"), float("inf"))
        self.assertEqual(value(samples, "diskalloc_disk_granted_bytes", disk=wire_case.daemon.spill),
                         value(samples, "diskalloc_account_bytes", kind="total", name=""))
        self.assertEqual(value(samples, "diskalloc_disk_healthy", disk=wire_case.daemon.spill), 1)
        size, free = (value(samples, f"diskalloc_disk_{n}_bytes", disk=wire_case.daemon.spill) for n in ("size", "available"))
        self.assertEqual(size, os.statvfs(wire_case.daemon.spill).f_blocks * os.statvfs(wire_case.daemon.spill).f_frsize)
        self.assertTrue(0 < free <= size)
        self.assertEqual(value(samples, "diskalloc_build_info", version=self.client.hello.daemon_version), 1)
        self.assertGreater(value(samples, "process_resident_memory_bytes"), MIB)

    def test_operations_and_their_time_are_counted(self):
        before_text = self.fetch()
        before = parse(before_text)
        self.create(MIB)
        for size in (2, 3, 4):
            self.client.call(grow_region=pb.GrowRegion(handle=self.handle, size=size * MIB))
        after = self.new_samples(before_text)
        def grown(name, /, **labels):
            return value(after, name, **labels) - value(before, name, **labels)
        self.assertEqual(grown("diskalloc_operations_total", operation="grow", result="done"), 3)
        self.assertEqual(grown("diskalloc_operations_total", operation="create", result="done"), 1)
        self.assertEqual(grown("diskalloc_operation_duration_seconds_count", operation="grow"), 3)
        self.assertEqual(grown("diskalloc_operation_duration_seconds_bucket", operation="grow", le="+Inf"), 3)
        self.assertGreater(grown("diskalloc_operation_duration_seconds_sum", operation="grow"), 0)
        self.assertEqual(grown("diskalloc_requests_total", request="grow_region"), 3)
        counts = [v for (n, l), v in sorted(after.items(), key=lambda s: float(dict(s[0][1]).get("le", 0)))
                  if n == "diskalloc_operation_duration_seconds_bucket" and ("operation", "grow") in l]
        self.assertEqual(counts, sorted(counts))

    def test_refusals_are_counted_by_limit_and_account(self):
        before_text = self.fetch()
        before = parse(before_text)
        self.create(4096)
        for size in (LIMIT - 15 * MIB, 300 * MIB):
            self.assertRaises(Refused, self.client.call, grow_region=pb.GrowRegion(handle=self.handle, size=size))
        with self.assertRaises(Refused):
            self.client.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=0, early=False, flags=1 << 30))
        after = self.new_samples(before_text)
        account = frozenset({"kind": "user", "name": USER, "limit": "region_bytes"}.items())
        self.assertEqual(after["diskalloc_account_refusals_total", account] - before.get(("diskalloc_account_refusals_total", account), 0), 2)
        for name, labels in (("refusals", {"kind": "user", "limit": "region_bytes"}), ("operations", {"operation": "grow", "result": "limit"}),
                             ("request_errors", {"code": "LIMIT"})):
            self.assertEqual(value(after, f"diskalloc_{name}_total", **labels) - value(before, f"diskalloc_{name}_total", **labels), 2, name)
        refusal = next(r for r in metrics_case.state()["refusals"] if r["limit_name"] == f"user:{USER} region_bytes")
        self.assertEqual((refusal["user"], refusal["limit"]), (USER, 48 * MIB))

    def test_who_waits_is_counted_where_it_is_charged(self):
        before = self.fetch()
        self.create(40 * MIB)
        other = Client(wire_case.daemon.socket)
        self.addCleanup(other.close)
        handle = os.urandom(16)
        other.call(create_region=pb.CreateRegion(handle=handle, size=MIB))
        waiting = other.send(pb.Request(grow_region=pb.GrowRegion(handle=handle, size=40 * MIB, wait_ms=60000)))
        metrics_case.wait_until(lambda: self.client.call(get_usage=pb.GetUsage()).usage.waiters == 1, "a waiter")
        samples = self.new_samples(before)
        def is_shown():
            nonlocal samples
            samples = parse(self.fetch())
            return value(samples, "diskalloc_account_waiters", kind="user", name=USER) == 1
        metrics_case.wait_until(is_shown, "the waiter in the metrics")
        for kind, name in (("total", ""), ("group", GROUP), ("cgroup", "/")):
            self.assertEqual(value(samples, "diskalloc_account_waiters", kind=kind, name=name), 1, kind)
        self.assertEqual(metrics_case.state()["waiters"], 1)
        n = value(samples, "diskalloc_wait_duration_seconds_count")
        self.client.call(detach_region=pb.DetachRegion(handle=self.handle))
        reply, _ = other.next_reply()
        self.assertEqual((reply.id, reply.HasField("error")), (waiting, False))
        metrics_case.wait_until(lambda: value(parse(self.fetch()), "diskalloc_wait_duration_seconds_count") == n + 1, "the wait's end")

    def test_pages_are_one_text_and_a_stale_cursor_is_refused(self):
        page = self.client.call(get_metrics=pb.GetMetrics()).metrics
        self.assertEqual(len(page.text), 65536 - 1024)
        second = self.client.call(get_metrics=pb.GetMetrics(cursor=page.next_cursor)).metrics
        self.assertTrue((page.text + second.text).endswith(b"# EOF\n"))
        self.assertFalse(second.next_cursor)
        # The same page again.
        self.assertEqual(self.client.call(get_metrics=pb.GetMetrics(cursor=page.next_cursor)).metrics.text, second.text)
        behind = page.next_cursor[:8] + (1 << 40).to_bytes(8, "little")
        for cursor, code in ((b"x", pb.INVALID), (behind, pb.INVALID), (bytes(16), pb.STALE), (b"\xff" * 16, pb.STALE)):
            with self.assertRaises(Refused) as caught:
                self.client.call(get_metrics=pb.GetMetrics(cursor=cursor))
            self.assertEqual(caught.exception.code, code)
        with self.assertRaises(Refused) as caught:
            self.client.call(get_metrics=pb.GetMetrics(format=7))
        self.assertEqual(caught.exception.code, pb.UNSUPPORTED)

    def test_of_many_control_groups_a_hundred_are_shown(self):
        samples = parse(self.fetch())
        self.assertEqual(sum(n == "diskalloc_account_bytes" and ("kind", "cgroup") in l for n, l in samples), 100)
        self.assertEqual(value(samples, "diskalloc_accounts_hidden", kind="cgroup"), 11)

    def test_diskallocctl_prints_them(self):
        self.assertTrue(self.run_ctl("metrics").endswith("# EOF\n"))
        self.assertEqual(set(parse(self.run_ctl("metrics", "text"))), set(parse(self.run_ctl("metrics", "openmetrics"))))
        answer = self.run_json("metrics", "text")
        self.assertEqual(answer["format"], "text")
        parse(answer["text"])
        self.assertIn("openmetrics or text", self.run_ctl("metrics", "xml", status=2))
        self.assertIn("usage: diskallocctl metrics", self.run_ctl("metrics", "text", "text", status=2))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_others_see_the_whole_and_themselves(self):
        self.create(MIB)
        samples = parse(self.run_ctl("metrics", "text", user=SOMEBODY))
        names = {dict(l).get("name") for n, l in samples if n == "diskalloc_account_bytes"}
        self.assertEqual(names, {"", pwd.getpwuid(1).pw_name})
        self.assertFalse([n for n, _ in samples if n.startswith(("diskalloc_operation", "diskalloc_request", "process_"))])
        self.assertIn(("diskalloc_disk_size_bytes", frozenset({("disk", wire_case.daemon.spill)})), samples)


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
